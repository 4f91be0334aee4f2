"""callback: 202 now; the outcome is delivered, signed, when the job ends."""

from __future__ import annotations

from gateway.caller.polling import render as render_accepted
from gateway.caller.port import Call, Step
from gateway.core.job import Job


def render(job: Job, call: Call, now: int) -> Step:
    """Answer like async: a callback caller may poll as well."""
    return render_accepted(job, call, now)
