"""How a job in doubt is looked for: when, how often, and when that is given up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.plan import Conclude, Reconcile, plan, postponed, unsettled
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Binding, Policy
from tests.core.strategies import KEY, in_state

API = Policy(binding=Binding(api=True, correlation="jobId"))


def looks(job: Job, policy: Policy, *, hint: int = 0, late: int = 0) -> list[int]:
    """Return when `job` is looked for in vain, in ms since it came to be in doubt. `late`: how long each look takes."""
    times = []
    now = job.changed
    while isinstance(action := plan(job, policy, now), Reconcile):
        now = max(now, action.at) + late
        times.append(now - job.changed)
        job = apply(job, e.NoVerdict("none of the jobs is it", hint), now)
    assert action == Conclude(job.changed + policy.unknown_ttl, e.VerdictMissed())
    return times


def test_nothing_is_looked_for_where_nobody_could_tell():
    """It waits for a verdict, and that is all."""
    job = in_state(State.UNKNOWN)
    for binding in (Binding(), Binding(api=True), Binding(correlation="jobId", process="Add")):
        policy = Policy(binding=binding)
        assert plan(job, policy, job.changed) == Conclude(job.changed + 72 * HOUR, e.VerdictMissed())


@pytest.mark.parametrize(
    ("asked", "key", "binding"),
    [
        (UpstreamMode.ASYNC, None, Binding(api=True, correlation="jobId")),
        (UpstreamMode.JOBS, None, Binding(api=True, process="Add")),
        (UpstreamMode.LONG_POLL, KEY, Binding(api=True)),
    ],
)
def test_a_job_that_can_be_found_is_looked_for_soon(asked, key, binding):
    """Half a second after the doubt: Orchestrator lists what it has created at once, or a moment later."""
    job = in_state(State.UNKNOWN, asked=asked).with_(upstream_key=key)
    policy = Policy(binding=binding)
    assert plan(job, policy, job.changed) == Reconcile(job.changed + SECOND // 2, policy.read_timeout)


def test_looks_come_slower_as_the_doubt_grows_older():
    """A second apart at first, then after half as long again as it has lasted, then every five minutes."""
    times = looks(in_state(State.UNKNOWN), API)
    waits = [there - here for here, there in itertools.pairwise(times)]
    assert times[0] == SECOND // 2
    for before, wait in zip(times, waits, strict=False):
        least = max(SECOND, min(before // 2, 5 * MINUTE))
        assert least <= wait <= 1.1 * least
    assert len([time for time in times if time <= MINUTE]) <= 12
    assert len(times) <= 1_000


def test_the_last_look_comes_before_the_verdict_is_missed():
    """After 72 hours nobody looks any more, and the job expires."""
    assert looks(in_state(State.UNKNOWN), API)[-1] < 72 * HOUR
    assert looks(in_state(State.UNKNOWN), API, late=10 * MINUTE)[-1] < 72 * HOUR + 10 * MINUTE


@given(hint=st.integers(0, 2 * DAY))
def test_no_look_comes_before_the_upstream_wants_it(hint):
    """The list is limited to a hundred calls a minute for the whole tenant: Retry-After binds."""
    policy = Policy(binding=API.binding, unknown_ttl=DAY)
    times = looks(in_state(State.UNKNOWN), policy, hint=hint)
    assert all(there - here >= max(hint, SECOND) for here, there in itertools.pairwise(times))


def test_whoever_takes_it_over_looks_at_once_and_then_at_its_age():
    """How often others looked is not on record; how old the doubt is, is."""
    job = in_state(State.UNKNOWN)
    now = job.changed + HOUR
    assert plan(job, API, now).at <= now
    after = apply(job, e.NoVerdict("none"), now)
    assert plan(after, API, now).at >= now + 5 * MINUTE


def test_a_job_lost_while_running_is_looked_for_from_then_on():
    """Failed reads of before are not held against it."""
    job = in_state(State.RUNNING)
    for _ in range(6):
        job = apply(job, e.ReadFailed("503", hint=HOUR), job.changed + 5)
    lost = apply(job, e.Lost("another host", "location-refused"), job.changed + 9)
    assert plan(lost, API, lost.changed).at == lost.changed + SECOND // 2


# ---------------------------------------------------------------- an answer in an outcome's place that tells no end

NO_FINAL_STATUS = Outcome(504, (), b'{"message":"The job did not complete in time.","errorCode":4803}')
ENDS = {
    "failed": Outcome(500, (), b'{"message":"no","errorCode":4801}'),
    "canceled": Outcome(500, (), b'{"message":"no","errorCode":4802}'),
    "an output with such a member": Outcome(200, (), b'{"errorCode":4803}'),
    "no JSON": Outcome(504, (), b"4803"),
}


def test_an_error_that_tells_no_end_is_a_doubt_where_jobs_can_be_found():
    """Of a read, and of a start that was held; elsewhere it is the outcome, as the upstream gave it."""
    read, started = e.Ended(NO_FINAL_STATUS), e.Ended(NO_FINAL_STATUS, mode=UpstreamMode.LONG_POLL)
    running, starting = in_state(State.RUNNING), in_state(State.STARTING)
    assert isinstance(unsettled(running, read, API), e.Lost)
    assert isinstance(postponed(starting, started, API, starting.changed), e.StartAmbiguous)
    for binding in (Binding(), Binding(correlation="jobId"), Binding(api=True)):
        policy = Policy(binding=binding)
        assert unsettled(running, read, policy) is read
        assert postponed(starting, started, policy, starting.changed) is started


@pytest.mark.parametrize("outcome", ENDS.values(), ids=ENDS)
def test_every_other_outcome_is_one(outcome: Outcome):
    """Whatever it says, it says how the job ended."""
    ended = e.Ended(outcome)
    assert unsettled(in_state(State.RUNNING), ended, API) is ended
    assert postponed(in_state(State.STARTING), ended, API, 0) is ended


def test_what_is_still_running_is_no_end():
    """Other events of a read are left alone."""
    event = e.StillRunning()
    assert unsettled(in_state(State.RUNNING), event, API) is event
