"""The monitor and the result: what they answer in every state, and what alone is held."""

from __future__ import annotations

import msgspec
import pytest

from gateway.caller.port import ProblemReply, Reply
from gateway.caller.views import canceling, resolving, result, share_given_up, show
from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, State
from gateway.core.policy import SECOND, Binding
from tests.caller.calls import NOW, call, policy, told
from tests.core.strategies import EXAMPLES, in_state

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


STOPPABLE = policy(binding=Binding(api=True, correlation="jobId"))


def asked(state: State) -> Job:
    """Return a job in `state` for which somebody asked to cancel."""
    return apply(in_state(state), e.CancelRequested(), NOW)


class TestCanceling:
    """What a request to cancel is answered."""

    @pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.UNKNOWN])
    def test_until_its_follower_has_taken_it(self, state: State):
        """It waits for that, but not for long; then the monitor says how far it has come."""
        calling = call(None, STOPPABLE, until=NOW + SECOND)
        assert told(canceling(in_state(state), calling, NOW)) == "wait 1000"
        assert told(canceling(in_state(state), calling, NOW + SECOND)) == "202"
        assert told(canceling(asked(state), calling, NOW)) == "202"

    def test_a_job_that_was_not_started_ends_at_once(self):
        """So its end is waited for: 200 says that there is nothing more to come."""
        calling = call(None, until=NOW + SECOND)
        job = asked(State.ACCEPTED)
        assert told(canceling(job, calling, NOW)) == "wait 1000"
        step = canceling(apply(job, EXAMPLES[e.Canceled], NOW), calling, NOW)
        assert isinstance(step, Reply)
        assert (step.status, msgspec.json.decode(step.body)["status"]) == (200, "canceled")

    def test_a_job_that_was_started_meanwhile(self):
        """Where nothing can stop it any more, it is not promised."""
        assert told(canceling(asked(State.RUNNING), call(None), NOW)) == "problem cancel-unavailable"

    def test_a_share_that_is_given_up(self):
        """The job is not asked to cancel, and the monitor says why."""
        step = share_given_up(in_state(State.RUNNING), call(None, STOPPABLE, share=2), NOW)
        assert isinstance(step, Reply)
        view = msgspec.json.decode(step.body)
        assert (step.status, view["cancel"]["requested"]) == (202, False)
        assert "others" in view["message"]


class TestResolving:
    """What a verdict is answered."""

    def test_until_its_follower_has_taken_it(self):
        """Then it is in doubt no more."""
        calling = call(None, until=NOW + SECOND)
        job = in_state(State.UNKNOWN)
        assert told(resolving(job, calling, NOW)) == "wait 1000"
        assert told(resolving(job, calling, NOW + SECOND)) == "202"
        assert told(resolving(apply(job, EXAMPLES[e.Followed], NOW), calling, NOW)) == "200"


def test_an_operator_is_not_told_where_the_outcome_is():
    """On any of them."""
    calling = call(None, STOPPABLE, until=NOW, for_operator=True)
    for view in (show, canceling, resolving):
        for state in State:
            step = view(in_state(state), calling, NOW)
            assert not isinstance(step, Reply) or b"/result" not in step.body
