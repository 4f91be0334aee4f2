"""The count of connections that wait upstream."""

import contextlib

from gateway.core.job import Job, Leg, LegKind, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.worker.held import Held


def job(job_id: str, **changes: object) -> Job:
    """Return the record of a job that is long-polled for."""
    base = Job(job_id, "route", "p", "t", CallerMode.SYNC, UpstreamMode.LONG_POLL, 0, 1)
    return base.with_(**changes)


def test_from_the_choice_to_the_end():
    """Counted once, however often it is told of, and no longer once it has ended."""
    held = Held(5)
    with held.chosen(UpstreamMode.LONG_POLL):
        assert len(held) == 1
    assert len(held) == 0
    held.note(job("a"))
    held.note(job("a", state=State.STARTING))
    held.note(job("a", state=State.RUNNING, leg=Leg(LegKind.HOLD, "https://h/leg")))
    held.note(job("b"))
    assert len(held) == 2
    held.note(job("a", state=State.SUCCEEDED))
    assert len(held) == 1


def test_what_is_followed_elsewhere_is_not_held_here():
    """A replica that loses a job lets go of its connection."""
    held = Held(5)
    held.note(job("a"))
    held.drop("a")
    held.drop("unknown")
    assert len(held) == 0


def test_other_choices_count_nothing():
    """Nor does a failure between the choice and the job."""
    held = Held(5)
    for mode in (UpstreamMode.ASYNC, UpstreamMode.JOBS, None):
        with held.chosen(mode):
            assert len(held) == 0
    with contextlib.suppress(RuntimeError), held.chosen(UpstreamMode.LONG_POLL):
        raise RuntimeError
    assert len(held) == 0
