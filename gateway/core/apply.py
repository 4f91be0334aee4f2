"""`apply`: what an event changes in the record. Where it leads is the table's business (`states.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.core import events as e
from gateway.core.job import Job, LegKind, Outcome, Progress, State, Stopping, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import state_of
from gateway.core.states import target

MIN_HOLD = 100
"""A leg that redirects sooner than this (ms) after the one before did not hold."""


Changes = dict[str, Any]
"""Fields of the record and their new values."""


def apply(job: Job, event: e.Event, now: int) -> Job:
    """Return `job` after `event`. Raises `IllegalTransition`, and then nothing has changed.

    The revision grows if anything durable changed, so that two records of one revision are the same.
    """
    to = target(job.state, event)
    changing = _CHANGES.get(type(event))
    changes = {} if changing is None else changing(job, event, now)
    state = to if isinstance(to, State) else state_of(_outcome(event))
    if state is not job.state:
        changes |= {"state": state, "changed": now, "finished": now if state.terminal else None}
    for name, value in changes.items():
        if name != "progress" and getattr(job, name) != value:
            changes["revision"] = job.revision + 1
            break
    return msgspec.structs.replace(job, **changes) if changes else job


def _outcome(event: e.Event) -> Outcome:
    if isinstance(event, e.Ended):
        return event.outcome
    raise AssertionError(f"{type(event).__name__} has no outcome")


def _intended(job: Job, _event: e.StartIntended, now: int) -> Changes:
    # Where an earlier try may have run, what is looked for may be as old as that one.
    since = now if job.error is None else job.intended or now
    progress = msgspec.structs.replace(job.progress, attempts=job.progress.attempts + 1)
    return {"intended": since, "progress": progress, "message": None}


def _postponed(job: Job, event: e.StartPostponed, _now: int) -> Changes:
    return {"not_before": event.at, "message": event.why, "error": event.code or job.error}


def _refused(job: Job, event: e.StartRefused, now: int) -> Changes:
    return _concluded(job, event.outcome, now) | {"refused": True, "frees_key": event.frees_key}


def _in_doubt(job: Job, event: e.StartAmbiguous | e.Lost, now: int) -> Changes:
    return {"error": event.code, "message": event.why, "progress": _settled(job, now)}


def _followed(job: Job, event: e.Followed, now: int) -> Changes:
    # As a verdict on an `unknown` job it begins anew, except for when the job was started: if anything told, or else it
    # was sent. Its age would be what it took to find it.
    sent = job.intended if job.state is State.UNKNOWN else None
    return {
        "observed": event.mode,
        "leg": event.leg,
        "upstream_key": event.key or job.upstream_key,
        "started": job.started or sent or now,
        "redirects": 0,
        "error": None,
        "message": None,
        "progress": _settled(job, now),
    }


def _dispatched(_job: Job, _event: e.Dispatched, now: int) -> Changes:
    return {"observed": UpstreamMode.FORGET, "started": now, "error": None}


def _running(job: Job, event: e.StillRunning, now: int) -> Changes:
    return {"redirects": 0, "progress": _read(job, now - event.ago, hint=event.hint)}


def _redirected(job: Job, event: e.Redirected, now: int) -> Changes:
    # An upstream that redirects without holding would have us spin.
    held = event.leg.kind is LegKind.OUTPUT or now - job.progress.read_at >= MIN_HOLD
    progress = _read(job, now, hint=0 if held else MIN_HOLD)
    return {"leg": event.leg, "redirects": event.redirects, "progress": progress}


def _in_vain(job: Job, event: e.ReadFailed | e.NoVerdict, now: int) -> Changes:
    failures = job.progress.failures + 1
    return {"progress": _read(job, now, hint=event.hint, failures=failures, trouble=event.why)}


def _located(_job: Job, event: e.Located, _now: int) -> Changes:
    return {"upstream_key": event.key}


def _stop_sent(_job: Job, event: e.StopSent, now: int) -> Changes:
    return {"stopping": Stopping(now, event.strategy)}


def _stop_failed(job: Job, event: e.StopFailed, now: int) -> Changes:
    sent, failures = _stopping(job)
    progress = msgspec.structs.replace(job.progress, trouble=event.why)
    return {"stopping": Stopping(now + event.hint, sent, failures + 1), "progress": progress}


def _stopping(job: Job) -> tuple[StopStrategy | None, int]:
    return (None, 0) if job.stopping is None else (job.stopping.sent, job.stopping.failures)


def _ended(job: Job, event: e.Ended, now: int) -> Changes:
    # By a read, or by the start's own answer.
    progress = _read(job, now) if event.mode is None else _settled(job, now)
    started = {"observed": event.mode or job.observed, "started": job.started or now, "error": None}
    return _came_to(event.outcome, progress) | started


def _concluded(job: Job, outcome: Outcome, now: int) -> Changes:
    return _came_to(outcome, _settled(job, now))


def _came_to(outcome: Outcome, progress: Progress) -> Changes:
    return {
        "outcome": outcome.head,
        "error": outcome.problem,
        "message": outcome.detail,
        "leg": None,
        "progress": progress,
    }


def _gave_up(job: Job, event: e.GaveUp | e.Canceled, now: int) -> Changes:
    never_started = job.state is State.ACCEPTED and job.error is None
    return _concluded(job, event.outcome, now) | {"refused": never_started, "frees_key": never_started}


def _cancel_requested(_job: Job, _event: e.CancelRequested, _now: int) -> Changes:
    return {"cancel_requested": True}


def _verdict_missed(_job: Job, _event: e.VerdictMissed, _now: int) -> Changes:
    return {"leg": None}


def _settled(job: Job, now: int) -> Progress:
    return Progress(now, attempts=job.progress.attempts)


def _read(job: Job, now: int, *, hint: int = 0, failures: int = 0, trouble: str | None = None) -> Progress:
    return Progress(now, hint, failures, job.progress.attempts + 1, trouble)


_CHANGES: dict[type[e.Event], Callable[[Job, Any, int], Changes]] = {
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
