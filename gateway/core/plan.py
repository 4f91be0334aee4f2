"""`plan`: what is to be done for a job next, and when. The record alone decides, so any replica computes the same."""

from __future__ import annotations

import msgspec

from gateway.core import events as e
from gateway.core.errors import JobCanceled, JobDeadline, UpstreamAmbiguous, UpstreamUnreachable
from gateway.core.job import Job, Leg, LegKind, Outcome, State, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome, tells_no_end
from gateway.core.policy import MINUTE, SECOND, Policy
from gateway.core.reach import cancelable, findable
from gateway.core.timing import backoff, began, jitter_room, jittered, poll_interval

_FIRST_LOOK = SECOND // 2
"""After a start came to be in doubt: Orchestrator lists what it has created at once, or a moment later."""
_LOOK_FLOOR = 1 * SECOND
_LOOK_CEILING = 5 * MINUTE

_LATE_READ = 1 * MINUTE
"""What a job has that was found only after its deadline: it may well have ended in time."""

_SOFT_STOPS = 5
"""Refused in a row, the next is a kill."""
_KILL_AGAIN = 15 * SECOND
"""A job that was killed and has not ended is not killed again sooner."""

_NO_END = "the upstream answered that it does not know how the job ended; it may run on"

_CUT_FLOOR = 1 * SECOND
"""A held leg is not cut shorter than this for what is due meanwhile."""


class Start(msgspec.Struct, frozen=True):
    """Send the start, once."""

    at: int
    timeout: int


class Read(msgspec.Struct, frozen=True):
    """Read `leg`. Safe to repeat."""

    at: int
    leg: Leg
    timeout: int


class Reconcile(msgspec.Struct, frozen=True):
    """Ask Orchestrator what became of a job whose start is in doubt. Safe to repeat."""

    at: int
    timeout: int


class Stop(msgspec.Struct, frozen=True):
    """Ask Orchestrator to stop the job. Safe to repeat."""

    at: int
    strategy: StopStrategy
    timeout: int


class Conclude(msgspec.Struct, frozen=True):
    """Nothing needs to be asked of anybody: `event` is due at `at`."""

    at: int
    event: e.Event


Action = Start | Read | Reconcile | Stop | Conclude


def plan(job: Job, policy: Policy, now: int) -> Action | None:
    """Return the next action, due at its `at` (which may have passed); None for a job that has ended."""
    match job.state:
        case State.ACCEPTED:
            return _before_start(job, policy, now)
        case State.STARTING:
            # A record is planned only between actions: whoever was sending this start is gone.
            gone = e.StartAmbiguous("the replica that was sending the start is gone")
            return Conclude(now, postponed(job, gone, policy, now))
        case State.RUNNING:
            return _running(job, policy, now)
        case State.UNKNOWN:
            return _unknown(job, policy)
        case _:
            return None


def _before_start(job: Job, policy: Policy, now: int) -> Action:
    if job.cancel_requested:
        when = "before it was started" if job.error is None else "between two tries of its start, which may have run"
        return Conclude(now, e.Canceled(problem_outcome(JobCanceled(f"the job was canceled {when}"))))
    if now >= job.deadline:
        return _deadline(job)
    at = min(job.not_before, job.deadline)
    if job.cancel_at is not None and job.cancel_at <= max(now, at):
        return Conclude(job.cancel_at, e.CancelRequested())
    return Start(at, start_timeout(job.asked, policy))


def _running(job: Job, policy: Policy, now: int) -> Action:
    if now >= (end := _end(job)):
        return _deadline(job)
    if job.leg is None:
        # Only a record of another version could be so; its job is not lost for it.
        return Conclude(now, e.Lost("the record names nothing to follow", UpstreamAmbiguous.code))
    at = min(_next_read(job, job.leg, policy), end)
    cancel = _next_of_cancel(job, policy)
    if cancel is not None and cancel.at <= max(at, now):
        return cancel
    if job.leg.kind is not LegKind.HOLD:
        return Read(at, job.leg, policy.read_timeout)
    # Held for as long as nothing else is due.
    free = (end if cancel is None else min(cancel.at, end)) - max(at, now)
    return Read(at, job.leg, min(policy.upstream_hold + policy.hold_margin, max(free, _CUT_FLOOR)))


def _end(job: Job) -> int:
    """Return when a running job is given up."""
    progress = job.progress
    read = progress.read_at > job.changed and not progress.failures
    if job.changed < job.deadline or read or job.leg is None or job.leg.kind is not LegKind.JOB:
        return job.deadline
    return job.changed + _LATE_READ


def _next_of_cancel(job: Job, policy: Policy) -> Stop | Conclude | None:
    """Return the next step of canceling a running job: the request itself, a stop, and after a while a kill."""
    if not job.cancel_requested:
        at = job.cancel_at
        return Conclude(at, e.CancelRequested()) if at is not None and cancelable(job, policy) else None
    if not cancelable(job, policy):
        return None
    stopping = job.stopping
    if stopping is None:
        return Stop(0, StopStrategy.SOFT, policy.read_timeout)
    # One who refuses every soft stop is not going to take the next.
    soft = stopping.sent is None and stopping.failures < _SOFT_STOPS
    strategy = StopStrategy.SOFT if soft else StopStrategy.KILL
    if stopping.failures:
        wait = backoff(stopping.failures)
    elif stopping.sent is StopStrategy.KILL:
        wait = max(policy.kill_after, _KILL_AGAIN)
    else:
        wait = policy.kill_after
    return Stop(stopping.at + wait, strategy, policy.read_timeout)


def _unknown(job: Job, policy: Policy) -> Action:
    missed = Conclude(job.changed + policy.unknown_ttl, e.VerdictMissed())
    if not findable(job, policy):
        return missed
    look = Reconcile(_next_look(job), policy.read_timeout)
    return look if look.at < missed.at else missed


def _next_look(job: Job) -> int:
    progress = job.progress
    if not progress.failures:
        return job.changed + _FIRST_LOOK
    interval = max(_LOOK_FLOOR, min((progress.read_at - job.changed) // 2, _LOOK_CEILING), progress.hint)
    return progress.read_at + jittered(interval, f"{job.id}{progress.attempts}")


def _next_read(job: Job, leg: Leg, policy: Policy) -> int:
    progress = job.progress
    room = None
    if progress.failures:
        interval = backoff(progress.failures, progress.hint)
    elif leg.kind in {LegKind.STATUS, LegKind.JOB}:
        age = progress.read_at - began(job)
        interval = poll_interval(age, policy.pace, progress.hint)
        room = jitter_room(age, policy.pace)
    else:
        return progress.read_at + progress.hint
    return progress.read_at + jittered(interval, f"{job.id}{progress.attempts}", room)


def _deadline(job: Job) -> Conclude:
    detail = "the job had not ended at its deadline; whether it runs on is not known"
    return Conclude(job.deadline, e.GaveUp(problem_outcome(JobDeadline(detail))))


_ANSWERED_AT_ONCE = frozenset({UpstreamMode.ASYNC, UpstreamMode.FORGET, UpstreamMode.JOBS})


def start_timeout(asked: UpstreamMode | None, policy: Policy) -> int:
    """Return how long a start may take: a long-poll's first leg is start and wait in one."""
    leg = policy.upstream_hold + policy.hold_margin
    return policy.start_timeout if asked in _ANSWERED_AT_ONCE else max(policy.start_timeout, leg)


def postponed(job: Job, event: e.Event, policy: Policy, now: int) -> e.Event:
    """Return what becomes of a start that came to `event`: that, or another try where that is safe and there is time.

    Tried again are certain failures that time may heal (an unreachable upstream, and 429), and ambiguous ones of a
    route that says that running twice does no harm. What is certain of the last try is not of one that may have run.
    """
    doubt, hint = None, 0
    match event:
        case e.StartRefused(outcome, frees_key=True, hint=hint) if _passes(outcome):
            why = outcome.detail or "the upstream answered the start with 429"
        case e.StartAmbiguous(why, code) if policy.idempotent and code == UpstreamAmbiguous.code:
            doubt = code
        case e.Ended(outcome) if tells_no_end(outcome) and findable(job, policy):
            return e.StartAmbiguous(_NO_END)
        case _:
            return _doubted(job, event)
    tries = job.progress.attempts
    at = now + jittered(backoff(max(tries, 1), hint), f"{job.id}{tries}")
    too_late = at >= min(job.created + policy.start_retry, job.deadline)
    # What may run and is to be canceled needs to be found, not to be started again.
    if too_late or (doubt is not None and job.cancel_requested):
        return _doubted(job, event)
    return e.StartPostponed(at, why, doubt)


def unsettled(job: Job, event: e.Event, policy: Policy) -> e.Event:
    """Return what a read that came to `event` means: that, or a doubt where the Jobs API can tell more.

    A trigger waits for a long-polled job for 15 minutes and then answers with an error, though the job runs on. It is
    an outcome like any other for those who have nobody else to ask.
    """
    if isinstance(event, e.Ended) and tells_no_end(event.outcome) and findable(job, policy):
        return e.Lost(_NO_END, UpstreamAmbiguous.code)
    return event


def _doubted(job: Job, event: e.Event) -> e.Event:
    if job.error is not None and isinstance(event, e.StartRefused) and event.frees_key:
        return e.StartAmbiguous("an earlier try of the start may have run", job.error)
    return event


def _passes(outcome: Outcome) -> bool:
    return outcome.status == 429 or outcome.problem == UpstreamUnreachable.code
