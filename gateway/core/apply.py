"""`apply`: what an event changes in the record. Where it leads is the table's business (`states.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.core import events as e
from gateway.core.job import Job, LegKind, Outcome, Progress, State, Stopping, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import state_of
from gateway.core.states import END, target

MIN_HOLD = 100
"""A leg that redirects sooner than this (ms) after the one before did not hold."""


def apply(job: Job, event: e.Event, now: int) -> Job:
    """Return `job` after `event`. Raises `IllegalTransition`, and then nothing has changed.

    The revision grows if anything durable changed, so that two records of one revision are the same.
    """
    to = target(job.state, event)
    changed = _CHANGES[type(event)](job, event, now) if type(event) in _CHANGES else job
    state = state_of(_outcome(event)) if to == END else State(to)
    if state is not job.state:
        changed = changed.with_(state=state, changed=now, finished=now if state.terminal else None)
    return changed.with_(revision=job.revision + 1) if changed.differs_durably(job) else changed


def _outcome(event: e.Event) -> Outcome:
    if isinstance(event, e.Ended):
        return event.outcome
    raise AssertionError(f"{type(event).__name__} has no outcome")


def _intended(job: Job, _event: e.StartIntended, now: int) -> Job:
    # Where an earlier try may have run, what is looked for may be as old as that one.
    since = now if job.error is None else job.intended or now
    return job.with_(intended=since, progress=_tick(job, attempts=job.progress.attempts + 1), message=None)


def _postponed(job: Job, event: e.StartPostponed, _now: int) -> Job:
    return job.with_(not_before=event.at, message=event.why, error=event.code or job.error)


def _refused(job: Job, event: e.StartRefused, now: int) -> Job:
    return _concluded(job, event.outcome, now).with_(refused=True, frees_key=event.frees_key)


def _in_doubt(job: Job, event: e.StartAmbiguous | e.Lost, now: int) -> Job:
    progress = _tick(job, read_at=now, hint=0, failures=0, trouble=None)
    return job.with_(error=event.code, message=event.why, progress=progress)


def _followed(job: Job, event: e.Followed, now: int) -> Job:
    # As a verdict on an `unknown` job it begins anew, except for when the job was started.
    return job.with_(
        observed=event.mode,
        leg=event.leg,
        upstream_key=event.key or job.upstream_key,
        started=job.started or now,
        redirects=0,
        error=None,
        message=None,
        progress=_tick(job, read_at=now, hint=0, failures=0, trouble=None),
    )


def _dispatched(job: Job, _event: e.Dispatched, now: int) -> Job:
    return job.with_(observed=UpstreamMode.FORGET, started=now, error=None)


def _running(job: Job, event: e.StillRunning, now: int) -> Job:
    return job.with_(redirects=0, progress=_read(job, now, hint=event.hint))


def _redirected(job: Job, event: e.Redirected, now: int) -> Job:
    # An upstream that redirects without holding would have us spin.
    held = event.leg.kind is LegKind.OUTPUT or now - job.progress.read_at >= MIN_HOLD
    progress = _read(job, now, hint=0 if held else MIN_HOLD)
    return job.with_(leg=event.leg, redirects=event.redirects, progress=progress)


def _in_vain(job: Job, event: e.ReadFailed | e.NoVerdict, now: int) -> Job:
    failures = job.progress.failures + 1
    return job.with_(progress=_read(job, now, hint=event.hint, failures=failures, trouble=event.why))


def _located(job: Job, event: e.Located, _now: int) -> Job:
    return job.with_(upstream_key=event.key)


def _stop_sent(job: Job, event: e.StopSent, now: int) -> Job:
    return job.with_(stopping=Stopping(now, event.strategy))


def _stop_failed(job: Job, event: e.StopFailed, now: int) -> Job:
    sent, failures = _stopping(job)
    progress = _tick(job, trouble=event.why)
    return job.with_(stopping=Stopping(now + event.hint, sent, failures + 1), progress=progress)


def _stopping(job: Job) -> tuple[StopStrategy | None, int]:
    return (None, 0) if job.stopping is None else (job.stopping.sent, job.stopping.failures)


def _ended(job: Job, event: e.Ended, now: int) -> Job:
    by_read = event.mode is None
    ended = _concluded(job, event.outcome, now).with_(
        observed=event.mode or job.observed, started=job.started or now, error=None
    )
    return ended.with_(progress=_read(job, now)) if by_read else ended


def _concluded(job: Job, outcome: Outcome, now: int) -> Job:
    return job.with_(
        outcome=outcome.head,
        error=outcome.problem,
        message=outcome.detail,
        leg=None,
        progress=_tick(job, read_at=now, hint=0, failures=0, trouble=None),
    )


def _gave_up(job: Job, event: e.GaveUp | e.Canceled, now: int) -> Job:
    never_started = job.state is State.ACCEPTED and job.error is None
    return _concluded(job, event.outcome, now).with_(refused=never_started, frees_key=never_started)


def _cancel_requested(job: Job, _event: e.CancelRequested, _now: int) -> Job:
    return job.with_(cancel_requested=True)


def _verdict_missed(job: Job, _event: e.VerdictMissed, _now: int) -> Job:
    return job.with_(leg=None)


def _read(job: Job, now: int, *, hint: int = 0, failures: int = 0, trouble: str | None = None) -> Progress:
    return _tick(job, read_at=now, hint=hint, failures=failures, trouble=trouble, attempts=job.progress.attempts + 1)


def _tick(job: Job, **changes: object) -> Progress:
    return msgspec.structs.replace(job.progress, **changes)


_CHANGES: dict[type[e.Event], Callable[[Job, Any, int], Job]] = {
    e.StartIntended: _intended,
    e.StartPostponed: _postponed,
    e.StartRefused: _refused,
    e.StartAmbiguous: _in_doubt,
    e.Followed: _followed,
    e.Dispatched: _dispatched,
    e.StillRunning: _running,
    e.Redirected: _redirected,
    e.ReadFailed: _in_vain,
    e.Lost: _in_doubt,
    e.NoVerdict: _in_vain,
    e.Located: _located,
    e.StopSent: _stop_sent,
    e.StopFailed: _stop_failed,
    e.Ended: _ended,
    e.GaveUp: _gave_up,
    e.Canceled: _gave_up,
    e.CancelRequested: _cancel_requested,
    e.VerdictMissed: _verdict_missed,
}
