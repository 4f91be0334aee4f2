"""Histories that never happened, for the tests of the checker: one call that went well, to be spoilt in one place."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from tests.chaos.history import (
    Call,
    Complete,
    Delivered,
    Ended,
    Event,
    Invoke,
    Line,
    Record,
    Seen,
    Upstream,
)

CALL = "call-1-1-00000000aaaa"
OTHER = "call-1-2-00000000bbbb"
JOB = "a0" + "j" * 22
ELSEWHERE = "b1" + "k" * 22
OUTPUT = f'{{"id":"{CALL}"}}'
STREAMED = json.dumps({"status": 200, "headers": {}, "body": OUTPUT})
NOT_FOUND = '{"type":"urn:callmode:problem:not-found","retryable":false}'
AMBIGUOUS = '{"type":"urn:callmode:problem:upstream-ambiguous","retryable":false}'

T = TypeVar("T", bound=Line)


def history() -> list[Line]:
    """Return a history in which all went well: a keyed callback call, read by every road at the end."""
    return [
        Call(CALL, 10.0, "callback", "async", "POST", "a", "key", 1.0),
        Invoke(1, CALL, "start", 0, 10.0, 1.0),
        Complete(1, 10.1, 202, JOB, location=f"/-/jobs/{JOB}/poll"),
        Seen(10.2, JOB, 3, "running"),
        Seen(11.2, JOB, 4, "succeeded"),
        Delivered(11.3, CALL, JOB, "webhook-1", 200, OUTPUT, "succeeded", 204),
        Ended(CALL, 11.3, "outcome", JOB),
        Record(JOB, "succeeded", 4, "async", None, 200, False, False, True, 10_000, 11_200, OUTPUT),
        Upstream(CALL, 1, 1, 5, 1.0),
        Invoke(2, "nobody", "stranger", 0, 20.0, 0.5, True, "ff"),
        Complete(2, 20.1, 404, problem="not-found", body=NOT_FOUND),
        Invoke(3, CALL, "monitor", 1, 20.2, 0.5, True, JOB),
        Complete(3, 20.3, 200, JOB, body='{"status":"succeeded"}'),
        Invoke(4, CALL, "result", 1, 20.4, 0.5, True, JOB),
        Complete(4, 20.5, 200, JOB, "succeeded", body=OUTPUT),
        Invoke(5, CALL, "events", 2, 20.6, 0.5, True, JOB),
        Complete(5, 20.7, 200, JOB, events=(Event(4, "outcome", STREAMED),)),
        Invoke(6, CALL, "stranger", 2, 20.8, 0.5, True, JOB),
        Complete(6, 20.9, 404, problem="not-found", body=NOT_FOUND),
        Invoke(7, CALL, "replay", 0, 21.0, 6.0, True, JOB),
        Complete(7, 21.1, 200, JOB, "succeeded", replayed=True, body=OUTPUT),
    ]


def spoilt(*changed: Line, without: type[Line] | None = None, more: tuple[Line, ...] = ()) -> list[Line]:
    """Return the history with lines in place of those that they are `like`, without a kind, with more at its end."""
    lines = [line for line in history() if without is None or not isinstance(line, without)]
    for line in changed:
        lines[next(n for n, each in enumerate(lines) if _same(each, line))] = line
    return [*lines, *more]


def like(kind: type[T], number: int | None = None, **changes: object) -> T:
    """Return the history's line of a kind (an exchange's by its number) with changes."""
    line = next(each for each in history() if isinstance(each, kind) and getattr(each, "n", None) == number)
    return msgspec.structs.replace(line, **changes)


def _same(one: Line, other: Line) -> bool:
    return type(one) is type(other) and getattr(one, "n", None) == getattr(other, "n", None)
