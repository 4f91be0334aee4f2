"""async: 202 with a poll URI, which says 200 while the job runs and then redirects to the result."""

from __future__ import annotations

from gateway.caller.common import JSON, accepted, ambiguous, before_start_answered, ended, retry_field, without_verdict
from gateway.caller.monitor import monitor
from gateway.caller.port import Call, Reply, Step
from gateway.core.job import Job, State


def render(job: Job, call: Call, now: int) -> Step:
    """Answer the first call: once the start is answered, or after `start_wait`."""
    if (wait := before_start_answered(job, call, now)) is not None:
        return wait
    if job.refused:
        return ended(job, call)
    return ambiguous(job, call, now) or accepted(job, call, now)


def poll(job: Job, call: Call, now: int) -> Step:
    """Answer the poll URI. It never holds."""
    urls = call.urls(job)
    if job.state is State.EXPIRED:
        return ended(job, call)
    if job.state.terminal:
        return Reply(call.policy.redirect_status, (("Location", urls.result),))
    if (problem := without_verdict(job, call, now)) is not None:
        return problem
    headers = (JSON, retry_field(job, call, now))
    return Reply(call.policy.running_status, headers, monitor(job, call.policy, urls, now))
