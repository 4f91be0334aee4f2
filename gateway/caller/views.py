"""What belongs to no mode: a job's monitor, its result, and what its commands are answered."""

from __future__ import annotations

from gateway.caller.common import JSON, ended, retry_field, without_verdict
from gateway.caller.monitor import monitor, operator_monitor
from gateway.caller.port import Call, ProblemReply, Reply, Step, Wait
from gateway.core.errors import CancelUnavailable, ResultNotReady
from gateway.core.job import Job, State
from gateway.core.reach import NO_WAY, cancelable


def show(job: Job, call: Call, now: int) -> Step:
    """Answer the monitor: always 200, held until `call.until` while the job goes on."""
    if job.state.terminal:
        return Reply(200, (JSON,), _monitor(job, call, now))
    if now < call.until:
        return Wait(call.until)
    return Reply(200, (JSON, retry_field(job, call, now)), _monitor(job, call, now))


def canceling(job: Job, call: Call, now: int) -> Step:
    """Answer a request to cancel, once it is taken or not waited for any longer: 200 if the job ended by it."""
    if job.state.terminal:
        return Reply(200, (JSON,), _monitor(job, call, now))
    if not cancelable(job, call.policy):
        # It was not started yet when it was asked for, and now it is.
        return ProblemReply(CancelUnavailable(NO_WAY, job_id=job.id))
    # One that was not started yet ends at once.
    if now < call.until and (not job.cancel_requested or job.state is State.ACCEPTED):
        return Wait(call.until)
    return Reply(202, (JSON, retry_field(job, call, now)), _monitor(job, call, now))


def share_given_up(job: Job, call: Call, now: int) -> Step:
    """Answer a request to cancel a job that others share, and have not given up: it goes on for them."""
    message = "this call's share of the job is given up; it goes on for others"
    view = monitor(job, call.policy, call.urls(job), now, message=message)
    return Reply(202, (JSON, retry_field(job, call, now)), view)


def resolving(job: Job, call: Call, now: int) -> Step:
    """Answer a verdict: 200 once the job is in doubt no more, 202 if that is not waited for any longer."""
    view = _monitor(job, call, now)
    if job.state is not State.UNKNOWN:
        return Reply(200, (JSON,), view)
    return Wait(call.until) if now < call.until else Reply(202, (JSON, retry_field(job, call, now)), view)


def result(job: Job, call: Call, now: int) -> Step:
    """Answer the result URI: the outcome, or that there is none yet. It never holds."""
    if job.state.terminal:
        return ended(job, call)
    if (problem := without_verdict(job, call, now)) is not None:
        return problem
    return ProblemReply(ResultNotReady(job_id=job.id), (retry_field(job, call, now),))


def _monitor(job: Job, call: Call, now: int) -> bytes:
    view = operator_monitor if call.for_operator else monitor
    return view(job, call.policy, call.urls(job), now)
