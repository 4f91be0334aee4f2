"""A callback delivery: its record, and when the next attempt is due. Pure.

Delivery is at least once: the receiver tells repetitions by the same `webhook-id`, which is the delivery's id.
The schedule is that of Standard Webhooks, spread over days; a job's end never waits for it.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.core.policy import DAY, HOUR, MINUTE, SECOND
from gateway.core.timing import jittered

SCHEDULE = (0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""How long to wait before each attempt, from the one before."""

SPAN = 4 * DAY
"""A little longer than the whole schedule: how long a delivery and its outcome are kept."""

MAX_HINT = DAY
"""A receiver's Retry-After is honoured up to this."""


class DeliveryState(enum.StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Every attempt failed."""
    DISABLED = "disabled"
    """The receiver answered 410: it wants no more."""


class Attempt(msgspec.Struct, frozen=True):
    """One try: when (ms), how long it took (ms), and what came back."""

    at: int
    took: int
    status: int | None = None
    error: str | None = None
    answer: str = ""
    """The first bytes of the receiver's answer."""


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One outcome on its way to one URL."""

    id: str
    job_id: str
    url: str
    created: int
    due: int
    state: DeliveryState = DeliveryState.PENDING
    revision: int = 1
    attempts: tuple[Attempt, ...] = ()

    def after(self, attempt: Attempt, *, hint: int = 0) -> Delivery:
        """Return the delivery after `attempt`. `hint`: milliseconds that the receiver asked to wait, or 0."""
        attempts = (*self.attempts, attempt)
        state, due = self._judge(attempt, len(attempts), hint)
        return msgspec.structs.replace(self, attempts=attempts, state=state, due=due, revision=self.revision + 1)

    def abandoned(self, attempt: Attempt) -> Delivery:
        """Return the delivery given up with `attempt`: there is nothing left that could be delivered."""
        attempts = (*self.attempts, attempt)
        return msgspec.structs.replace(self, attempts=attempts, state=DeliveryState.FAILED, revision=self.revision + 1)

    def _judge(self, attempt: Attempt, count: int, hint: int) -> tuple[DeliveryState, int]:
        if attempt.status is not None and 200 <= attempt.status < 300:
            return DeliveryState.DELIVERED, self.due
        if attempt.status == 410:
            return DeliveryState.DISABLED, self.due
        if count >= len(SCHEDULE):
            return DeliveryState.FAILED, self.due
        wait = jittered(SCHEDULE[count], f"{self.id}{count}")
        return DeliveryState.PENDING, attempt.at + max(wait, min(hint, MAX_HINT))
