"""`apply`: what each event changes in the record, and what no sequence of events can do."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import MIN_HOLD, apply
from gateway.core.job import Job, Leg, LegKind, Outcome, Progress, State, Stopping, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import LOCATION_REFUSED
from gateway.core.states import TRANSITIONS, IllegalTransition
from tests.core.strategies import (
    ANY_EVENT,
    BORN,
    EXAMPLES,
    JOB_LEG,
    KEY,
    LIVE,
    OK,
    STATUS_LEG,
    differs_durably,
    fresh,
    in_state,
    jobs,
    legal,
)

LATER = BORN + 5_000
UNREADABLE = Outcome(502, problem="outcome-unreadable", detail="cut")


def progressed(job: Job, **changes: object) -> Job:
    """Return `job` with another progress."""
    return job.with_(progress=msgspec.structs.replace(job.progress, **changes))


# ---------------------------------------------------------------- what any event does


@given(drawn=jobs(), event=ANY_EVENT)
def test_an_illegal_event_raises_and_changes_nothing(drawn, event):
    """A miss in the table is an error of the program; the record is as it was."""
    job, now = drawn
    before = msgspec.msgpack.encode(job)
    if type(event) in TRANSITIONS[job.state]:
        apply(job, event, now)
    else:
        with pytest.raises(IllegalTransition):
            apply(job, event, now)
    assert msgspec.msgpack.encode(job) == before


@given(drawn=jobs(*[state for state in State if state.terminal]), event=ANY_EVENT)
def test_a_job_that_has_ended_never_changes(drawn, event):
    """Whatever arrives late: a read, a cancel, a verdict."""
    job, now = drawn
    with pytest.raises(IllegalTransition):
        apply(job, event, now)


@given(data=st.data(), drawn=jobs(*LIVE))
def test_the_revision_grows_with_every_durable_change_and_only_then(data, drawn):
    """Two records of one revision are the same, but for the progress that the follower keeps."""
    job, now = drawn
    after = apply(job, data.draw(legal(job)), now)
    changed = after.with_(revision=0, progress=Progress()) != job.with_(revision=0, progress=Progress())
    assert after.revision == job.revision + changed


@given(data=st.data(), drawn=jobs(*LIVE))
def test_finished_is_set_exactly_at_the_end(data, drawn):
    """As are the outcome's head (except of `dispatched` and `expired`) and the time of the last change."""
    job, now = drawn
    after = apply(job, data.draw(legal(job)), now)
    assert (after.finished is not None) == after.state.terminal
    assert after.finished in {None, now}
    assert (after.outcome is not None) == (after.state in {State.SUCCEEDED, State.FAILED, State.CANCELED})
    assert after.changed == (job.changed if after.state is job.state else now)


@given(data=st.data(), drawn=jobs(*LIVE))
def test_what_was_promised_at_acceptance_never_changes(data, drawn):
    """Identity, owner, deadline and what was asked stay; a cancel request is not taken back."""
    job, now = drawn
    after = apply(job, data.draw(legal(job)), now)
    for field in (
        *("id", "route", "principal", "token", "mode", "asked", "created", "deadline", "cancel_at"),
        *("callback_url", "key", "key_scope", "key_until"),
    ):
        assert getattr(after, field) == getattr(job, field)
    assert after.cancel_requested >= job.cancel_requested
    assert job.started is None or after.started == job.started
    assert after.progress.attempts >= job.progress.attempts


@given(drawn=jobs())
def test_a_job_that_ended_names_nothing_to_read(drawn):
    """A leg is there exactly while a job runs; an `unknown` one may keep the leg that it was lost on."""
    job, _now = drawn
    if job.state is State.RUNNING:
        assert job.leg is not None
    elif job.state is not State.UNKNOWN:
        assert job.leg is None


@given(drawn=jobs())
def test_a_record_survives_the_wire(drawn):
    """MessagePack there and back gives the same record, defaults left out."""
    job, _now = drawn
    packed = msgspec.msgpack.encode(job)
    assert msgspec.msgpack.decode(packed, type=Job) == job
    names = msgspec.msgpack.decode(packed)
    assert "refused" in names or not job.refused


def test_fields_of_a_later_version_are_ignored():
    """Fields are only ever added: an older replica reads a newer record of the same schema."""
    job = in_state(State.RUNNING)
    later = msgspec.msgpack.encode(msgspec.to_builtins(job) | {"invented": {"later": 1}})
    assert msgspec.msgpack.decode(later, type=Job) == job


def test_progress_alone_is_not_durable():
    """What changes with every read is saved only along with something that matters."""
    job = in_state(State.RUNNING)
    read = apply(job, e.StillRunning(hint=7), LATER)
    assert read.progress == Progress(read_at=LATER, hint=7, attempts=job.progress.attempts + 1)
    assert not differs_durably(read, job)
    assert read.revision == job.revision
    assert differs_durably(apply(job, e.CancelRequested(), LATER), job)


# ---------------------------------------------------------------- the start


def test_the_intent_counts_the_call():
    """Saved before the first byte, so the record says `starting` while anything may be sent."""
    job = apply(fresh(), e.StartIntended(), LATER)
    assert (job.state, job.revision, job.progress.attempts, job.changed) == (State.STARTING, 2, 1, LATER)
    assert job.intended == LATER


def test_a_postponed_start_waits_and_says_why():
    """It certainly did not run: back to `accepted`, not to be sent before its time."""
    job = apply(in_state(State.STARTING), e.StartPostponed(at=LATER, why="refused"), BORN + 20)
    assert (job.state, job.not_before, job.message, job.revision) == (State.ACCEPTED, LATER, "refused", 3)
    again = apply(job, e.StartIntended(), LATER)
    assert (again.progress.attempts, again.message, again.intended, again.error) == (2, None, LATER, None)


def in_doubt() -> Job:
    """Return a job that waits for another try of its start, of which one may have run."""
    postponed = e.StartPostponed(at=LATER, why="reset", code="upstream-ambiguous")
    return apply(in_state(State.STARTING), postponed, BORN + 20)


def test_a_start_that_may_have_run_leaves_its_doubt_on_record():
    """Tried again because running twice does no harm; what is looked for later may be as old as the first try."""
    job = in_doubt()
    assert (job.state, job.error) == (State.ACCEPTED, "upstream-ambiguous")
    again = apply(job, e.StartIntended(), LATER)
    assert (again.error, again.intended) == ("upstream-ambiguous", job.intended)
    certain = apply(again, e.StartPostponed(at=LATER + 9, why="refused"), LATER + 1)
    assert (certain.error, certain.message) == ("upstream-ambiguous", "refused")


@pytest.mark.parametrize("kind", [e.Followed, e.Ended, e.Dispatched])
def test_an_answered_try_ends_the_doubt(kind):
    """Which of the tries is followed is no matter."""
    job = apply(apply(in_doubt(), e.StartIntended(), LATER), EXAMPLES[kind], LATER + 1)
    assert (job.error, job.message) == (None, None)


@pytest.mark.parametrize("kind", [e.GaveUp, e.Canceled])
def test_nothing_started_is_said_only_where_it_is_certain(kind):
    """An end before the start frees the key, unless an earlier try may have run."""
    never = apply(fresh(), EXAMPLES[kind], LATER)
    assert (never.refused, never.frees_key) == (True, True)
    perhaps = apply(in_doubt(), EXAMPLES[kind], LATER)
    assert (perhaps.refused, perhaps.frees_key) == (False, False)
    started = apply(in_state(State.RUNNING), EXAMPLES[kind], LATER)
    assert (started.refused, started.frees_key) == (False, False)


@pytest.mark.parametrize("frees_key", [True, False])
def test_a_refused_start_ends_the_job(frees_key):
    """The upstream's answer is the outcome, and whether the key may be used again is on record."""
    outcome = Outcome(404, (("Content-Type", "application/json"),), b'{"errorCode":1623}')
    job = apply(in_state(State.STARTING), e.StartRefused(outcome, frees_key), LATER)
    assert (job.state, job.finished, job.refused, job.frees_key) == (State.FAILED, LATER, True, frees_key)
    assert job.outcome == outcome.head
    assert job.started is None


def test_an_ambiguous_start_says_why():
    """The problem's code and words are what callers are told; looking for it begins anew."""
    job = apply(progressed(in_state(State.STARTING), failures=2, hint=9), e.StartAmbiguous("reset by peer"), LATER)
    assert (job.state, job.error, job.message) == (State.UNKNOWN, "upstream-ambiguous", "reset by peer")
    assert job.progress == Progress(read_at=LATER, attempts=1)
    assert (job.started, job.finished, job.outcome) == (None, None, None)


def test_a_followed_start_runs():
    """The mode that the trigger answered in, and the URI to read."""
    job = apply(in_state(State.STARTING), e.Followed(UpstreamMode.ASYNC, STATUS_LEG), LATER)
    assert (job.state, job.observed, job.leg, job.started) == (State.RUNNING, UpstreamMode.ASYNC, STATUS_LEG, LATER)
    assert job.progress.read_at == LATER
    assert job.upstream_key is None


def test_a_start_may_tell_the_jobs_key():
    """One that is followed through the Jobs API has it, and keeps it wherever it is followed next."""
    job = apply(in_state(State.STARTING), e.Followed(UpstreamMode.JOBS, JOB_LEG, KEY), LATER)
    assert (job.observed, job.leg, job.upstream_key) == (UpstreamMode.JOBS, JOB_LEG, KEY)
    lost = apply(job, EXAMPLES[e.Lost], LATER + 1)
    assert apply(lost, EXAMPLES[e.Followed], LATER + 2).upstream_key == KEY


def test_a_dispatched_start_is_over():
    """The upstream fired and forgot: terminal, with no outcome."""
    job = apply(in_state(State.STARTING), e.Dispatched(), LATER)
    assert (job.state, job.observed, job.finished) == (State.DISPATCHED, UpstreamMode.FORGET, LATER)


def test_a_start_answered_with_the_outcome_is_over():
    """Accepted and ended in one."""
    job = apply(in_state(State.STARTING), e.Ended(OK, UpstreamMode.LONG_POLL), LATER)
    assert (job.state, job.observed, job.started, job.finished) == (
        State.SUCCEEDED,
        UpstreamMode.LONG_POLL,
        LATER,
        LATER,
    )
    assert job.progress.attempts == 1


# ---------------------------------------------------------------- reads


def test_a_failed_read_is_counted_until_one_succeeds():
    """Failures in a row, with the last one's reason and wish."""
    job = in_state(State.RUNNING)
    once = apply(job, e.ReadFailed("502"), LATER)
    twice = apply(once, e.ReadFailed("429", hint=3_000), LATER + 1)
    assert twice.progress == Progress(read_at=LATER + 1, hint=3_000, failures=2, attempts=3, trouble="429")
    assert apply(twice, e.StillRunning(), LATER + 2).progress == Progress(read_at=LATER + 2, attempts=4)


def test_a_redirect_moves_the_leg():
    """The new URI is durable, so another replica reads it and not the old one."""
    output = Leg(LegKind.OUTPUT, "https://orchestrator.example/o")
    job = in_state(State.RUNNING)
    moved = apply(job, e.Redirected(output, redirects=2), LATER)
    assert (moved.leg, moved.redirects, moved.revision) == (output, 2, job.revision + 1)


def test_redirects_in_a_row_end_with_a_read_that_says_running():
    """A status URI that moved once a day is no loop."""
    moved = apply(in_state(State.RUNNING), e.Redirected(STATUS_LEG, redirects=4), LATER)
    assert apply(moved, e.StillRunning(), LATER + 1).redirects == 0


@pytest.mark.parametrize(("after", "hint"), [(0, MIN_HOLD), (MIN_HOLD - 1, MIN_HOLD), (MIN_HOLD, 0), (25_000, 0)])
def test_a_leg_that_does_not_hold_is_paced(after, hint):
    """An upstream that redirects at once would have us spin; one that holds is read again at once."""
    job = in_state(State.RUNNING)
    hold = Leg(LegKind.HOLD, "https://orchestrator.example/h")
    assert apply(job, e.Redirected(hold), job.progress.read_at + after).progress.hint == hint


def test_the_output_is_read_at_once():
    """However fast the status URI led there."""
    job = in_state(State.RUNNING)
    output = Leg(LegKind.OUTPUT, "https://orchestrator.example/o")
    assert apply(job, e.Redirected(output), job.progress.read_at).progress.hint == 0


def test_an_outcome_ends_a_followed_job():
    """Its head goes into the record, the body elsewhere."""
    job = progressed(in_state(State.RUNNING), failures=3, trouble="502", hint=9)
    done = apply(job, e.Ended(OK), LATER)
    assert (done.state, done.outcome, done.started) == (State.SUCCEEDED, OK.head, job.started)
    assert done.outcome.size == len(OK.body)
    assert done.progress == Progress(read_at=LATER, attempts=job.progress.attempts + 1)


def test_an_end_that_the_gateway_made_names_its_problem():
    """Code and words, for each caller's own rendering."""
    job = apply(in_state(State.RUNNING), e.GaveUp(UNREADABLE), LATER)
    assert (job.state, job.error, job.message) == (State.FAILED, "outcome-unreadable", "cut")
    assert (job.outcome.status, job.outcome.problem, job.outcome.size) == (502, "outcome-unreadable", 0)


def test_the_age_of_a_job_that_was_found_again():
    """Counts from when its start was sent, not from when it was found; what had been told before stays."""
    sent = apply(in_state(State.ACCEPTED), e.StartIntended(), LATER)
    doubtful = apply(sent, e.StartAmbiguous("no answer"), LATER + 5)
    found = e.Followed(UpstreamMode.JOBS, Leg(LegKind.JOB, "https://h/job"), KEY)
    assert apply(doubtful, found, LATER + 60_000).started == LATER
    assert apply(sent, found, LATER + 7).started == LATER + 7
    lost = apply(in_state(State.RUNNING), e.Lost("gone", LOCATION_REFUSED), LATER + 9)
    assert apply(lost, found, LATER + 60_000).started == lost.started


# ---------------------------------------------------------------- stopping


def test_a_found_key_is_kept():
    """Finding it costs a call, so it is durable."""
    job = in_state(State.RUNNING)
    found = apply(job, e.Located(KEY), LATER)
    assert found == job.with_(upstream_key=KEY, revision=job.revision + 1)


def test_an_accepted_stop_is_on_record():
    """With when it was accepted: from then on runs the time after which it is a kill."""
    job = apply(in_state(State.RUNNING), e.StopSent(StopStrategy.SOFT), LATER)
    assert job.stopping == Stopping(LATER, StopStrategy.SOFT)
    assert apply(job, e.StopSent(StopStrategy.KILL), LATER + 9).stopping == Stopping(LATER + 9, StopStrategy.KILL)


def test_failed_stops_are_counted_until_one_is_accepted():
    """What was accepted before is not forgotten, and the last failure's reason can be seen."""
    soft = apply(in_state(State.RUNNING), e.StopSent(StopStrategy.SOFT), LATER)
    once = apply(soft, e.StopFailed("503"), LATER + 1)
    twice = apply(once, e.StopFailed("429", hint=3_000), LATER + 2)
    assert once.stopping == Stopping(LATER + 1, StopStrategy.SOFT, failures=1)
    assert twice.stopping == Stopping(LATER + 3_002, StopStrategy.SOFT, failures=2)
    assert twice.progress.trouble == "429"
    assert apply(twice, e.StopSent(StopStrategy.KILL), LATER + 9).stopping.failures == 0


def test_a_stop_leaves_the_reads_as_they_were():
    """When the job is read next, and how often that failed, is another matter."""
    job = progressed(in_state(State.RUNNING), failures=2, hint=5)
    for event in (e.StopSent(StopStrategy.SOFT), e.StopFailed("503", hint=7)):
        after = apply(job, event, LATER).progress
        assert (after.read_at, after.hint, after.failures) == (job.progress.read_at, 5, 2)


# ---------------------------------------------------------------- cancel, lost, verdicts


@pytest.mark.parametrize("state", LIVE)
def test_a_cancel_request_is_a_flag(state):
    """It changes no state, and asking twice changes nothing."""
    job = in_state(state)
    once = apply(job, e.CancelRequested(), LATER)
    assert once == job.with_(cancel_requested=True, revision=job.revision + 1)
    assert apply(once, e.CancelRequested(), LATER + 1) == once


@pytest.mark.parametrize("state", [State.ACCEPTED, State.RUNNING, State.UNKNOWN])
def test_a_cancel_that_took_effect_ends_the_job(state):
    """With the gateway's own 409."""
    job = apply(in_state(state), EXAMPLES[e.Canceled], LATER)
    assert (job.state, job.error, job.outcome.status) == (State.CANCELED, "job-canceled", 409)


def test_a_lost_job_keeps_when_it_was_started():
    """A verdict that follows it again begins anew in everything else."""
    running = progressed(in_state(State.RUNNING), failures=4, trouble="502", hint=60_000).with_(redirects=5)
    lost = apply(running, e.Lost("another host", "location-refused"), LATER)
    assert (lost.state, lost.error, lost.message) == (State.UNKNOWN, "location-refused", "another host")
    again = apply(lost, e.Followed(UpstreamMode.ASYNC, STATUS_LEG), LATER + 9)
    assert (again.state, again.started, again.redirects) == (State.RUNNING, running.started, 0)
    assert (again.error, again.message) == (None, None)
    assert again.progress == Progress(read_at=LATER + 9, attempts=running.progress.attempts)


def test_a_verdict_may_be_the_outcome():
    """Found by reconciling, or said by somebody entitled."""
    job = apply(in_state(State.UNKNOWN), e.Ended(OK), LATER)
    assert (job.state, job.error, job.message, job.outcome) == (State.SUCCEEDED, None, None, OK.head)


def test_a_look_in_vain_is_counted():
    """As a failed read is: it sets the pace of the next one, and nothing of it is durable."""
    job = in_state(State.UNKNOWN)
    looked = apply(job, e.NoVerdict("429", hint=3_000), LATER)
    assert looked.progress == Progress(read_at=LATER, hint=3_000, failures=1, attempts=2, trouble="429")
    assert looked.revision == job.revision


def test_the_verdict_may_be_that_it_never_ran():
    """The job has failed as if its start had been refused, and its key is free."""
    never = e.StartRefused(Outcome(502, problem="start-never-ran", detail="said so"), frees_key=True)
    job = apply(in_state(State.UNKNOWN), never, LATER)
    assert (job.state, job.error, job.refused, job.frees_key) == (State.FAILED, "start-never-ran", True, True)


def test_a_missed_verdict_expires_the_job():
    """What was doubtful stays on record: that is all that can be said."""
    job = apply(in_state(State.UNKNOWN), e.VerdictMissed(), LATER)
    assert (job.state, job.finished, job.error) == (State.EXPIRED, LATER, "upstream-ambiguous")
    assert (job.outcome, job.leg) == (None, None)
