"""upstream: in whichever mode the trigger itself answered."""

from __future__ import annotations

from gateway.caller import forget, long_poll, polling
from gateway.caller.common import ended, held
from gateway.caller.port import Call, Renderer, Step
from gateway.core.job import Job
from gateway.core.modes import UpstreamMode

_AS_OBSERVED: dict[UpstreamMode, Renderer] = {
    UpstreamMode.ASYNC: polling.render,
    UpstreamMode.LONG_POLL: long_poll.render,
    UpstreamMode.FORGET: forget.render,
    UpstreamMode.JOBS: polling.render,
}


def render(job: Job, call: Call, now: int) -> Step:
    """Wait for the trigger's answer, then go on in its mode."""
    if job.observed is not None:
        return _AS_OBSERVED[job.observed](job, call, now)
    if job.state.terminal:
        return ended(job, call)
    return held(job, call, now, call.until) or polling.render(job, call, now)
