"""When to read a status URI next: pure arithmetic on ages, in milliseconds.

A read costs the upstream a call, and not reading costs the caller the time since the job ended. With no more knowledge
than a typical duration, reads come at 17.5 % of it, and once a job is nearly twice as old as is typical, at a tenth of
its age: delay and price then grow together, and an old job is not polled like a young one.
"""

from __future__ import annotations

import zlib
from email.utils import parsedate_to_datetime

from gateway.core.policy import SECOND, Pace

_FIRST_READ = 0.3
"""Of the typical duration: sooner, hardly any job has ended."""
_STEP = 0.175
_AGE_SHARE = 0.1
_AGE_SHARE_UNKNOWN = 0.12
_JITTER = 0.1
"""Only ever later: what the upstream asked for (Retry-After) and the floor are lower bounds."""

_FIRST_BACKOFF = 250
_MAX_BACKOFF = 15_000


def poll_interval(age: int, pace: Pace, hint: int = 0) -> int:
    """Return how long to wait, from a job of `age`, until its status is read again.

    `hint`: what the upstream asked for (Retry-After), a lower bound; 0 if nothing.
    """
    if pace.typical is None:
        planned = _AGE_SHARE_UNKNOWN * age
    elif age == 0:
        planned = _FIRST_READ * pace.typical
    else:
        planned = max(_STEP * pace.typical, _AGE_SHARE * age)
    return max(hint, pace.floor, min(int(planned), pace.ceiling))


def asked_wait(retry_after: str | None) -> int:
    """Return a Retry-After field's value in milliseconds; 0 if there is none, or a date (whose clock is not ours)."""
    value = (retry_after or "").strip()
    return int(value) * SECOND if value.isascii() and value.isdigit() and len(value) <= 6 else 0


def asked_until(retry_after: str | None, date: str | None) -> int:
    """Return a Retry-After field's value in milliseconds, a date too: its distance from the answer's own `Date`.

    Both are of one clock, so that it need not be ours (RFC 9110 10.2.3, 6.6.1). 0 where nothing usable is said.
    """
    if wait := asked_wait(retry_after):
        return wait
    try:
        until, now = parsedate_to_datetime(retry_after or ""), parsedate_to_datetime(date or "")
        return max(round((until - now).total_seconds()) * SECOND, 0)
    except (ValueError, TypeError, OverflowError):
        return 0


def backoff(failures: int, hint: int = 0) -> int:
    """Return how long to wait after `failures` (at least 1) failures in a row."""
    return max(hint, min(_FIRST_BACKOFF << min(failures - 1, 10), _MAX_BACKOFF))


def jittered(interval: int, seed: str) -> int:
    """Return `interval` longer by up to a tenth, the same for the same seed, so that jobs do not march in step."""
    fraction = zlib.crc32(seed.encode()) / 0xFFFF_FFFF
    return interval + int(interval * _JITTER * fraction)
