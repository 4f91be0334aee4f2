"""The two of a job's own URLs that belong to no mode: its monitor and its result."""

from __future__ import annotations

from gateway.caller.common import JSON, ended, retry_field, without_verdict
from gateway.caller.monitor import monitor
from gateway.caller.port import Call, ProblemReply, Reply, Step, Wait
from gateway.core.errors import ResultNotReady
from gateway.core.job import Job


def show(job: Job, call: Call, now: int) -> Step:
    """Answer the monitor: always 200, held until `call.until` while the job goes on."""
    if job.state.terminal:
        return Reply(200, (JSON,), monitor(job, call.policy, call.urls(job)))
    if now < call.until:
        return Wait(call.until)
    return Reply(200, (JSON, retry_field(job, call, now)), monitor(job, call.policy, call.urls(job)))


def result(job: Job, call: Call, now: int) -> Step:
    """Answer the result URI: the outcome, or that there is none yet. It never holds."""
    if job.state.terminal:
        return ended(job, call)
    if (problem := without_verdict(job, call, now)) is not None:
        return problem
    return ProblemReply(ResultNotReady(job_id=job.id), (retry_field(job, call, now),))
