"""`plan`: what comes next for a record; and `plan` and `apply` together, against an upstream that does as it likes."""

from __future__ import annotations

import statistics

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.exchange import Answer, Exchanged, Failure
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import MAX_REDIRECTS, Origins, StartContext, judge_read, judge_start
from gateway.core.plan import Conclude, Read, Start, plan, postponed, start_timeout
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Pace, Policy
from gateway.core.states import TRANSITIONS
from tests.core.strategies import (
    ASKED,
    BORN,
    EXAMPLES,
    EXCHANGES,
    POLICIES,
    STATUS_LEG,
    TRIGGER,
    UPSTREAM,
    fresh,
    in_state,
    jobs,
    legal,
)

POLICY = Policy()
ORIGINS = Origins(UPSTREAM)
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
    """A live job that is not `unknown` is looked at again by its deadline at the latest."""
    job, now = drawn
    assert plan(job, policy, now).at <= max(job.deadline, now)


@given(drawn=jobs(), policy=POLICIES)
def test_what_is_concluded_is_legal(drawn, policy):
    """An action that needs nobody's answer carries an event that the state takes."""
    job, now = drawn
    action = plan(job, policy, now)
    if isinstance(action, Conclude):
        assert type(action.event) in TRANSITIONS[job.state]


@given(drawn=jobs(), policy=POLICIES)
def test_calls_are_planned_only_where_they_belong(drawn, policy):
    """A start only before one was sent, a read only of the record's leg."""
    job, now = drawn
    match plan(job, policy, now):
        case Start(timeout=timeout):
            assert job.state is State.ACCEPTED
            assert timeout > 0
        case Read(leg=leg, timeout=timeout):
            assert job.state is State.RUNNING
            assert leg == job.leg
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
    action = plan(in_state(State.STARTING), policy, now)
    assert action.at == now
    assert isinstance(action.event, e.StartAmbiguous)


def test_a_cancel_before_the_start_needs_nobody():
    """409 `job-canceled`, at once, even past the deadline."""
    job = apply(fresh(), e.CancelRequested(), BORN)
    for now in (BORN, job.deadline + 1):
        action = plan(job, POLICY, now)
        assert (action.at, type(action.event)) == (now, e.Canceled)
        assert (action.event.outcome.status, action.event.outcome.problem) == (409, "job-canceled")


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.UNKNOWN])
def test_a_cancel_request_changes_no_plan_after_that(state):
    """The upstream has to be asked, and until it has obeyed the job is followed as before."""
    job = in_state(state)
    assert plan(apply(job, e.CancelRequested(), BORN + 50), POLICY, BORN + 50) == plan(job, POLICY, BORN + 50)


def test_a_record_without_a_leg_is_not_lost():
    """Only a record of another version could be so: a person may still find the job."""
    action = plan(in_state(State.RUNNING).with_(leg=None), POLICY, BORN + 50)
    assert action == Conclude(BORN + 50, e.Lost("the record names nothing to follow", "upstream-ambiguous"))


@pytest.mark.parametrize("state", TERMINAL)
def test_an_ended_job_needs_nothing(state):
    """However late it is."""
    assert plan(in_state(state), POLICY, BORN + 365 * DAY) is None


# ---------------------------------------------------------------- when a leg is read


@pytest.mark.parametrize(
    ("leg", "timeout"), [(STATUS_LEG, 30 * SECOND), (OUTPUT_LEG, 30 * SECOND), (HOLD_LEG, 35 * SECOND)]
)
def test_a_held_leg_may_take_its_hold_and_a_margin(leg, timeout):
    """The others answer at once."""
    assert plan(running(leg), POLICY, BORN + 20).timeout == timeout


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
    [(UpstreamMode.ASYNC, 30), (UpstreamMode.FORGET, 30), (UpstreamMode.LONG_POLL, 35), (None, 35)],
)
def test_a_start_that_may_be_held_has_the_time_of_a_hold(asked, timeout):
    """A long-poll's first leg is start and wait in one, and a trigger in its own mode may be a long-poll."""
    assert start_timeout(asked, POLICY) == timeout * SECOND


def test_a_longer_start_timeout_holds_for_a_hold_too():
    """The setting is a least for every mode."""
    assert start_timeout(UpstreamMode.LONG_POLL, Policy(start_timeout=MINUTE)) == MINUTE


UNREACHABLE = Outcome(502, problem="upstream-unreachable", detail="nothing was sent: connect")
RETRYING = Policy(start_retry=MINUTE)
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


# ---------------------------------------------------------------- plan and apply, together


class Upstream:
    """An async trigger whose job takes `duration`; it counts what it is asked."""

    def __init__(self, duration: int) -> None:
        self.duration = duration
        self.calls = 0

    def answer(self, leg: Leg | None, age: int) -> Answer:
        """Answer a start (`leg` None) or a read, `age` after the start."""
        self.calls += 1
        if leg is None:
            return Answer(202, (("Location", "/status"),), b"")
        if leg.kind is LegKind.OUTPUT:
            return Answer(200, (), b"{}")
        return Answer(303, (("Location", "/output"),), b"") if age >= self.duration else Answer(200, (), b"")


def follow(job: Job, policy: Policy, upstream: Upstream) -> Job:
    """Do what the worker does: plan, perform, apply; time passes only between actions."""
    now = job.created
    while (action := plan(job, policy, now)) is not None:
        now = max(now, action.at)
        match action:
            case Start():
                job = apply(job, e.StartIntended(), now)
                event = judge_start(upstream.answer(None, 0), StartContext(TRIGGER, job.asked, ORIGINS))
            case Read(leg=leg):
                event = judge_read(upstream.answer(leg, now - job.created), leg, ORIGINS, job.redirects)
            case Conclude(event=event):
                pass
        job = apply(job, event, now)
    return job


def test_a_job_is_followed_to_its_end():
    """Eight calls for a second's job, start and output included, and the answer within a tenth of a second."""
    policy = Policy(pace=Pace(typical=1_000))
    upstreams = [Upstream(200 + 9 * n) for n in range(200)]
    ended = [follow(fresh().with_(id=f"p{n}"), policy, upstream) for n, upstream in enumerate(upstreams)]
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert all(job.progress.attempts == upstream.calls for job, upstream in zip(ended, upstreams, strict=True))
    assert statistics.mean(upstream.calls for upstream in upstreams) <= 8
    late = [job.finished - BORN - upstream.duration for job, upstream in zip(ended, upstreams, strict=True)]
    assert statistics.median(late) <= 110


def test_a_job_of_ten_minutes_is_not_polled_every_200_ms():
    """That would be three thousand reads."""
    upstream = Upstream(10 * MINUTE)
    job = follow(fresh(), POLICY, upstream)
    assert job.state is State.SUCCEEDED
    assert upstream.calls <= 100


def test_a_job_that_never_ends_is_ended_by_its_deadline():
    """At the deadline, to the millisecond, and with the gateway's own problem."""
    job = follow(fresh(deadline=HOUR), POLICY, Upstream(2 * HOUR))
    assert (job.state, job.finished, job.error) == (State.FAILED, job.deadline, "job-deadline")


class Loop(Upstream):
    """An upstream whose status URI moves for ever."""

    def answer(self, leg: Leg | None, age: int) -> Answer:
        """Answer a start as an async trigger does, a read with a move."""
        answer = super().answer(leg, age)
        return answer if leg is None else Answer(308, (("Location", f"/moved/{self.calls % 2}"),), b"")


def test_a_redirect_loop_comes_to_an_end():
    """Five moves are followed, then the job is `unknown`, and in the end `expired`."""
    upstream = Loop(0)
    job = follow(fresh(), POLICY, upstream)
    assert (job.state, job.error) == (State.EXPIRED, "location-refused")
    assert upstream.calls == 1 + MAX_REDIRECTS + 1


def may_have_run(exchanged: Exchanged) -> bool:
    """Tell whether a start that came to this may have run, by the design's own list of what is certain."""
    if isinstance(exchanged, Failure):
        return exchanged.sent
    html = any("html" in v for k, v in exchanged.headers if k == "Content-Type") or exchanged.body.startswith(b"<")
    return exchanged.status != 429 or html


class Life(RuleBasedStateMachine):
    """One job under a worker that does as `plan` says, while everything else does as it likes.

    The upstream answers anything; replicas die at any point and others go on from the stored record; callers cancel;
    people give verdicts. Time moves by any amount.
    """

    @initialize(policy=POLICIES, asked=ASKED, deadline=st.sampled_from([MINUTE, HOUR, DAY]))
    def accept(self, policy, asked, deadline):
        """A job is accepted."""
        self.policy, self.now = policy, BORN
        self.job = self.stored = fresh(asked=asked, deadline=deadline)
        self.starts_that_may_have_run = 0

    def happens(self, event: e.Event) -> None:
        """Apply `event`, and save what must be saved."""
        before, self.job = self.job, apply(self.job, event, self.now)
        assert self.job.revision == before.revision + self.job.differs_durably(before)
        if self.job.revision > before.revision:
            self.stored = msgspec.msgpack.decode(msgspec.msgpack.encode(self.job), type=Job)
            assert self.stored == self.job

    @precondition(lambda self: self.job.state is not State.STARTING)
    @rule(exchanged=EXCHANGES, early=st.booleans(), dies=st.booleans())
    def act(self, exchanged, early, dies):
        """Perform the next action when it is due (or plan and wait); the replica may die with a start on its way."""
        action = plan(self.job, self.policy, self.now)
        if action is None or (early and action.at > self.now):
            return
        self.now = max(self.now, action.at)
        match action:
            case Start():
                self.happens(e.StartIntended())
                self.starts_that_may_have_run += dies or may_have_run(exchanged)
                if dies:
                    self.replica_dies()
                else:
                    self.answered(exchanged)
            case Read(leg=leg):
                progress = self.job.progress
                self.happens(judge_read(exchanged, leg, ORIGINS, self.job.redirects, progress.failures))
            case Conclude(event=event):
                self.happens(event)

    def answered(self, exchanged: Exchanged) -> None:
        """The start comes to something."""
        event = judge_start(exchanged, StartContext(TRIGGER, self.job.asked, ORIGINS))
        if isinstance(event, e.StartRefused):
            event = postponed(self.job, event, self.policy, self.now)
        self.happens(event)

    @rule()
    def replica_dies(self):
        """Another replica takes the record over as it was stored, and plans before anything else."""
        self.job = self.stored
        if self.job.state is State.STARTING:
            action = plan(self.job, self.policy, self.now)
            assert isinstance(action, Conclude)
            self.happens(action.event)
            assert self.job.state is State.UNKNOWN

    @rule(milliseconds=st.integers(1, 2 * DAY))
    def time_passes(self, milliseconds):
        """Nobody looks for a while."""
        self.now += milliseconds

    @precondition(lambda self: not self.job.state.terminal)
    @rule()
    def cancel(self):
        """A caller asks for a cancel."""
        self.happens(e.CancelRequested())

    @precondition(lambda self: self.job.state is State.UNKNOWN)
    @rule(data=st.data())
    def verdict(self, data):
        """Somebody entitled says what became of an unknown job."""
        self.happens(data.draw(legal(self.job)))

    @precondition(lambda self: self.job.state.terminal)
    @rule(kind=st.sampled_from(list(EXAMPLES)))
    def too_late(self, kind):
        """Whatever comes after the end is refused, and nothing is planned."""
        assert kind not in TRANSITIONS[self.job.state]
        assert plan(self.job, self.policy, self.now) is None

    @invariant()
    def no_second_start(self):
        """At most one start per job may have run; and once one may have, none is planned."""
        assert self.starts_that_may_have_run <= 1
        if self.starts_that_may_have_run:
            assert not isinstance(plan(self.job, self.policy, self.now), Start)

    @invariant()
    def never_left_starting(self):
        """A start is always concluded: by its answer or by whoever finds it."""
        assert self.job.state is not State.STARTING

    @invariant()
    def finished_exactly_at_the_end(self):
        """`finished` says when, and only an ended job has it."""
        assert (self.job.finished is not None) == self.job.state.terminal

    @invariant()
    def planned_in_time(self):
        """Nothing is put off beyond the deadline, except an unknown job's verdict."""
        action = plan(self.job, self.policy, self.now)
        if action is not None and self.job.state is not State.UNKNOWN:
            assert action.at <= max(self.now, self.job.deadline)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
