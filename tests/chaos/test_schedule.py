"""The plan is the seed's alone, keeps its lines apart, and leaves everybody in peace now and then."""

from __future__ import annotations

from itertools import pairwise

from tests.chaos.history import REDIS
from tests.chaos.schedule import Kind, Terms, plan

LONG = Terms(seed=1, seconds=1200.0)


def test_a_seed_is_a_plan():
    """The same one gives the same plan, another one another."""
    assert plan(LONG) == plan(LONG)
    assert plan(LONG) != plan(Terms(seed=2, seconds=1200.0))


def test_a_long_plan_holds_everything_for_everybody():
    """Every kind of fault, every replica, and the store."""
    steps = plan(LONG)
    assert {step.kind for step in steps} == set(Kind)
    assert {step.target for step in steps} == {0, 1, 2, REDIS}
    assert {step.kind for step in steps if step.target == REDIS} == {Kind.KILL, Kind.STOP}


def test_nobody_suffers_two_faults_at_once():
    """On one line a fault is over when the next begins."""
    for target in (0, 1, 2, REDIS):
        line = [step for step in plan(LONG) if step.target == target]
        assert all(before.at + before.lasts <= after.at + 0.002 for before, after in pairwise(line))


def test_calm_stretches_are_calm():
    """Nothing is done to anybody in them."""
    turn = LONG.calm_every + LONG.calm
    for step in plan(LONG):
        assert step.at % turn + step.lasts <= LONG.calm_every


def test_a_replica_is_stopped_beyond_its_lease_as_well_as_within():
    """Both are in a plan: who takes over, and who comes back in time."""
    stops = [step.lasts for step in plan(LONG) if step.kind is Kind.STOP and step.target != REDIS]
    assert min(stops) < LONG.lease < max(stops)
