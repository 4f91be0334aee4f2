"""`plan` and `apply` together: whole lives of jobs, against an upstream that does as it likes."""

from __future__ import annotations

import statistics

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.exchange import Answer, Exchanged, Failure
from gateway.core.job import Job, Leg, LegKind, State, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import MAX_REDIRECTS, Origins, StartContext, judge_read, judge_start
from gateway.core.plan import Action, Conclude, Read, Reconcile, Start, Stop, plan, postponed
from gateway.core.policy import DAY, HOUR, MINUTE, Binding, Pace, Policy
from gateway.core.states import TRANSITIONS
from tests.core.strategies import (
    ASKED,
    BORN,
    EVENTS,
    EXAMPLES,
    EXCHANGES,
    JOB_LEG,
    KEY,
    POLICIES,
    TRIGGER,
    UPSTREAM,
    differs_durably,
    fresh,
    jobs,
    legal,
)

POLICY = Policy()
ORIGINS = Origins(UPSTREAM)
ONWARD = st.sampled_from(
    [Answer(status, (("Location", f"/api/{n}"),), b"") for status in (202, 303, 307) for n in (1, 2)]
)
"""Answers that lead on: what is drawn freely mostly leads to an end."""


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


# ---------------------------------------------------------------- nobody spins


@st.composite
def outcomes_of(draw: st.DrawFn, job: Job, action: Action, policy: Policy, now: int) -> e.Event:
    """Draw what performing `action` may come to, as the worker's port says."""
    match action:
        case Start():
            event = judge_start(draw(EXCHANGES | ONWARD), StartContext(TRIGGER, job.asked, ORIGINS))
            return postponed(job, event, policy, now)
        case Read(leg=leg) if leg.kind is LegKind.JOB:
            return draw(st.one_of(EVENTS[kind] for kind in (e.StillRunning, e.ReadFailed, e.Ended)))
        case Read(leg=leg):
            return judge_read(draw(EXCHANGES | ONWARD), leg, ORIGINS, job.redirects, job.progress.failures)
        case Reconcile():
            return draw(st.sampled_from([e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY)]) | EVENTS[e.NoVerdict])
        case Stop(strategy=strategy):
            located = [] if job.upstream_key is not None else [e.Located(KEY)]
            return draw(st.sampled_from([e.StopSent(strategy), *located]) | EVENTS[e.StopFailed])
        case Conclude(event=event):
            return event


@settings(deadline=None)
@given(data=st.data(), drawn=jobs(), policy=POLICIES)
def test_at_any_instant_little_is_to_be_done(data, drawn, policy):
    """Whatever the upstream answers: each action moves the job on, or what comes next into the future."""
    job, now = drawn
    for _ in range(4 + 2 * MAX_REDIRECTS):
        action = plan(job, policy, now)
        if action is None or action.at > now:
            return
        if isinstance(action, Start):
            job = apply(job, e.StartIntended(), now)
        job = apply(job, data.draw(outcomes_of(job, action, policy, now)), now)
    raise AssertionError(f"still due: {plan(job, policy, now)}")


def calls_of(job: Job, policy: Policy, until: int, answers: dict[type[Action], e.Event]) -> int:
    """Count the calls that are made for `job` until `until`, if each is answered by its kind."""
    calls, now = 0, job.changed
    while (action := plan(job, policy, now)) is not None and action.at <= until:
        now = max(now, action.at)
        calls += not isinstance(action, Conclude)
        job = apply(job, action.event if isinstance(action, Conclude) else answers[type(action)], now)
    return calls


def test_a_broken_upstream_is_not_flooded():
    """An hour of failing reads and failing stops, or of kills that end nothing, is a call every seven seconds."""
    policy = Policy(binding=Binding(api=True, correlation="jobId"), kill_after=0)
    job = apply(apply(fresh(), e.StartIntended(), BORN), EXAMPLES[e.Followed], BORN)
    job = apply(job, e.CancelRequested(), BORN)
    fails = {Read: e.ReadFailed("503"), Stop: e.StopFailed("503")}
    assert calls_of(job, policy, BORN + HOUR, fails) <= 2 * (HOUR // 15_000 + 10)
    obeys = {Read: e.ReadFailed("503"), Stop: e.StopSent(StopStrategy.KILL)}
    assert calls_of(job, policy, BORN + HOUR, obeys) <= 2 * (HOUR // 15_000 + 10)


# ---------------------------------------------------------------- whole lives


def may_have_run(exchanged: Exchanged) -> bool:
    """Tell whether a start that came to this may have run, by the design's own list of what is certain."""
    if isinstance(exchanged, Failure):
        return exchanged.sent
    if exchanged.status == 401:  # authentication comes before anything runs
        return False
    html = any("html" in v for k, v in exchanged.headers if k == "Content-Type") or exchanged.body.startswith(b"<")
    return exchanged.status != 429 or html


ORDERS = st.fixed_dictionaries(
    {
        "asked": ASKED,
        "deadline": st.sampled_from([MINUTE, HOUR, DAY]),
        "cancel_after": st.sampled_from([None, None, 20_000, HOUR]),
    }
)


class Life(RuleBasedStateMachine):
    """One job after another under a worker that does as `plan` says, while everything else does as it likes.

    The upstream answers anything; replicas die at any point and others go on from the stored record; callers cancel;
    people give verdicts. Time moves by any amount.
    """

    @initialize(policy=POLICIES, order=ORDERS)
    def accept(self, policy, order):
        """A job is accepted."""
        self.policy, self.now = policy, BORN
        self.job = self.stored = fresh(**order)
        self.starts_that_may_have_run = self.verdicts = 0

    def happens(self, event: e.Event) -> None:
        """Apply `event`, and save what must be saved."""
        before, self.job = self.job, apply(self.job, event, self.now)
        assert self.job.revision == before.revision + differs_durably(self.job, before)
        if self.job.revision > before.revision:
            self.stored = msgspec.msgpack.decode(msgspec.msgpack.encode(self.job), type=Job)
            assert self.stored == self.job

    @precondition(lambda self: not self.job.state.terminal)
    @rule(data=st.data(), actions=st.integers(1, 5))
    def work(self, data, actions):
        """Perform the next actions when they are due."""
        for _ in range(actions):
            action = plan(self.job, self.policy, self.now)
            if action is not None:
                self.now = max(self.now, action.at)
                self.perform(data, action)

    def perform(self, data, action: Action) -> None:
        """Perform one; the replica may die with a start on its way."""
        if not isinstance(action, Start):
            self.happens(data.draw(outcomes_of(self.job, action, self.policy, self.now)))
            return
        self.happens(e.StartIntended())
        exchanged = data.draw(st.none() | EXCHANGES | ONWARD)
        self.starts_that_may_have_run += exchanged is None or may_have_run(exchanged)
        if exchanged is None:
            self.replica_dies()
        else:
            event = judge_start(exchanged, StartContext(TRIGGER, self.job.asked, ORIGINS))
            self.happens(postponed(self.job, event, self.policy, self.now))

    @rule()
    def replica_dies(self):
        """Another replica takes the record over as it was stored, and plans before anything else."""
        self.job = self.stored
        if self.job.state is State.STARTING:
            action = plan(self.job, self.policy, self.now)
            assert isinstance(action, Conclude)
            self.happens(action.event)
            again = self.policy.idempotent and self.policy.start_retry > 0
            assert self.job.state is State.UNKNOWN or (again and self.job.state is State.ACCEPTED)

    @rule(milliseconds=st.sampled_from([1, 300, 20_000, HOUR, DAY]))
    def time_passes(self, milliseconds):
        """Nobody looks for a while."""
        self.now += milliseconds

    @precondition(lambda self: not (self.job.state.terminal or self.job.cancel_requested))
    @rule(sure=st.sampled_from([False, False, True]))
    def cancel(self, sure):
        """A caller asks for a cancel."""
        if sure:
            self.happens(e.CancelRequested())

    @precondition(lambda self: self.job.state is State.UNKNOWN)
    @rule(data=st.data())
    def verdict(self, data):
        """Somebody entitled says what became of an unknown job."""
        self.verdicts += 1
        self.happens(data.draw(legal(self.job)))

    @precondition(lambda self: self.job.state.terminal)
    @rule(kind=st.sampled_from(list(EXAMPLES)), policy=POLICIES, order=ORDERS)
    def too_late(self, kind, policy, order):
        """Whatever comes after the end is refused, and nothing is planned. Then comes the next job."""
        assert kind not in TRANSITIONS[self.job.state]
        assert plan(self.job, self.policy, self.now) is None
        self.accept(policy, order)

    @invariant()
    def no_second_start(self):
        """At most one start may have run, unless the route says that more do no harm; then at least it is known."""
        if not self.policy.idempotent:
            assert self.starts_that_may_have_run <= 1
            assert not (self.starts_that_may_have_run and isinstance(plan(self.job, self.policy, self.now), Start))
        assert not (self.starts_that_may_have_run and self.job.frees_key and not self.verdicts)

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
        """Nothing is put off beyond the deadline, except for a job in doubt, and for a minute one that was."""
        action = plan(self.job, self.policy, self.now)
        if action is not None and self.job.state is not State.UNKNOWN:
            late = self.job.changed + MINUTE if self.job.changed >= self.job.deadline else 0
            assert action.at <= max(self.now, self.job.deadline, late)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
