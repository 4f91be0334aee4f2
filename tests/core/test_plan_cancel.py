"""How a job is canceled: before its start, while it runs, while nobody knows; asked by somebody or by the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, Leg, LegKind, State, Stopping, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.plan import Conclude, Read, Reconcile, Start, Stop, plan
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Binding, Policy
from gateway.core.reach import cancelable, findable, stoppable
from tests.core.strategies import BORN, EXAMPLES, JOB_LEG, KEY, POLICIES, UPSTREAM, fresh, in_state

POLICY = Policy()
API = Policy(binding=Binding(api=True, correlation="jobId"))
SOFT, KILL = StopStrategy.SOFT, StopStrategy.KILL
HOLD_LEG = Leg(LegKind.HOLD, f"{UPSTREAM}/h")
NOW = BORN + 50
TERMINAL = [state for state in State if state.terminal]


def canceled(job: Job, now: int = NOW) -> Job:
    """Return `job` after somebody asked for it to be canceled."""
    return apply(job, e.CancelRequested(), now)


# ---------------------------------------------------------------- where there is a way


@pytest.mark.parametrize("state", TERMINAL)
def test_an_ended_job_cannot_be_canceled(state):
    """Whatever the gateway may call."""
    assert not cancelable(in_state(state), API)


def test_a_job_that_was_not_started_can_always_be_canceled():
    """Nothing needs to be asked of anybody."""
    assert cancelable(fresh(), POLICY)


WAYS = {
    "no-api": (Binding(correlation="jobId", process="Add"), UpstreamMode.JOBS, KEY, False),
    "nothing-known": (Binding(api=True), UpstreamMode.ASYNC, None, False),
    "a-process-does-not-name-a-triggers-job": (Binding(api=True, process="Add"), UpstreamMode.ASYNC, None, False),
    "its-key": (Binding(api=True), UpstreamMode.ASYNC, KEY, True),
    "its-reference": (Binding(api=True, process="Add"), UpstreamMode.JOBS, None, True),
    "its-argument": (Binding(api=True, correlation="jobId"), UpstreamMode.LONG_POLL, None, True),
}


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.UNKNOWN])
@pytest.mark.parametrize(("binding", "asked", "key", "way"), WAYS.values(), ids=WAYS)
def test_a_started_job_can_be_canceled_where_it_can_be_named(state, binding, asked, key, way):
    """By its key, by the `Reference` that a start through the Jobs API gave it, or by the argument it carries."""
    job, policy = in_state(state, asked=asked).with_(upstream_key=key), Policy(binding=binding)
    assert cancelable(job, policy) == findable(job, policy) == way


@given(POLICIES)
def test_what_a_policy_promises_of_every_job_it_starts(rules: Policy):
    """That it can be stopped once it runs, before anything is known of it; and no more than that."""
    started = in_state(State.RUNNING, asked=rules.upstream_mode)
    assert stoppable(rules) is cancelable(started, rules)


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.UNKNOWN])
def test_where_there_is_no_way_a_request_changes_no_plan(state):
    """The job is followed as before."""
    job = in_state(state)
    assert plan(canceled(job), POLICY, NOW) == plan(job, POLICY, NOW)


# ---------------------------------------------------------------- before the start


def test_a_cancel_before_the_start_needs_nobody():
    """409 `job-canceled`, at once, even past the deadline."""
    job = canceled(fresh())
    for now in (BORN, job.deadline + 1):
        action = plan(job, POLICY, now)
        assert (action.at, type(action.event)) == (now, e.Canceled)
        assert (action.event.outcome.status, action.event.outcome.problem) == (409, "job-canceled")
        assert "before it was started" in action.event.outcome.detail


def test_a_cancel_between_two_tries_says_what_is_not_known():
    """One of them may have run."""
    doubt = e.StartPostponed(BORN + HOUR, "reset", "upstream-ambiguous")
    job = canceled(apply(in_state(State.STARTING), doubt, BORN + 20))
    assert "may have run" in plan(job, POLICY, NOW).event.outcome.detail


def test_a_start_that_is_due_is_not_kept_back_by_a_later_cancel():
    """`Cancel-After` is counted from the acceptance, and the job runs until then."""
    assert plan(fresh(cancel_after=100), POLICY, BORN + 99) == Start(0, POLICY.start_timeout)


@pytest.mark.parametrize(("not_before", "now"), [(0, 100), (0, HOUR - 1), (101, 50), (100, 50), (2 * HOUR, 50)])
def test_a_job_whose_time_is_over_before_its_start_is_not_started(not_before, now):
    """Neither one that nobody looked at in time, nor one whose next try would come too late."""
    job = fresh(cancel_after=100).with_(not_before=BORN + not_before)
    action = plan(job, POLICY, BORN + now)
    assert action == Conclude(BORN + 100, e.CancelRequested())
    after = apply(job, action.event, max(BORN + now, action.at))
    assert isinstance(plan(after, POLICY, max(BORN + now, action.at)).event, e.Canceled)


def test_the_deadline_comes_before_a_later_cancel():
    """A start that is put off beyond both is concluded by the first."""
    job = fresh(deadline=HOUR, cancel_after=2 * HOUR).with_(not_before=BORN + DAY)
    assert plan(job, POLICY, BORN).at == job.deadline
    assert isinstance(plan(job, POLICY, job.deadline).event, e.GaveUp)


# ---------------------------------------------------------------- while it runs


def test_a_running_job_is_stopped_at_once():
    """Before anything else, and softly: it may have something to tidy up."""
    assert plan(canceled(in_state(State.RUNNING)), API, NOW) == Stop(0, SOFT, API.read_timeout)


def test_a_held_leg_gives_way_to_the_stop():
    """Whoever asks for the plan anew in the middle of a hold is told to stop the job."""
    job = canceled(in_state(State.RUNNING).with_(leg=HOLD_LEG))
    assert isinstance(plan(job, API, NOW), Stop)


def test_between_stop_and_kill_the_job_is_read_as_before():
    """What it did about the stop, only its status tells."""
    job = apply(canceled(in_state(State.RUNNING)), e.StopSent(SOFT), NOW)
    action = plan(job, API, NOW)
    assert isinstance(action, Read)
    assert action.at == plan(in_state(State.RUNNING), API, NOW).at


def test_a_job_that_does_not_stop_is_killed():
    """When `kill_after` has passed since the upstream accepted the stop."""
    job = apply(canceled(in_state(State.RUNNING)), e.StopSent(SOFT), NOW)
    due = NOW + API.kill_after
    assert plan(job, API, due) == Stop(due, KILL, API.read_timeout)
    assert isinstance(plan(job, API, due - 1), Read)


@pytest.mark.parametrize(("kill_after", "again"), [(0, 15 * SECOND), (MINUTE, MINUTE)])
def test_a_kill_is_repeated_but_not_at_once(kill_after, again):
    """A route that kills at once does not have the gateway do nothing else."""
    policy = Policy(binding=API.binding, kill_after=kill_after)
    job = apply(canceled(in_state(State.RUNNING)), e.StopSent(KILL), NOW)
    assert isinstance(plan(job, policy, NOW + again - 1), Read)
    assert plan(job, policy, NOW + again) == Stop(NOW + again, KILL, API.read_timeout)


@given(failures=st.integers(1, 60), hint=st.sampled_from([0, 1, MINUTE]), sent=st.sampled_from([None, SOFT, KILL]))
def test_a_failed_stop_is_tried_again_ever_more_slowly(failures, hint, sent):
    """As reads are, not before the upstream wants it; a kill once soft stops were refused five times in a row."""
    job = canceled(in_state(State.RUNNING)).with_(stopping=Stopping(BORN, sent, failures - 1))
    job = apply(job, e.StopFailed("503", hint), NOW)
    due = NOW + hint + min(250 << min(failures - 1, 10), 15_000)
    action = plan(job, API, due)
    assert action == Stop(due, SOFT if sent is None and failures < 5 else KILL, API.read_timeout)


def test_a_held_leg_is_not_held_beyond_the_kill():
    """Else a job that does not stop would be killed half a minute late."""
    job = apply(canceled(in_state(State.RUNNING).with_(leg=HOLD_LEG)), e.StopSent(SOFT), NOW)
    action = plan(job, API, NOW + 20 * SECOND)
    assert (type(action), action.timeout) == (Read, 10 * SECOND)


def test_the_deadline_ends_a_job_that_is_being_stopped():
    """504 as without: that it was stopped is not known."""
    job = canceled(in_state(State.RUNNING))
    for each in (job, apply(job, e.StopSent(KILL), NOW), apply(job, e.StopFailed("503", DAY), NOW)):
        assert plan(each, API, job.deadline - 1).at <= job.deadline
        assert plan(each, API, job.deadline).event.outcome.problem == "job-deadline"


def test_a_lost_job_that_is_found_again_goes_on_being_stopped():
    """What the upstream had accepted is not asked for again."""
    job = apply(canceled(in_state(State.RUNNING)), e.StopSent(SOFT), NOW)
    found = apply(apply(job, EXAMPLES[e.Lost], NOW), e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY), NOW + SECOND)
    assert plan(found, API, NOW + API.kill_after).strategy is KILL


# ---------------------------------------------------------------- by the clock


def test_a_running_job_is_canceled_when_its_time_is_over():
    """First the request, which is durable, then the stop."""
    job = in_state(State.RUNNING, cancel_after=MINUTE)
    due = BORN + MINUTE
    assert isinstance(plan(job, API, due - 1), Read)
    assert plan(job, API, due) == Conclude(due, e.CancelRequested())
    assert isinstance(plan(canceled(job, due), API, due), Stop)


def test_a_leg_is_not_held_beyond_the_cancel():
    """It is asked for in time."""
    job = in_state(State.RUNNING, cancel_after=MINUTE).with_(leg=HOLD_LEG)
    assert plan(job, API, BORN + MINUTE - 5 * SECOND).timeout == 5 * SECOND


def test_where_there_is_no_way_the_clock_cancels_nothing():
    """The job is not said to be canceled while it runs on."""
    job = in_state(State.RUNNING, cancel_after=MINUTE)
    assert isinstance(plan(job, POLICY, BORN + 2 * MINUTE), Read)


# ---------------------------------------------------------------- while nobody knows


def test_an_unknown_job_is_looked_for_however_it_is_asked_to_end():
    """Nothing can be stopped that was not found, and nothing is said to be canceled that may run."""
    for job in (canceled(in_state(State.UNKNOWN)), in_state(State.UNKNOWN, cancel_after=0)):
        assert isinstance(plan(job, API, NOW), Reconcile)


@pytest.mark.parametrize("asked", ["somebody", "clock"])
def test_what_is_found_and_to_be_canceled_is_stopped(asked):
    """Before it is read for the first time."""
    job = canceled(in_state(State.UNKNOWN)) if asked == "somebody" else in_state(State.UNKNOWN, cancel_after=0)
    job = apply(job, e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY), NOW)
    if asked == "clock":
        action = plan(job, API, NOW)
        assert isinstance(action, Conclude)
        job = apply(job, action.event, NOW)
    assert plan(job, API, NOW) == Stop(0, SOFT, API.read_timeout)
