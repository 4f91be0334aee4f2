"""Every renderer in every state: what a caller is told at once, and what it waits for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.caller.port import GiveUp, OutcomeReply, ProblemReply, Reply, Stream, Wait
from gateway.caller.renderers import renderer
from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import MINUTE, SECOND, Binding, OnTimeout
from tests.caller.calls import NOW, ORIGIN, call, policy, told
from tests.core.strategies import OK, STATUS_LEG, in_state

MODES = (*CallerMode, None)
STOPPABLE = Binding(api=True, correlation="jobId")
START_WAIT, HOLD, SYNC_WAIT = "wait 2000", "wait 25000", "wait 60000"
AMBIGUOUS = "problem upstream-ambiguous"

FIRST_ANSWER: dict[State, tuple[str, ...]] = {
    # Columns: sync, async, long-poll, forget, callback, stream, and the trigger's own mode.
    State.ACCEPTED: (SYNC_WAIT, START_WAIT, HOLD, START_WAIT, START_WAIT, START_WAIT, SYNC_WAIT),
    State.STARTING: (SYNC_WAIT, START_WAIT, HOLD, START_WAIT, START_WAIT, START_WAIT, SYNC_WAIT),
    State.RUNNING: (SYNC_WAIT, "202", HOLD, "200", "202", "stream", "202"),
    State.UNKNOWN: (AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, "stream", AMBIGUOUS),
    State.SUCCEEDED: ("outcome", "202", "outcome", "200", "202", "stream", "202"),
    State.FAILED: ("outcome",) * 7,
    State.CANCELED: ("problem job-canceled",) * 7,
    State.DISPATCHED: ("202", "202", "202", "200", "202", "stream", "200"),
    State.EXPIRED: (AMBIGUOUS, "202", AMBIGUOUS, "200", "202", "stream", AMBIGUOUS),
}
"""`FAILED` here is a refused start, `CANCELED` one that was never sent: every mode hands those over as they are."""


def test_the_table_is_complete():
    """A new mode or state cannot be forgotten here."""
    assert set(FIRST_ANSWER) == set(State)
    assert {len(row) for row in FIRST_ANSWER.values()} == {len(MODES)}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode or "upstream")
def test_the_first_answer(mode: CallerMode | None, state: State):
    """What a call is told of a job that it finds in each state."""
    step = renderer(mode)(in_state(state), call(mode), NOW)
    assert told(step) == FIRST_ANSWER[state][MODES.index(mode)]


@pytest.mark.parametrize("mode", [CallerMode.ASYNC, CallerMode.FORGET, CallerMode.CALLBACK, CallerMode.STREAM])
def test_accepting_modes_answer_after_start_wait(mode: CallerMode):
    """A start that takes longer than `start_wait` is accepted without its answer."""
    job, calling = in_state(State.STARTING), call(mode)
    assert renderer(mode)(job, calling, NOW + 1_999) == Wait(NOW + 2_000)
    late = renderer(mode)(job, calling, NOW + 2_000)
    assert told(late) == {CallerMode.FORGET: "200", CallerMode.STREAM: "stream"}.get(mode, "202")


def refused() -> Job:
    """Return a job whose start the gateway could not send."""
    job = in_state(State.STARTING)
    outcome = msgspec.structs.replace(OK, status=502, problem="upstream-unreachable", detail="refused")
    return apply(job, e.StartRefused(outcome, frees_key=True), NOW)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode or "upstream")
def test_a_start_that_was_not_sent_is_told_in_every_mode(mode: CallerMode | None):
    """The gateway's own problem, with the job it concerns and why."""
    job = refused()
    step = renderer(mode)(job, call(mode), NOW)
    assert isinstance(step, ProblemReply)
    assert (step.problem.code, step.problem.detail, step.problem.job_id) == ("upstream-unreachable", "refused", job.id)


class TestAccepted:
    """The 202 of async and callback."""

    def test_fields(self):
        """Location is the poll URI, Operation-Location the monitor, Retry-After whole seconds; the body the monitor."""
        job = in_state(State.RUNNING)
        step = renderer(CallerMode.ASYNC)(job, call(CallerMode.ASYNC), NOW)
        assert isinstance(step, Reply)
        fields = dict(step.headers)
        assert fields["Location"] == f"{ORIGIN}/-/jobs/{job.id}/poll"
        assert fields["Operation-Location"] == f"{ORIGIN}/-/jobs/{job.id}"
        assert fields["Content-Type"] == "application/json"
        assert int(fields["Retry-After"]) >= 1
        assert msgspec.json.decode(step.body)["status"] == "running"

    def test_callback_answers_as_async_does(self):
        """A callback caller may poll as well."""
        job = in_state(State.RUNNING)
        assert renderer(CallerMode.CALLBACK)(job, call(CallerMode.CALLBACK), NOW) == renderer(CallerMode.ASYNC)(
            job, call(CallerMode.CALLBACK), NOW
        )


class TestForget:
    """200 and nothing more."""

    def test_it_is_empty(self):
        """No body, no Location, no Retry-After."""
        assert renderer(CallerMode.FORGET)(in_state(State.RUNNING), call(CallerMode.FORGET), NOW) == Reply(200)

    def test_an_ambiguous_start_is_not_hidden(self):
        """A forgetting caller too is told that its job may not have started."""
        step = renderer(CallerMode.FORGET)(in_state(State.UNKNOWN), call(CallerMode.FORGET), NOW)
        assert told(step) == AMBIGUOUS


class TestDispatched:
    """A trigger that fired and forgot: nothing can come any more."""

    @pytest.mark.parametrize("mode", [CallerMode.SYNC, CallerMode.LONG_POLL])
    def test_the_outcome_is_the_monitor(self, mode: CallerMode):
        """202 with the monitor's JSON; no Location and no Retry-After, which would promise more."""
        step = renderer(mode)(in_state(State.DISPATCHED), call(mode), NOW)
        assert isinstance(step, Reply)
        assert (step.status, dict(step.headers)) == (
            202,
            {"Content-Type": "application/json", "Job-Status": "dispatched"},
        )
        assert msgspec.json.decode(step.body)["status"] == "dispatched"


class TestUnknown:
    """Nobody knows whether it ran."""

    @pytest.mark.parametrize("mode", [CallerMode.SYNC, CallerMode.ASYNC, CallerMode.LONG_POLL, CallerMode.FORGET, None])
    def test_the_verdict_is_waited_for(self, mode: CallerMode | None):
        """Blocked callers wait `reconcile_wait` from the change on, then are told."""
        job = in_state(State.UNKNOWN)
        calling = call(mode, policy(reconcile_wait=30 * SECOND, hold=60 * SECOND))
        verdict_by = job.changed + 30 * SECOND
        assert renderer(mode)(job, calling, verdict_by - 1) == Wait(verdict_by)
        assert told(renderer(mode)(job, calling, verdict_by)) == AMBIGUOUS

    def test_the_problem_is_the_records_own(self):
        """A job that may not be followed on says so, and why."""
        job = apply(in_state(State.RUNNING), e.Lost("to elsewhere.example", "location-refused"), NOW)
        step = renderer(CallerMode.SYNC)(job, call(), NOW)
        assert isinstance(step, ProblemReply)
        assert (step.problem.code, step.problem.detail) == ("upstream-ambiguous", "to elsewhere.example")


WAITS_THAT_RUN_OUT = [
    # Call-On-Timeout, the route's, Prefer: respond-async -> the answer
    (None, None, False, "problem wait-timeout"),
    (None, None, True, "202"),
    (None, OnTimeout.ACCEPT, False, "202"),
    (None, OnTimeout.FAIL, True, "problem wait-timeout"),
    (None, OnTimeout.REDIRECT, False, "303"),
    (OnTimeout.ACCEPT, OnTimeout.FAIL, False, "202"),
    (OnTimeout.FAIL, OnTimeout.ACCEPT, True, "problem wait-timeout"),
    (OnTimeout.REDIRECT, None, True, "303"),
    (OnTimeout.CANCEL, None, False, "problem wait-timeout"),
]


class TestSync:
    """One response."""

    @pytest.mark.parametrize(("said", "route", "respond_async", "answer"), WAITS_THAT_RUN_OUT)
    def test_a_wait_that_runs_out(
        self, said: OnTimeout | None, route: OnTimeout | None, respond_async: bool, answer: str
    ):
        """The caller's word, else the route's, else 504 to a plain caller and 202 to one ready for it."""
        calling = call(rules=policy(on_timeout=route), on_timeout=said, respond_async=respond_async)
        job = in_state(State.RUNNING)
        assert renderer(CallerMode.SYNC)(job, calling, calling.until - 1) == Wait(calling.until)
        assert told(renderer(CallerMode.SYNC)(job, calling, calling.until)) == answer

    @pytest.mark.parametrize(
        ("may_cancel", "binding", "answer"),
        [
            (True, STOPPABLE, "give up"),
            (False, STOPPABLE, "problem wait-timeout"),
            (True, Binding(), "problem wait-timeout"),
        ],
    )
    def test_a_caller_that_gives_its_job_up(self, may_cancel: bool, binding: Binding, answer: str):
        """Where the job is this caller's, and can be canceled at all; else it goes on."""
        rules = policy(on_timeout=OnTimeout.CANCEL, binding=binding)
        calling = call(rules=rules, until=NOW, may_cancel=may_cancel)
        assert told(renderer(CallerMode.SYNC)(in_state(State.RUNNING), calling, NOW)) == answer

    def test_what_is_said_to_who_gives_up(self):
        """Whether the job is canceled, goes on for others, or goes on since nobody could be asked; always its URL."""
        job = in_state(State.RUNNING)
        calling = call(rules=policy(binding=STOPPABLE), on_timeout=OnTimeout.CANCEL, until=NOW, may_cancel=True)
        step = renderer(CallerMode.SYNC)(job, calling, NOW)
        assert isinstance(step, GiveUp)
        for reply, words in (
            (step.canceling, "being canceled"),
            (step.shared, "other calls"),
            (step.going_on, "goes on"),
        ):
            assert reply.problem.code == "wait-timeout"
            assert words in reply.problem.detail
            assert f"{ORIGIN}/-/jobs/{job.id}/result" in reply.problem.detail

    def test_the_504_tells_where_the_result_will_be(self):
        """The job goes on, so its URL is always told."""
        job = in_state(State.RUNNING)
        step = renderer(CallerMode.SYNC)(job, call(until=NOW), NOW)
        assert isinstance(step, ProblemReply)
        assert f"{ORIGIN}/-/jobs/{job.id}/result" in step.problem.detail
        assert step.problem.job_id == job.id
        assert int(dict(step.headers)["Retry-After"]) >= 1

    def test_a_redirect_begins_the_loop(self):
        """`redirect` sends the caller to the wait URI's first hop, with the route's status."""
        rules = policy(on_timeout=OnTimeout.REDIRECT, redirect_status=302)
        job = in_state(State.RUNNING)
        step = renderer(CallerMode.SYNC)(job, call(rules=rules, until=NOW), NOW)
        assert step == Reply(302, (("Location", f"{ORIGIN}/-/jobs/{job.id}/wait?hop=0"),))

    def test_an_end_is_told_even_when_the_wait_is_over(self):
        """The outcome is never withheld for a late look at the clock."""
        assert renderer(CallerMode.SYNC)(in_state(State.SUCCEEDED), call(until=NOW), NOW + MINUTE) == OutcomeReply()


class TestLongPoll:
    """Held, redirected, at last answered."""

    def test_a_conversation(self):
        """Hop by hop, each held for `hold`, then the outcome."""
        job, render = in_state(State.RUNNING), renderer(CallerMode.LONG_POLL)
        now = NOW
        for hop in range(3):
            calling = call(CallerMode.LONG_POLL, arrived=now, hop=hop)
            assert render(job, calling, now) == Wait(now + 25 * SECOND)
            now += 25 * SECOND
            step = render(job, calling, now)
            assert step == Reply(303, (("Location", f"{ORIGIN}/-/jobs/{job.id}/wait?hop={hop + 1}"),))
        job = apply(job, e.Ended(OK), now)
        assert render(job, call(CallerMode.LONG_POLL, arrived=now, hop=3), now) == OutcomeReply()

    @pytest.mark.parametrize(
        ("hop", "answer"), [(19, "303"), (20, "problem wait-timeout"), (21, "problem wait-timeout")]
    )
    def test_the_loop_ends(self, hop: int, answer: str):
        """The last hop that a route allows ends in a proper answer, for clients that stop in silence."""
        calling = call(CallerMode.LONG_POLL, hop=hop)
        assert told(renderer(CallerMode.LONG_POLL)(in_state(State.RUNNING), calling, NOW + 25 * SECOND)) == answer

    def test_the_redirect_has_the_routes_status(self):
        """Old clients need 302."""
        calling = call(CallerMode.LONG_POLL, policy(redirect_status=302, hold=0))
        assert told(renderer(CallerMode.LONG_POLL)(in_state(State.RUNNING), calling, NOW)) == "302"


class TestUpstream:
    """In whichever mode the trigger itself answered."""

    @pytest.mark.parametrize(
        ("observed", "answer"),
        [(UpstreamMode.ASYNC, "202"), (UpstreamMode.LONG_POLL, HOLD), (UpstreamMode.FORGET, "200")],
    )
    def test_the_observed_mode_decides(self, observed: UpstreamMode, answer: str):
        """The caller is answered as it would be without the gateway."""
        job = apply(in_state(State.STARTING), e.Followed(observed, STATUS_LEG), NOW)
        assert told(renderer(None)(job, call(None), NOW)) == answer

    def test_a_start_that_answers_with_the_outcome(self):
        """A long-poll's first leg may be the end."""
        job = apply(in_state(State.STARTING), e.Ended(OK, mode=UpstreamMode.LONG_POLL), NOW)
        assert renderer(None)(job, call(None), NOW) == OutcomeReply()

    def test_a_start_without_an_answer(self):
        """When the wait is over and nobody knows the mode, the caller is accepted."""
        assert told(renderer(None)(in_state(State.STARTING), call(None), NOW + MINUTE)) == "202"


def test_streams_open_for_whatever_is_not_refused():
    """Even an ended job is streamed: its outcome is the only event."""
    for state in (State.RUNNING, State.UNKNOWN, State.SUCCEEDED, State.DISPATCHED, State.EXPIRED):
        assert renderer(CallerMode.STREAM)(in_state(state), call(CallerMode.STREAM), NOW) == Stream()
