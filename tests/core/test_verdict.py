"""Verdicts: each says one thing of one doubt, and nothing of any other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import State
from gateway.core.modes import UpstreamMode
from gateway.core.states import TRANSITIONS
from gateway.core.verdict import Fate, Verdict
from tests.core.strategies import EXAMPLES, JOB_LEG, KEY, OK, in_state, jobs

DOUBT = in_state(State.UNKNOWN)


def test_a_job_that_never_ran_may_be_started_again():
    """It ends as `start-never-ran`, which is retryable, and its key is free."""
    event = Verdict(Fate.NEVER_RAN, DOUBT.changed).event(DOUBT)
    assert isinstance(event, e.StartRefused)
    assert (event.outcome.status, event.outcome.problem, event.frees_key) == (502, "start-never-ran", True)
    assert apply(DOUBT, event, DOUBT.changed + 1).state is State.FAILED


def test_a_job_that_runs_is_followed_in_the_jobs_api():
    """Under the key that was named."""
    event = Verdict(Fate.RUNNING, DOUBT.changed, leg=JOB_LEG, key=KEY).event(DOUBT)
    assert event == e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY)


def test_a_job_that_ended_has_its_outcome():
    """As if it had been read."""
    assert Verdict(Fate.ENDED, DOUBT.changed, outcome=OK).event(DOUBT) == e.Ended(OK)


@pytest.mark.parametrize("fate", [Fate.RUNNING, Fate.ENDED])
def test_an_incomplete_verdict_is_none(fate):
    """Above all it does not say that nothing ran."""
    assert Verdict(fate, DOUBT.changed).event(DOUBT) is None


VERDICTS = st.builds(
    Verdict, st.sampled_from(Fate), st.integers(0, 9), leg=st.none() | st.just(JOB_LEG), outcome=st.none() | st.just(OK)
)


@given(drawn=jobs(), verdict=VERDICTS)
def test_a_verdict_is_legal_or_nothing(drawn, verdict):
    """Whatever has become of the job meanwhile."""
    job, now = drawn
    event = msgspec.structs.replace(verdict, since=job.changed).event(job)
    if event is not None:
        assert job.state is State.UNKNOWN
        apply(job, event, now)
    assert job.state is State.UNKNOWN or event is None


@given(verdict=VERDICTS)
def test_a_verdict_on_an_earlier_doubt_says_nothing_of_this_one(verdict):
    """A job that was found, followed and lost again needs a new one; the old one may come as late as it likes."""
    running = apply(DOUBT, EXAMPLES[e.Followed], DOUBT.changed + 5)
    lost = apply(running, EXAMPLES[e.Lost], DOUBT.changed + 10)
    late = msgspec.structs.replace(verdict, since=DOUBT.changed)
    assert late.event(running) is None
    assert late.event(lost) is None


def test_looking_in_vain_leaves_the_doubt_as_it_was():
    """A verdict that was given while somebody looked still holds."""
    looked = apply(DOUBT, e.NoVerdict("none"), DOUBT.changed + 500)
    canceled = apply(looked, e.CancelRequested(), DOUBT.changed + 600)
    assert Verdict(Fate.NEVER_RAN, DOUBT.changed).event(canceled) is not None


def test_a_verdict_survives_the_wire():
    """It waits in the store for the job's follower."""
    for verdict in (
        Verdict(Fate.NEVER_RAN, 1),
        Verdict(Fate.RUNNING, 2, JOB_LEG, KEY),
        Verdict(Fate.ENDED, 3, outcome=OK),
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(verdict), type=Verdict) == verdict


def test_every_fate_leads_out_of_doubt():
    """No verdict leaves a job `unknown`."""
    for fate in Fate:
        event = Verdict(fate, DOUBT.changed, JOB_LEG, KEY, OK).event(DOUBT)
        assert TRANSITIONS[State.UNKNOWN][type(event)] is not State.UNKNOWN
