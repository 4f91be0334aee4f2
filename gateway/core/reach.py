"""What can still be done about a job once it has been started: whether it can be found, and so be stopped."""

from __future__ import annotations

from gateway.core.job import Job, State
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Policy

NO_WAY = "API triggers give no way to stop a job that was started"
"""Why it cannot be stopped."""


def findable(job: Job, policy: Policy) -> bool:
    """Whether the Jobs API can tell of the job: by its key, or by what its start carried."""
    return policy.binding.api and (_carried(job.asked, policy) or job.upstream_key is not None)


def stoppable(policy: Policy) -> bool:
    """Whether every job that is started under the policy can be found, and so be stopped."""
    return policy.binding.api and _carried(policy.upstream_mode, policy)


def cancelable(job: Job, policy: Policy) -> bool:
    """Whether there is a way to stop the job: before it was started, or through the Jobs API."""
    return not job.state.terminal and (job.state is State.ACCEPTED or findable(job, policy))


def _carried(asked: UpstreamMode | None, policy: Policy) -> bool:
    return asked is UpstreamMode.JOBS or policy.binding.correlation is not None
