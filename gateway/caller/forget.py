"""forget: 200 and an empty body, once the upstream has taken the start."""

from __future__ import annotations

from gateway.caller.common import ambiguous, before_start_answered, ended
from gateway.caller.port import Call, Reply, Step
from gateway.core.job import Job


def render(job: Job, call: Call, now: int) -> Step:
    """Answer once the start is answered, or after `start_wait`."""
    if (wait := before_start_answered(job, call, now)) is not None:
        return wait
    if job.refused:
        return ended(job, call)
    return ambiguous(job, call, now) or Reply(200)
