"""`plan`: what comes next for a record. How jobs are looked for and stopped is told apart (`test_plan_…`)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.plan import Conclude, Read, Reconcile, Start, Stop, plan, postponed, start_timeout
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Policy
from gateway.core.states import TRANSITIONS
from tests.core.strategies import BORN, JOB_LEG, KEY, POLICIES, STATUS_LEG, UPSTREAM, fresh, in_state, jobs

POLICY = Policy()
TERMINAL = [state for state in State if state.terminal]
HOLD_LEG = Leg(LegKind.HOLD, f"{UPSTREAM}/h")
OUTPUT_LEG = Leg(LegKind.OUTPUT, f"{UPSTREAM}/o")


def running(leg: Leg, **progress: int) -> Job:
    """Return a job that is followed at `leg`."""
    job = in_state(State.RUNNING).with_(leg=leg)
    return job.with_(progress=msgspec.structs.replace(job.progress, **progress))


# ---------------------------------------------------------------- any record


@given(drawn=jobs(), policy=POLICIES)
def test_every_record_has_a_plan(drawn, policy):
    """Total: an action for a live job, None for one that has ended, whatever the time and the policy."""
    job, now = drawn
    assert (plan(job, policy, now) is None) == job.state.terminal


@given(drawn=jobs(), policy=POLICIES)
def test_the_same_record_has_the_same_plan_anywhere(drawn, policy):
    """The record is the program counter: a copy that came through the store is planned alike."""
    job, now = drawn
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Job)
    assert plan(copy, policy, now) == plan(job, policy, now)


@given(drawn=jobs(State.ACCEPTED, State.STARTING, State.RUNNING), policy=POLICIES)
def test_nothing_is_planned_beyond_the_deadline(drawn, policy):
    """A live job that is not `unknown` is looked at again by its deadline, or soon after it was found that late."""
    job, now = drawn
    late = job.changed + MINUTE if job.changed >= job.deadline else 0
    assert plan(job, policy, now).at <= max(job.deadline, late, now)


@given(drawn=jobs(), policy=POLICIES)
def test_what_is_concluded_is_legal(drawn, policy):
    """An action that needs nobody's answer carries an event that the state takes."""
    job, now = drawn
    action = plan(job, policy, now)
    if isinstance(action, Conclude):
        assert type(action.event) in TRANSITIONS[job.state]


@given(drawn=jobs(), policy=POLICIES)
def test_calls_are_planned_only_where_they_belong(drawn, policy):
    """A start only before one was sent, a read only of the record's leg, a stop only of what may be stopped."""
    job, now = drawn
    match plan(job, policy, now):
        case Start(timeout=timeout):
            assert job.state is State.ACCEPTED
            assert timeout > 0
        case Read(leg=leg, timeout=timeout):
            assert job.state is State.RUNNING
            assert leg == job.leg
            assert timeout > 0
        case Reconcile(timeout=timeout):
            assert job.state is State.UNKNOWN
            assert policy.binding.api
            assert timeout > 0
        case Stop(timeout=timeout):
            assert job.state is State.RUNNING
            assert policy.binding.api
            assert job.cancel_requested
            assert timeout > 0


# ---------------------------------------------------------------- each state


def test_an_accepted_job_is_started_at_once():
    """Due when it was accepted, with the start's own time-out."""
    assert plan(fresh(), POLICY, BORN) == Start(0, POLICY.start_timeout)


def test_a_postponed_start_is_due_at_its_time():
    """And by the deadline at the latest, which then concludes it."""
    job = fresh().with_(not_before=BORN + 500)
    assert plan(job, POLICY, BORN).at == BORN + 500
    late = job.with_(not_before=job.deadline + 1)
    assert plan(late, POLICY, BORN).at == job.deadline


@pytest.mark.parametrize("state", [State.ACCEPTED, State.RUNNING])
def test_the_deadline_fails_a_job(state):
    """504 `job-deadline`, at the deadline and not before."""
    job = in_state(state)
    assert not isinstance(plan(job, POLICY, job.deadline - 1), Conclude)
    action = plan(job, POLICY, job.deadline)
    assert isinstance(action.event, e.GaveUp)
    assert (action.at, action.event.outcome.status, action.event.outcome.problem) == (job.deadline, 504, "job-deadline")


@given(now=st.integers(BORN, BORN + 30 * DAY))
def test_an_unknown_job_is_exempt_from_the_deadline(now):
    """It waits for its verdict, 72 hours from when it became unknown."""
    job = in_state(State.UNKNOWN)
    assert plan(job, POLICY, now) == Conclude(job.changed + 72 * HOUR, e.VerdictMissed())


@given(policy=POLICIES, now=st.integers(BORN, BORN + 30 * DAY))
def test_an_inherited_start_is_ambiguous(policy, now):
    """`starting` found in a record means that its sender is gone: never start again, whatever the time."""
    once = msgspec.structs.replace(policy, idempotent=False)
    action = plan(in_state(State.STARTING), once, now)
    assert action.at == now
    assert isinstance(action.event, e.StartAmbiguous)


def test_an_inherited_start_that_may_run_twice_is_tried_again():
    """Where the route says so, and only within its time for starts."""
    job = in_state(State.STARTING)
    action = plan(job, RETRYING_ALL, BORN + 20)
    assert action.at == BORN + 20
    assert isinstance(action.event, e.StartPostponed)
    assert isinstance(plan(job, RETRYING_ALL, BORN + MINUTE).event, e.StartAmbiguous)


def test_a_record_without_a_leg_is_not_lost():
    """Only a record of another version could be so: a person may still find the job."""
    action = plan(in_state(State.RUNNING).with_(leg=None), POLICY, BORN + 50)
    assert action == Conclude(BORN + 50, e.Lost("the record names nothing to follow", "upstream-ambiguous"))


@pytest.mark.parametrize("state", TERMINAL)
def test_an_ended_job_needs_nothing(state):
    """However late it is."""
    assert plan(in_state(state), POLICY, BORN + 365 * DAY) is None


# ---------------------------------------------------------------- when a leg is read


LEGS = {STATUS_LEG: 30 * SECOND, OUTPUT_LEG: 30 * SECOND, JOB_LEG: 30 * SECOND, HOLD_LEG: 35 * SECOND}


@pytest.mark.parametrize(("leg", "timeout"), LEGS.items())
def test_a_held_leg_may_take_its_hold_and_a_margin(leg, timeout):
    """The others answer at once."""
    assert plan(running(leg), POLICY, BORN + 20).timeout == timeout


@pytest.mark.parametrize(("left", "timeout"), [(40, 35), (35, 35), (20, 20), (1, 1), (0.3, 1)])
def test_a_leg_is_not_held_beyond_the_deadline(left, timeout):
    """Else a job would end half a minute late; yet for less than a second none is asked."""
    job = running(HOLD_LEG)
    assert plan(job, POLICY, job.deadline - int(left * SECOND)).timeout == timeout * SECOND


@pytest.mark.parametrize("leg", [HOLD_LEG, OUTPUT_LEG])
def test_holds_and_outputs_are_read_at_once(leg):
    """They wait for the job, or the job is over; unless the upstream asked for time, or did not hold."""
    job = running(leg)
    assert plan(job, POLICY, BORN + 20).at == job.progress.read_at
    asked = running(leg, hint=100)
    assert plan(asked, POLICY, BORN + 20).at == asked.progress.read_at + 100


@given(hint=st.integers(0, MINUTE), failures=st.integers(0, 40), attempts=st.integers(1, 50))
def test_nothing_is_read_before_the_upstream_wants_it(hint, failures, attempts):
    """Retry-After binds, after a failure too; the jitter only adds to it, a tenth at most."""
    for leg in (STATUS_LEG, HOLD_LEG, OUTPUT_LEG):
        job = running(leg, hint=hint, failures=failures, attempts=attempts)
        waited = plan(job, POLICY, BORN + 20).at - job.progress.read_at
        assert hint <= waited <= 1.1 * max(hint, 15 * SECOND)


def test_failed_reads_come_slower_and_slower():
    """Seven times as they fail in a row, then every quarter of a minute."""
    waits = [
        plan(job, POLICY, BORN + 20).at - job.progress.read_at
        for job in (running(OUTPUT_LEG, failures=n) for n in range(1, 9))
    ]
    for wait, least in zip(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000], strict=True):
        assert least <= wait <= 1.1 * least


def test_two_jobs_do_not_march_in_step():
    """The same ages on two jobs are read at different times."""
    one = running(STATUS_LEG, failures=6)
    assert plan(one, POLICY, BORN + 20).at != plan(one.with_(id="p042-other"), POLICY, BORN + 20).at


# ---------------------------------------------------------------- the start's time-out, and trying again


@pytest.mark.parametrize(
    ("asked", "timeout"),
    [
        (UpstreamMode.ASYNC, 30),
        (UpstreamMode.FORGET, 30),
        (UpstreamMode.JOBS, 30),
        (UpstreamMode.LONG_POLL, 35),
        (None, 35),
    ],
)
def test_a_start_that_may_be_held_has_the_time_of_a_hold(asked, timeout):
    """A long-poll's first leg is start and wait in one, and a trigger in its own mode may be a long-poll."""
    assert start_timeout(asked, POLICY) == timeout * SECOND


def test_a_longer_start_timeout_holds_for_a_hold_too():
    """The setting is a least for every mode."""
    assert start_timeout(UpstreamMode.LONG_POLL, Policy(start_timeout=MINUTE)) == MINUTE


UNREACHABLE = Outcome(502, problem="upstream-unreachable", detail="nothing was sent: connect")
RETRYING = Policy(start_retry=MINUTE)
RETRYING_ALL = Policy(start_retry=MINUTE, idempotent=True)
REFUSALS = {
    "unreachable": (e.StartRefused(UNREACHABLE, frees_key=True), True),
    "429": (e.StartRefused(Outcome(429), frees_key=True), True),
    "401-heals-only-by-a-new-token": (e.StartRefused(Outcome(401), frees_key=True), False),
    "429-that-was-an-outcome": (e.StartRefused(Outcome(429), frees_key=False), False),
    "404": (e.StartRefused(Outcome(404), frees_key=False), False),
    "503-with-json": (e.StartRefused(Outcome(503), frees_key=False), False),
}


@pytest.mark.parametrize(("refused", "again"), REFUSALS.values(), ids=REFUSALS)
def test_only_passing_certain_failures_are_tried_again(refused, again):
    """Where nothing ran and time may heal it, and where the route wants it at all."""
    job = in_state(State.STARTING)
    event = postponed(job, refused, RETRYING, BORN + 20)
    assert isinstance(event, e.StartPostponed) == again
    assert again or event is refused
    assert postponed(job, refused, POLICY, BORN + 20) is refused


@given(hint=st.integers(0, 2 * MINUTE), tries=st.integers(1, 12), waited=st.integers(20, MINUTE))
def test_another_try_keeps_to_the_time_left(hint, tries, waited):
    """Not before the upstream's Retry-After, and never later than the route's time for starts."""
    job = in_state(State.STARTING)
    job = job.with_(progress=msgspec.structs.replace(job.progress, attempts=tries))
    event = postponed(job, e.StartRefused(Outcome(429), frees_key=True, hint=hint), RETRYING, BORN + waited)
    if isinstance(event, e.StartPostponed):
        assert BORN + waited + hint <= event.at < BORN + MINUTE
    else:
        assert waited + 1.1 * max(hint, 15 * SECOND) >= MINUTE


def test_another_try_keeps_to_the_deadline():
    """A start that could not end in time is not tried again."""
    job = in_state(State.STARTING, deadline=200)
    refused = e.StartRefused(UNREACHABLE, frees_key=True)
    assert postponed(job, refused, Policy(start_retry=HOUR), BORN + 20) is refused


def test_an_ambiguous_start_is_tried_again_only_where_running_twice_does_no_harm():
    """The route says so; and for how long there is time for another try."""
    job, reset = in_state(State.STARTING), e.StartAmbiguous("reset")
    again = postponed(job, reset, RETRYING_ALL, BORN + 20)
    assert again == e.StartPostponed(again.at, "reset", "upstream-ambiguous")
    assert 250 <= again.at - (BORN + 20) <= 275
    assert postponed(job, reset, RETRYING, BORN + 20) is reset
    assert postponed(job, reset, Policy(idempotent=True), BORN + 20) is reset
    assert postponed(job, reset, RETRYING_ALL, BORN + MINUTE) is reset


def test_a_job_that_runs_elsewhere_is_never_started_again():
    """Where the upstream accepted the start and its Location is refused, another try would only run it twice."""
    refused = e.StartAmbiguous("the job runs, but elsewhere", "location-refused")
    assert postponed(in_state(State.STARTING), refused, RETRYING_ALL, BORN + 20) is refused


def test_what_may_run_and_is_to_be_canceled_is_not_started_again():
    """It is looked for instead; a start that certainly did not run needs no other answer than the cancel."""
    job = apply(in_state(State.STARTING), e.CancelRequested(), BORN + 15)
    reset = e.StartAmbiguous("reset")
    assert postponed(job, reset, RETRYING_ALL, BORN + 20) is reset
    certain = e.StartRefused(UNREACHABLE, frees_key=True)
    back = apply(job, postponed(job, certain, RETRYING_ALL, BORN + 20), BORN + 20)
    assert isinstance(plan(back, RETRYING_ALL, BORN + 20).event, e.Canceled)


@pytest.mark.parametrize("status", [401, 429])
def test_what_is_certain_of_the_last_try_is_not_of_an_earlier_one(status):
    """When no try is left, a job of which one may have run is not said to have never run."""
    doubt = e.StartPostponed(BORN + 30, "reset", "upstream-ambiguous")
    job = apply(apply(in_state(State.STARTING), doubt, BORN + 20), e.StartIntended(), BORN + 30)
    refused = e.StartRefused(Outcome(status), frees_key=True)
    event = postponed(job, refused, RETRYING_ALL, BORN + MINUTE)
    assert event == e.StartAmbiguous("an earlier try of the start may have run", "upstream-ambiguous")
    answered = e.StartRefused(Outcome(404), frees_key=False)
    assert postponed(job, answered, RETRYING_ALL, BORN + MINUTE) is answered


# ---------------------------------------------------------------- found after the deadline


def found_late(by: int = HOUR) -> Job:
    """Return a job whose start was in doubt until `by` after its deadline, and which then was found."""
    job = in_state(State.UNKNOWN)
    return apply(job, e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY), job.deadline + by)


def test_a_job_found_after_its_deadline_is_read_before_it_is_given_up():
    """It may well have ended in time: the verdict on it must not come to nothing."""
    job = found_late()
    action = plan(job, POLICY, job.changed)
    assert isinstance(action, Read)
    still = apply(job, e.StillRunning(), action.at)
    assert isinstance(plan(still, POLICY, action.at).event, e.GaveUp)


def test_a_job_found_late_is_given_up_when_it_cannot_be_read():
    """Failing reads are tried again for a minute, however long the upstream asks to wait."""
    job = found_late()
    failed = apply(job, e.ReadFailed("503"), job.changed + 100)
    again = plan(failed, POLICY, job.changed + 100)
    assert isinstance(again, Read)
    assert again.at <= job.changed + 100 + 275
    asked = apply(job, e.ReadFailed("429", hint=HOUR), job.changed + 100)
    assert plan(asked, POLICY, job.changed + 100).at == job.changed + MINUTE
    assert isinstance(plan(asked, POLICY, job.changed + MINUTE).event, e.GaveUp)


def test_only_a_job_of_the_jobs_api_is_read_after_its_deadline():
    """A start that took too long is followed at a URI that would hold it: its deadline is over."""
    job = in_state(State.STARTING)
    late = apply(job, e.Followed(UpstreamMode.LONG_POLL, HOLD_LEG), job.deadline + 1)
    assert isinstance(plan(late, POLICY, job.deadline + 1).event, e.GaveUp)
