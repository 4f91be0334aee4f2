"""How long what remains of a job is kept: its record, and its key. Pure; durations in milliseconds."""

from __future__ import annotations

from gateway.core.delivery import SPAN
from gateway.core.job import Job, KeyScope
from gateway.core.policy import HOUR, Policy

_SLACK = HOUR
"""How much longer than it may live a record is kept, so that whoever follows it late finds it."""


def kept_for(job: Job, policy: Policy, now: int) -> int:
    """Return how long (ms) the store is to keep `job`'s record from `now`: while it lives, well past its last turn."""
    if not job.state.terminal:
        return max(job.deadline - now, 0) + policy.unknown_ttl + _SLACK
    if job.callback_url is not None:
        return max(policy.retention, SPAN)
    return policy.refused_retention if job.refused else policy.retention


def key_kept_for(job: Job, policy: Policy, now: int) -> int:
    """Return how long (ms) from `now` another call with the job's key is a repetition of it; 0: no longer."""
    if job.key is None or job.frees_key:
        return 0
    keep = kept_for(job, policy, now)
    if job.key_scope is KeyScope.CALL:
        return max(policy.retention + policy.tombstone, keep) if job.state.terminal else keep
    if job.key_scope is KeyScope.RUN and not job.state.terminal:
        return keep
    return max(job.key_until - now, 0)
