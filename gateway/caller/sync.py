"""sync: one response, the outcome itself."""

from __future__ import annotations

from gateway.caller.common import ended, held, wait_ran_out
from gateway.caller.port import Call, Step
from gateway.core.job import Job


def render(job: Job, call: Call, now: int) -> Step:
    """Hold the caller until the job ends or its wait runs out."""
    if job.state.terminal:
        return ended(job, call)
    return held(job, call, now, call.until) or wait_ran_out(job, call, now)
