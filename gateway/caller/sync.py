"""sync: one response, the outcome itself."""

from __future__ import annotations

from gateway.caller.common import ambiguous, ended, wait_ran_out
from gateway.caller.port import Call, Step, Wait
from gateway.core.job import Job


def render(job: Job, call: Call, now: int) -> Step:
    """Hold the caller until the job ends or its wait runs out."""
    if job.state.terminal:
        return ended(job, call)
    if (step := ambiguous(job, call, now)) is not None:
        return step
    return Wait(call.until) if now < call.until else wait_ran_out(job, call, now)
