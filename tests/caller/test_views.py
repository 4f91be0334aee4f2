"""The monitor and the result: what they answer in every state, and what alone is held."""

from __future__ import annotations

import pytest

from gateway.caller.port import ProblemReply, Reply
from gateway.caller.views import result, show
from gateway.core.job import State
from gateway.core.policy import SECOND
from tests.caller.calls import NOW, call, policy, told
from tests.core.strategies import in_state

RESULTS = {
    State.ACCEPTED: "problem result-not-ready",
    State.STARTING: "problem result-not-ready",
    State.RUNNING: "problem result-not-ready",
    State.UNKNOWN: "problem upstream-ambiguous",
    State.SUCCEEDED: "outcome",
    State.FAILED: "outcome",
    State.CANCELED: "problem job-canceled",
    State.DISPATCHED: "202",
    State.EXPIRED: "problem upstream-ambiguous",
}


@pytest.mark.parametrize("state", State)
def test_the_monitor(state: State):
    """Held while the job goes on, if the caller will wait; then 200, and when to come again if it still does."""
    job, calling = in_state(state), call(None, until=NOW + SECOND)
    assert told(show(job, calling, NOW)) == ("200" if state.terminal else "wait 1000")
    step = show(job, calling, NOW + SECOND)
    assert isinstance(step, Reply)
    assert step.status == 200
    assert ("Retry-After" in dict(step.headers)) is not state.terminal


@pytest.mark.parametrize("state", State)
def test_the_result(state: State):
    """The outcome, the problem of an end that the gateway made, or that there is none yet."""
    assert told(result(in_state(state), call(None), NOW)) == RESULTS[state]


def test_no_result_yet():
    """It says when to come again; while a verdict may come there is none yet either."""
    step = result(in_state(State.RUNNING), call(None), NOW)
    assert isinstance(step, ProblemReply)
    assert dict(step.headers) == {"Retry-After": "1"}
    job, calling = in_state(State.UNKNOWN), call(None, policy(reconcile_wait=30 * SECOND))
    assert told(result(job, calling, job.changed)) == "problem result-not-ready"
