"""Learned reads against equally spaced ones, at equal reads: sooner where durations tell anything, never much later."""

from __future__ import annotations

import pytest

from benchmarks.polling import DISTRIBUTIONS, NARROW, READS, simulate, warm

SEED = 0
JOBS = 1_000


@pytest.mark.parametrize("granted", READS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_learned_reads_see_ends_no_later_than_fixed_ones(distribution, granted):
    """In the mean over evenly drawn jobs, and for all but one in a hundred; they cost the same requests."""
    cell = simulate(distribution, granted, SEED, JOBS)
    assert cell.mean_ratio <= (0.5 if distribution in NARROW else 1.05)
    assert cell.p99_ratio <= 1.3
    # What is granted is a mean over the jobs that were learned from; those of a heavy tail have another.
    assert 0.75 * granted <= cell.reads <= 1.1 * granted


@pytest.mark.parametrize("scale", [1 / 60, 1, 10])
@pytest.mark.parametrize("distribution", ["normal, cv 0.1", "log-normal", "exponential"])
def test_a_route_that_has_learned_does_better_for_the_same_price(distribution, scale):
    """With the default pace: jobs of a second, a minute, ten minutes are told of sooner, for no more reads."""
    route = warm(distribution, scale, 200)
    assert route.learned_reads <= 1.05 * route.cold_reads
    assert route.learned_delay <= 1.05 * route.cold_delay
    if scale > 1 / 60:
        # Those of a second are read at the floor's pace already.
        assert route.learned_delay <= 0.6 * route.cold_delay


def test_the_simulation_is_the_same_for_the_same_seed():
    """And another for another."""
    one, again, other = (simulate("exponential", 4, seed, 100) for seed in (1, 1, 2))
    assert one == again
    assert one != other
