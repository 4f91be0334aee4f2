"""Upstream mode `auto`: which mode a start asks for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.choosing import Moment, choose_upstream, holds
from gateway.core.job import Job, Leg, LegKind, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import MINUTE, SECOND, Binding, LongPolls, OnDisconnect, Pace, Policy
from gateway.core.schedule import Schedule

ASYNC, LONG_POLL, FORGET, JOBS = UpstreamMode


def learned(*quantiles: int) -> Pace:
    """Return a pace that knows by which ages equal parts of a route's jobs have ended."""
    return Pace(learned=Schedule((), quantiles))


SHORT = learned(*(SECOND * n for n in range(1, 11)))
FOUND = Policy(auto=True, pace=SHORT, binding=Binding(api=True, correlation="job"))
"""A route whose jobs are short and can be found."""
NOW = Moment(CallerMode.SYNC, held=3, budget=10)


def test_a_blocked_caller_of_a_short_job_that_can_be_found():
    """Is answered by a held leg, while there is room."""
    assert choose_upstream(FOUND, NOW) is LONG_POLL


def changed(**changes: object) -> Policy:
    """Return that route's policy with changes."""
    return msgspec.structs.replace(FOUND, **changes)


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        (changed(auto_long_poll=LongPolls.OFF), ASYNC),
        (changed(binding=Binding()), ASYNC),
        (changed(binding=Binding(api=True)), ASYNC),
        (changed(binding=Binding(correlation="job")), ASYNC),
        (changed(binding=Binding(), auto_long_poll=LongPolls.ON), LONG_POLL),
        (changed(binding=Binding(), idempotent=True, start_retry=MINUTE), LONG_POLL),
        (changed(binding=Binding(), idempotent=True), ASYNC),
        (changed(cancel_after=MINUTE), ASYNC),
        (changed(on_disconnect=OnDisconnect.CANCEL), ASYNC),
        (changed(pace=Pace()), ASYNC),
        (changed(pace=Pace(typical=SECOND)), ASYNC),
        (changed(pace=learned()), ASYNC),
        (changed(pace=learned(*[SECOND] * 9, 25 * SECOND)), LONG_POLL),
        (changed(pace=learned(*[SECOND] * 9, 26 * SECOND)), ASYNC),
        (changed(pace=learned(*[SECOND] * 19, 4 * MINUTE)), LONG_POLL),
        (changed(pace=learned(*[SECOND] * 19, 6 * MINUTE)), ASYNC),
        (changed(upstream_hold=9 * SECOND), ASYNC),
        (changed(upstream_mode=JOBS), JOBS),
        (changed(track=False), FORGET),
    ],
    ids=lambda value: "" if isinstance(value, Policy) else value.name,
)
def test_what_the_route_says(policy: Policy, mode: UpstreamMode):
    """Allowed, safe and short, each is needed; what has one start only has no choice, nor has what nobody follows."""
    assert choose_upstream(policy, NOW) is mode


@pytest.mark.parametrize(
    ("moment", "mode"),
    [
        ({"mode": CallerMode.LONG_POLL}, LONG_POLL),
        ({"mode": CallerMode.ASYNC}, ASYNC),
        ({"mode": CallerMode.FORGET}, ASYNC),
        ({"mode": CallerMode.CALLBACK}, ASYNC),
        ({"mode": CallerMode.STREAM}, ASYNC),
        ({"mode": None}, ASYNC),
        ({"held": 9}, LONG_POLL),
        ({"held": 10}, ASYNC),
        ({"held": 11}, ASYNC),
        ({"budget": 0, "held": 0}, ASYNC),
        ({"told": True}, ASYNC),
        ({"cancels": True}, ASYNC),
    ],
    ids=str,
)
def test_what_the_moment_says(moment: dict[str, object], mode: UpstreamMode):
    """Only who is blocked, only within the budget, and not where a webhook will tell or the caller may cancel."""
    assert choose_upstream(FOUND, msgspec.structs.replace(NOW, **moment)) is mode


@pytest.mark.parametrize("asked", [*UpstreamMode, None])
def test_without_auto_it_is_what_the_route_says(asked):
    """Whatever the moment, and whatever was learned."""
    policy = changed(auto=False, upstream_mode=asked)
    assert choose_upstream(policy, NOW) is asked
    assert choose_upstream(policy, Moment(CallerMode.FORGET, held=99)) is asked


def test_nothing_but_long_polling_depends_on_the_moment():
    """Where no long poll is allowed, `auto` is the default upstream mode, at every moment."""
    policy = changed(auto_long_poll=LongPolls.OFF)
    moments = [Moment(mode, told=told, budget=9) for mode in (*CallerMode, None) for told in (False, True)]
    assert {choose_upstream(policy, moment) for moment in moments} == {Policy().upstream_mode}


@pytest.mark.parametrize(
    ("state", "asked", "kind", "held"),
    [
        (State.ACCEPTED, LONG_POLL, None, True),
        (State.STARTING, LONG_POLL, None, True),
        (State.STARTING, ASYNC, None, False),
        (State.STARTING, None, None, False),
        (State.RUNNING, LONG_POLL, LegKind.HOLD, True),
        (State.RUNNING, None, LegKind.HOLD, True),
        (State.RUNNING, LONG_POLL, LegKind.STATUS, False),
        (State.RUNNING, LONG_POLL, LegKind.JOB, False),
        (State.UNKNOWN, LONG_POLL, None, False),
        (State.SUCCEEDED, LONG_POLL, None, False),
    ],
)
def test_which_jobs_hold_a_connection(state, asked, kind, held):
    """What was asked for until the start is answered, what is read from then on; none once it has ended."""
    leg = None if kind is None else Leg(kind, "https://h/leg")
    job = Job("id", "route", "p", "t", CallerMode.SYNC, asked, 0, 1, state=state, leg=leg)
    assert holds(job) is held
