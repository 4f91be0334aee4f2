"""`plan`: what is to be done for a job next, and when. The record alone decides, so any replica computes the same."""

from __future__ import annotations

import msgspec

from gateway.core import events as e
from gateway.core.errors import JobCanceled, JobDeadline, UpstreamAmbiguous, UpstreamUnreachable
from gateway.core.job import Job, Leg, LegKind, Outcome, State, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome
from gateway.core.policy import MINUTE, SECOND, Policy
from gateway.core.timing import backoff, jittered, poll_interval

_FIRST_LOOK = SECOND // 2
"""After a start came to be in doubt: Orchestrator lists what it has created at once, or a moment later."""
_LOOK_FLOOR = 1 * SECOND
_LOOK_CEILING = 5 * MINUTE


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
        return Conclude(now, e.Canceled(problem_outcome(JobCanceled("the job was canceled before it was started"))))
    if now >= job.deadline:
        return _deadline(job)
    if job.cancel_at is not None and job.cancel_at <= max(now, job.not_before):
        return Conclude(job.cancel_at, e.CancelRequested())
    return Start(min(job.not_before, job.deadline), start_timeout(job.asked, policy))


def _running(job: Job, policy: Policy, now: int) -> Action:
    if now >= job.deadline:
        return _deadline(job)
    if job.leg is None:
        # Only a record of another version could be so; its job is not lost for it.
        return Conclude(now, e.Lost("the record names nothing to follow", UpstreamAmbiguous.code))
    timeout = policy.upstream_hold + policy.hold_margin if job.leg.kind is LegKind.HOLD else policy.read_timeout
    read = Read(min(_next_read(job, job.leg, policy), job.deadline), job.leg, timeout)
    cancel = _next_of_cancel(job, policy)
    return read if cancel is None or read.at < cancel.at else cancel


def cancelable(job: Job, policy: Policy) -> bool:
    """Whether there is a way to stop the job: before it was started, or through the Jobs API."""
    if job.state.terminal:
        return False
    known = policy.binding.api and job.upstream_key is not None
    return job.state is State.ACCEPTED or known or policy.binding.findable


def _next_of_cancel(job: Job, policy: Policy) -> Stop | Conclude | None:
    """Return the next step of canceling a running job: the request itself, a stop, and after a while a kill."""
    if not cancelable(job, policy):
        return None
    if not job.cancel_requested:
        return None if job.cancel_at is None else Conclude(job.cancel_at, e.CancelRequested())
    stopping = job.stopping
    if stopping is None:
        return Stop(0, StopStrategy.SOFT, policy.read_timeout)
    strategy = StopStrategy.SOFT if stopping.sent is None else StopStrategy.KILL
    if stopping.failures:
        return Stop(stopping.at + backoff(stopping.failures), strategy, policy.read_timeout)
    return Stop(stopping.at + policy.kill_after, strategy, policy.read_timeout)


def _unknown(job: Job, policy: Policy) -> Action:
    missed = Conclude(job.changed + policy.unknown_ttl, e.VerdictMissed())
    if not (policy.binding.findable or (policy.binding.api and job.upstream_key is not None)):
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
    if progress.failures:
        interval = backoff(progress.failures, progress.hint)
    elif leg.kind in {LegKind.STATUS, LegKind.JOB}:
        age = progress.read_at - (job.started or job.created)
        interval = poll_interval(age, policy.pace, progress.hint)
    else:
        return progress.read_at + progress.hint
    return progress.read_at + jittered(interval, f"{job.id}{progress.attempts}")


def _deadline(job: Job) -> Conclude:
    detail = "the job had not ended at its deadline; whether it runs on is not known"
    return Conclude(job.deadline, e.GaveUp(problem_outcome(JobDeadline(detail))))


def start_timeout(asked: UpstreamMode | None, policy: Policy) -> int:
    """Return how long a start may take: a long-poll's first leg is start and wait in one."""
    leg = policy.upstream_hold + policy.hold_margin
    short = {UpstreamMode.ASYNC, UpstreamMode.FORGET, UpstreamMode.JOBS}
    return policy.start_timeout if asked in short else max(policy.start_timeout, leg)


def postponed(job: Job, event: e.Event, policy: Policy, now: int) -> e.Event:
    """Return what becomes of a start that came to `event`: that, or another try where that is safe and there is time.

    Tried again are certain failures that time may heal (an unreachable upstream, and 429), and ambiguous ones of a
    route that says that running twice does no harm.
    """
    match event:
        case e.StartRefused(outcome, frees_key=True, hint=hint) if _passes(outcome):
            why = outcome.detail or "the upstream answered the start with 429"
        case e.StartAmbiguous(why, code) if policy.idempotent and code == UpstreamAmbiguous.code:
            hint = 0
        case _:
            return event
    tries = job.progress.attempts
    at = now + jittered(backoff(max(tries, 1), hint), f"{job.id}{tries}")
    return event if at >= min(job.created + policy.start_retry, job.deadline) else e.StartPostponed(at, why)


def _passes(outcome: Outcome) -> bool:
    return outcome.status == 429 or outcome.problem == UpstreamUnreachable.code
