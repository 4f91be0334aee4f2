"""Callback deliveries as JSON: for whoever asked for them, and for the operator."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from gateway.core.delivery import Attempt, Delivery, DeliveryState
from gateway.core.timestamps import timestamp

_WAITING = "waiting"
"""Not a state of its own: the delivery is pending, and the job has not ended."""


def of_owner(delivery: Delivery, *, waits: bool) -> dict[str, object]:
    """Return the view of a delivery with every attempt on record. `waits`: its job has not ended."""
    pending = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "job": delivery.job_id,
        "url": delivery.url,
        "status": _WAITING if waits else delivery.state.value,
        "created": timestamp(delivery.created),
        "due": timestamp(delivery.due) if pending and not waits else None,
        "made": delivery.made,
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
    }


def of_operator(delivery: Delivery) -> dict[str, object]:
    """Return the same without the URL's query, in which receivers keep secrets, and with no more than the last try."""
    parts = urlsplit(delivery.url)
    view = of_owner(delivery, waits=False)
    return view | {
        "url": urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        "attempts": [_attempt(attempt) for attempt in delivery.attempts[-1:]],
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "at": timestamp(attempt.at),
        "took": attempt.took,
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.answer,
    }
