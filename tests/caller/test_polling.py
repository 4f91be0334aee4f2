"""The poll URI: never held; 200 while it runs, then a redirect to the result."""

from __future__ import annotations

import msgspec
import pytest

from gateway.caller.polling import poll
from gateway.caller.port import Reply
from gateway.core.job import State
from gateway.core.modes import CallerMode
from gateway.core.policy import SECOND
from tests.caller.calls import NOW, ORIGIN, call, policy, told
from tests.core.strategies import in_state

ANSWERS = {
    State.ACCEPTED: "200",
    State.STARTING: "200",
    State.RUNNING: "200",
    State.UNKNOWN: "problem upstream-ambiguous",
    State.SUCCEEDED: "303",
    State.FAILED: "303",
    State.CANCELED: "303",
    State.DISPATCHED: "303",
    State.EXPIRED: "problem upstream-ambiguous",
}


@pytest.mark.parametrize("state", State)
def test_every_state(state: State):
    """Failures of the job are told by the result, not by the poll URI."""
    assert told(poll(in_state(state), call(CallerMode.ASYNC), NOW)) == ANSWERS[state]


def test_running():
    """The monitor, and when to come again; a route may say 202 instead."""
    calling = call(CallerMode.ASYNC, policy(running_status=202))
    step = poll(in_state(State.RUNNING), calling, NOW)
    assert isinstance(step, Reply)
    assert (step.status, dict(step.headers)) == (202, {"Content-Type": "application/json", "Retry-After": "1"})
    assert msgspec.json.decode(step.body)["status"] == "running"


def test_ended():
    """303, or what the route says, to the result."""
    job = in_state(State.SUCCEEDED)
    step = poll(job, call(CallerMode.ASYNC, policy(redirect_status=302)), NOW)
    assert step == Reply(302, (("Location", f"{ORIGIN}/-/jobs/{job.id}/result"),))


def test_a_verdict_that_is_awaited_counts_as_running():
    """Polling never holds, so while the verdict may come it says: not yet."""
    job, calling = in_state(State.UNKNOWN), call(CallerMode.ASYNC, policy(reconcile_wait=30 * SECOND))
    assert told(poll(job, calling, job.changed + 30 * SECOND - 1)) == "200"
    assert told(poll(job, calling, job.changed + 30 * SECOND)) == "problem upstream-ambiguous"
