"""When to read a status URI next: pure arithmetic on ages, in milliseconds.

A read costs the upstream a call, and not reading costs the caller the time since the job ended. With no more knowledge
than a typical duration, reads come at 17.5 % of it, and once a job is nearly twice as old as is typical, at a tenth of
its age: delay and price then grow together, and an old job is not polled like a young one. Once a route's jobs have
told how long they take, reads come when these ended instead (`scheduling`), and the reads of a job older than all of
them grow apart until they go by its age again.
"""

from __future__ import annotations

import zlib
from email.utils import parsedate_to_datetime

from gateway.core.hazard import Ends
from gateway.core.job import Job
from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Pace
from gateway.core.schedule import Schedule

_FIRST_READ = 0.3
"""Of the typical duration: sooner, hardly any job has ended."""
_STEP = 0.175
_AGE_SHARE = 0.1
_AGE_SHARE_UNKNOWN = 0.12
_JITTER = 0.1
"""Only ever later: what the upstream asked for (Retry-After) and the floor are lower bounds."""

_FIRST_BACKOFF = 250
_MAX_BACKOFF = 15_000


def began(job: Job) -> int:
    """Return when a job's age began to count: when its start was answered; of a held start, when that was sent."""
    if job.observed is UpstreamMode.LONG_POLL and job.intended is not None:
        return job.intended
    return job.started or job.created


def poll_interval(age: int, pace: Pace, hint: int = 0) -> int:
    """Return how long to wait, from a job of `age`, until its status is read again.

    `hint`: what the upstream asked for (Retry-After), a lower bound; 0 if nothing.
    """
    planned = _by_age(age, pace) if pace.learned is None else _as_learned(age, pace, pace.learned)
    return max(hint, pace.floor, min(int(planned), pace.ceiling) * pace.stretch)


def _as_learned(age: int, pace: Pace, learned: Schedule) -> float:
    if (at := learned.next_read(age)) is not None:
        return at - age
    # From the last steps on, they grow with what nobody knew, until they are those of any job of that age.
    overdue, step = learned.overdue(age)
    return min(step + _AGE_SHARE_UNKNOWN * overdue, _by_age(age, pace))


def _by_age(age: float, pace: Pace) -> float:
    if pace.typical is None:
        return _AGE_SHARE_UNKNOWN * age
    if age == 0:
        return _FIRST_READ * pace.typical
    return max(_STEP * pace.typical, _AGE_SHARE * age)


def paced_reads(ends: Ends, pace: Pace) -> float:
    """Return how often a job is read in the mean that is planned by its age alone."""
    age = reads = 0.0
    while age < ends.last:
        interval = max(pace.floor, min(_by_age(age, pace), pace.ceiling)) * (1 + _JITTER / 2)
        ended, moment = ends.by(age)
        if age and interval >= pace.ceiling:
            # They are equally spaced from here on: as many as fit into the time that is left, and half a one.
            left = ends.mean - moment - age * (1 - ended)
            return reads + left / interval + (1 - ended) / 2
        reads += 1 - ended
        age += interval
    return reads


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


def jittered(interval: int, seed: str, room: int | None = None) -> int:
    """Return `interval` longer by up to a tenth, the same for the same seed, so that jobs do not march in step.

    `room`: what the tenth is of instead, if that is less.
    """
    fraction = zlib.crc32(seed.encode()) / 0xFFFF_FFFF
    return interval + int(min(interval, interval if room is None else room) * _JITTER * fraction)


def jitter_room(age: int, pace: Pace) -> int | None:
    """Return what jitter after `age` is a tenth of at most: a learned read must not slip to the next one."""
    return None if pace.learned is None else pace.learned.room(age)
