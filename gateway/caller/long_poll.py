"""long-poll: held, then redirected to a wait URI, again and again, at last the outcome.

Clients follow between 4 and 50 redirects, some silently stop at their limit; so each hop's URL counts, and the last
hop that a route allows ends in a proper answer.
"""

from __future__ import annotations

from gateway.caller.common import ended, held, wait_ran_out
from gateway.caller.port import Call, Reply, Step
from gateway.core.job import Job


def render(job: Job, call: Call, now: int) -> Step:
    """Hold the caller until the job ends or the hold is over, then send it to the next hop."""
    if job.state.terminal:
        return ended(job, call)
    if (step := held(job, call, now, call.arrived + call.policy.hold)) is not None:
        return step
    if call.hop >= call.policy.max_hops:
        return wait_ran_out(job, call, now, may_redirect=False)
    return Reply(call.policy.redirect_status, (("Location", call.urls(job).wait(call.hop + 1, call.on_timeout)),))
