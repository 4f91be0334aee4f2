"""What several renderers say the same way."""

from __future__ import annotations

from gateway.caller.monitor import monitor, retry_after
from gateway.caller.port import Call, GiveUp, OutcomeReply, ProblemReply, Reply, Step, Wait
from gateway.core.errors import UpstreamAmbiguous, WaitTimeout
from gateway.core.job import Job, State
from gateway.core.policy import OnTimeout
from gateway.core.problem_details import recorded
from gateway.core.reach import cancelable

JSON = ("Content-Type", "application/json")

_GOES_ON = "the job goes on; its result"


def ended(job: Job, call: Call) -> Step:
    """Answer with the outcome of a job that has ended."""
    if job.state is State.DISPATCHED:
        return Reply(202, (JSON, ("Job-Status", job.state.value)), monitor(job, call.policy, call.urls(job)))
    if job.state is State.EXPIRED:
        return ProblemReply(UpstreamAmbiguous("no verdict came on whether the job ran", job_id=job.id))
    if job.outcome is not None and job.outcome.problem is not None:
        return ProblemReply(recorded(job.outcome.problem, job.message, job.id))
    return OutcomeReply()


def ambiguous(job: Job, call: Call, now: int) -> Step | None:
    """Answer for an `unknown` job: wait for the verdict as long as the route says, then tell. None for any other."""
    if job.state is not State.UNKNOWN:
        return None
    return without_verdict(job, call, now) or Wait(_verdict_by(job, call))


def without_verdict(job: Job, call: Call, now: int) -> ProblemReply | None:
    """Tell of an `unknown` job, once its verdict is waited for no longer; None until then, and for any other."""
    if job.state is not State.UNKNOWN or now < _verdict_by(job, call):
        return None
    return ProblemReply(UpstreamAmbiguous(job.message or "", job_id=job.id))


def _verdict_by(job: Job, call: Call) -> int:
    return job.changed + call.policy.reconcile_wait


def held(job: Job, call: Call, now: int, until: int) -> Step | None:
    """Hold a blocked caller of a live job until `until`, if no verdict is missed sooner; None when that has come.

    What the caller or the route can bear is the limit, also of the wait for a verdict.
    """
    if job.state is not State.UNKNOWN:
        return Wait(until) if now < until else None
    if (problem := without_verdict(job, call, now)) is not None:
        return problem
    return Wait(min(until, _verdict_by(job, call))) if now < until else None


def before_start_answered(job: Job, call: Call, now: int) -> Wait | None:
    """Wait until the upstream has answered the start, `start_wait` at most; None when an accepting mode may answer."""
    until = call.arrived + call.policy.start_wait
    return Wait(until) if not job.start_answered and now < until else None


def retry_field(job: Job, call: Call, now: int) -> tuple[str, str]:
    """Return the Retry-After field of an answer about a live job."""
    return "Retry-After", str(retry_after(job, call.policy, now))


def accepted(job: Job, call: Call, now: int) -> Reply:
    """Answer 202: it is accepted, and here is where to ask."""
    urls = call.urls(job)
    headers = (
        JSON,
        ("Location", urls.poll),
        ("Operation-Location", urls.monitor),
        retry_field(job, call, now),
    )
    return Reply(202, headers, monitor(job, call.policy, urls, now))


def wait_ran_out(job: Job, call: Call, now: int, *, may_redirect: bool = True) -> Step:
    """Answer a caller whose wait is over while the job goes on.

    `may_redirect`: False for one that has had all its redirects; another loop of them would not be an answer.
    """
    urls = call.urls(job)
    match call.on_timeout or call.policy.on_timeout or _unsaid(call):
        case OnTimeout.ACCEPT:
            return accepted(job, call, now)
        case OnTimeout.REDIRECT if may_redirect:
            return Reply(call.policy.redirect_status, (("Location", urls.wait(0)),))
        case OnTimeout.CANCEL if call.may_cancel and cancelable(job, call.policy):
            return GiveUp(
                canceling=_timed_out(job, call, now, "the job is being canceled; how it ended"),
                shared=_timed_out(job, call, now, "the job goes on for other calls that share it; its result"),
                going_on=_timed_out(job, call, now, _GOES_ON),
            )
        case _:
            return _timed_out(job, call, now, _GOES_ON)


def _timed_out(job: Job, call: Call, now: int, what: str) -> ProblemReply:
    problem = WaitTimeout(f"{what} will be at {call.urls(job).result}", job_id=job.id)
    return ProblemReply(problem, (retry_field(job, call, now),))


def _unsaid(call: Call) -> OnTimeout:
    return OnTimeout.ACCEPT if call.respond_async else OnTimeout.FAIL
