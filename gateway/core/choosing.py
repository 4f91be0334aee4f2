"""Upstream mode `auto`: which call mode a start asks for, by what that mode costs at this moment.

A held leg answers within a millisecond of the job's end and needs no other call. Its price is a connection for as long
as the job takes, of which Orchestrator bears only so many, and a start that may be lost for as long: whatever cuts the
first leg leaves a start in doubt. So it is chosen for those who wait, on routes whose jobs are known to be short and
whose doubts can be resolved, while there is room. Everything else is polled, which is never wrong.
"""

from __future__ import annotations

import msgspec

from gateway.core.job import Job, LegKind, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import MINUTE, LongPolls, OnDisconnect, Policy
from gateway.core.reach import stoppable
from gateway.core.schedule import Schedule

_BLOCKED = frozenset({CallerMode.SYNC, CallerMode.LONG_POLL})
"""Those who have nothing until the job ends. A stream would not be told that it runs, an async caller has its pace."""

_MOST = 0.9
"""The part of a route's jobs that must end within their first leg."""
_LONGEST = 5 * MINUTE
"""What hardly any job may take longer than: after 15 minutes a trigger gives a long poll up."""


class Moment(msgspec.Struct, frozen=True):
    """What the choice depends on besides the route's policy, which knows what was learned of the route's jobs."""

    mode: CallerMode | None
    """How the caller is answered."""
    held: int = 0
    """Connections of this replica that wait upstream for a job's end, or are about to."""
    budget: int = 0
    """How many there may be."""
    told: bool = False
    """Orchestrator's webhooks tell of the ends of the route's jobs, as of late."""
    cancels: bool = False
    """The caller wants the job canceled when it takes too long."""


def choose_upstream(policy: Policy, moment: Moment) -> UpstreamMode | None:
    """Return what a start asks for; None: the trigger's own mode."""
    if not policy.auto or policy.upstream_mode is UpstreamMode.JOBS:
        return policy.upstream_mode
    if not policy.track:
        # Nobody will ever follow it: no status URI is needed.
        return UpstreamMode.FORGET
    return UpstreamMode.LONG_POLL if _is_worth_holding(policy, moment) else UpstreamMode.ASYNC


def _is_worth_holding(policy: Policy, moment: Moment) -> bool:
    if moment.mode not in _BLOCKED or moment.told or moment.held >= moment.budget:
        return False
    # What is held cannot be stopped before its first leg is answered.
    if moment.cancels or policy.cancel_after is not None or policy.on_disconnect is OnDisconnect.CANCEL:
        return False
    return _is_allowed(policy) and _is_short(policy.pace.learned, policy.upstream_hold)


def _is_allowed(policy: Policy) -> bool:
    """Whether a start that is lost with its first leg does no harm, or somebody has said that it may be."""
    if policy.auto_long_poll is LongPolls.SAFE:
        return stoppable(policy) or (policy.idempotent and policy.start_retry > 0)
    return policy.auto_long_poll is LongPolls.ON


def _is_short(learned: Schedule | None, leg: int) -> bool:
    if learned is None or not learned.quantiles:
        return False
    ages = learned.quantiles
    return ages[int(_MOST * len(ages))] <= leg and ages[-1] <= _LONGEST


def holds(job: Job) -> bool:
    """Whether a connection waits upstream for the job's end, or is about to."""
    if job.state in {State.ACCEPTED, State.STARTING}:
        return job.asked is UpstreamMode.LONG_POLL
    return job.leg is not None and job.leg.kind is LegKind.HOLD
