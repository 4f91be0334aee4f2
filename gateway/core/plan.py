"""`plan`: what is to be done for a job next, and when. The record alone decides, so any replica computes the same."""

from __future__ import annotations

import msgspec

from gateway.core import events as e
from gateway.core.errors import JobCanceled, JobDeadline, UpstreamAmbiguous, UpstreamUnreachable
from gateway.core.job import Job, Leg, LegKind, State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome
from gateway.core.policy import Policy
from gateway.core.timing import backoff, jittered, poll_interval


class Start(msgspec.Struct, frozen=True):
    """Send the start, once."""

    at: int
    timeout: int


class Read(msgspec.Struct, frozen=True):
    """Read `leg`. Safe to repeat."""

    at: int
    leg: Leg
    timeout: int


class Conclude(msgspec.Struct, frozen=True):
    """Nothing needs to be asked of anybody: `event` is due at `at`."""

    at: int
    event: e.Event


Action = Start | Read | Conclude


def plan(job: Job, policy: Policy, now: int) -> Action | None:
    """Return the next action, due at its `at` (which may have passed); None for a job that has ended."""
    match job.state:
        case State.ACCEPTED:
            return _before_start(job, policy, now)
        case State.STARTING:
            # A record is planned only between actions: whoever was sending this start is gone.
            return Conclude(now, e.StartAmbiguous("the replica that was sending the start is gone"))
        case State.RUNNING:
            return _running(job, policy, now)
        case State.UNKNOWN:
            return Conclude(job.changed + policy.unknown_ttl, e.VerdictMissed())
        case _:
            return None


def _before_start(job: Job, policy: Policy, now: int) -> Action:
    if job.cancel_requested:
        return Conclude(now, e.Canceled(problem_outcome(JobCanceled("the job was canceled before it was started"))))
    if now >= job.deadline:
        return _deadline(job)
    return Start(min(job.not_before, job.deadline), start_timeout(job.asked, policy))


def _running(job: Job, policy: Policy, now: int) -> Action:
    if now >= job.deadline:
        return _deadline(job)
    if job.leg is None:
        # Only a record of another version could be so; its job is not lost for it.
        return Conclude(now, e.Lost("the record names nothing to follow", UpstreamAmbiguous.code))
    timeout = policy.upstream_hold + policy.hold_margin if job.leg.kind is LegKind.HOLD else policy.read_timeout
    return Read(min(_next_read(job, job.leg, policy), job.deadline), job.leg, timeout)


def _next_read(job: Job, leg: Leg, policy: Policy) -> int:
    progress = job.progress
    if progress.failures:
        interval = backoff(progress.failures, progress.hint)
    elif leg.kind is LegKind.STATUS:
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
    return (
        policy.start_timeout if asked in {UpstreamMode.ASYNC, UpstreamMode.FORGET} else max(policy.start_timeout, leg)
    )


def postponed(job: Job, event: e.StartRefused, policy: Policy, now: int) -> e.StartRefused | e.StartPostponed:
    """Return what becomes of a refused start: the refusal, or another try where nothing ran and there is time.

    Only certain failures that time may heal are tried again: an unreachable upstream, and 429.
    """
    passing = event.outcome.status == 429 or event.outcome.problem == UpstreamUnreachable.code
    if not (event.frees_key and passing):
        return event
    tries = job.progress.attempts
    at = now + jittered(backoff(tries, event.hint), f"{job.id}{tries}")
    if at >= min(job.created + policy.start_retry, job.deadline):
        return event
    return e.StartPostponed(at, event.outcome.detail or "the upstream answered the start with 429")
