"""The histogram of durations: where an end that was seen late is counted, and how the old fades."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.durations import HALF_LIFE, LAST_BIN, Durations, bin_of, lower_edge
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND
from gateway.core.scheduling import ENOUGH

AGES = st.floats(0, 10 * DAY)


def learned(*ends: tuple[float, float]) -> Durations:
    """Return the histogram after jobs that ran at one age and had ended at another, one after the other."""
    durations = Durations()
    for ran, ended in ends:
        durations = durations.after(durations.shares(ran, ended), 1)
    return durations


@given(duration=AGES)
def test_a_duration_is_within_its_bin(duration):
    """The bins cover everything, the last one without an end."""
    number = bin_of(duration)
    assert 0 <= number <= LAST_BIN
    assert lower_edge(number) <= duration * (1 + 1e-9)
    assert duration <= lower_edge(number + 1) * (1 + 1e-9) or number == LAST_BIN


def test_bins_are_narrow_enough_to_tell():
    """A bin is a twentieth of its age wide at most, beyond the first ones, which are below any poll's floor."""
    edges = [lower_edge(number) for number in range(1, LAST_BIN + 2)]
    assert all(after / before < 1.05 for before, after in itertools.pairwise(edges))
    assert edges[0] < 100
    assert edges[-1] > 2 * DAY


@given(ran=AGES, more=st.floats(0, DAY), before=st.lists(st.tuples(st.integers(0, HOUR), st.integers(0, HOUR))))
def test_a_job_is_counted_once_and_where_it_may_have_ended(ran, more, before):
    """Its shares make one, in few pieces, none outside of the time in which nobody looked."""
    shares = learned(*((begin, begin + wait) for begin, wait in before)).shares(ran, ran + more)
    assert sum(shares.values()) == pytest.approx(1)
    assert 1 <= len(shares) <= 17
    assert bin_of(ran) <= min(shares)
    assert max(shares) <= bin_of(ran + more)


def test_an_end_that_was_just_then_is_counted_there():
    """All of it in one bin."""
    assert learned().shares(MINUTE, MINUTE) == {bin_of(MINUTE): 1.0}


def test_an_end_is_counted_as_those_before_it_lie():
    """After a hundred ends at a minute, one that was seen only much later is taken to have been there."""
    knowing = learned(*[(MINUTE, MINUTE)] * 100)
    assert knowing.shares(10 * SECOND, 120 * SECOND)[bin_of(MINUTE)] > 0.9
    assert knowing.shares(61 * SECOND + 2 * SECOND, 120 * SECOND).get(bin_of(MINUTE), 0) == 0


def test_what_nobody_knows_is_counted_evenly():
    """By time, not by bins."""
    shares = learned().shares(0, 100 * SECOND)
    half = sum(share for number, share in shares.items() if lower_edge(number) < 50 * SECOND)
    assert half == pytest.approx(0.5, abs=0.08)


def test_reads_that_are_far_apart_do_not_blur_what_ends_together():
    """Jobs of 60±3 s, read every 17 s or so: what is learned is narrower than that by far."""
    draw = random.Random(5)
    durations = Durations()
    for _ in range(2_000):
        took, step, first = draw.gauss(60, 3) * SECOND, 17 * SECOND, draw.uniform(1, 17) * SECOND
        reads = [0, *(first + number * step for number in range(10))]
        ended = next(age for age in reads if age >= took)
        durations = durations.after(durations.shares(reads[reads.index(ended) - 1], ended), 1)
    mass = sorted((lower_edge(number), weight) for number, weight in durations.weights.items())
    mean = sum(age * weight for age, weight in mass) / durations.jobs
    spread = sum(abs(age - mean) * weight for age, weight in mass) / durations.jobs
    assert mean == pytest.approx(60 * SECOND, rel=0.05)
    # Evenly counted it would be beyond 5 s; the jobs' own is 2.4 s.
    assert spread < 4 * SECOND


def test_the_old_fades():
    """A job counts half as much after as many others as the half-life says; what is known never grows beyond bounds."""
    first, then = bin_of(SECOND), bin_of(MINUTE)
    durations = Durations().after({first: 1.0}, 1)
    for _ in range(HALF_LIFE):
        durations = durations.after({then: 1.0}, 1)
    assert durations.weights[first] == pytest.approx(0.5)
    for _ in range(10):
        durations = durations.after({then: float(HALF_LIFE)}, HALF_LIFE)
    assert durations.jobs < 2.1 * HALF_LIFE
    assert durations.jobs > ENOUGH


@given(many=st.lists(st.floats(1, HOUR), min_size=1, max_size=20), split=st.integers(0, 20), other=st.floats(1, HOUR))
def test_two_replicas_that_count_one_after_the_other_know_the_same(many, split, other):
    """In which order batches come makes no difference but for the fading of one batch."""
    batches = [many[:split], many[split:]]
    counted = [{bin_of(took): float(batch.count(took)) for took in batch} for batch in batches]
    start = Durations().after({bin_of(other): 5.0}, 5)
    there = start.after(counted[0], len(batches[0])).after(counted[1], len(batches[1]))
    back = start.after(counted[1], len(batches[1])).after(counted[0], len(batches[0]))
    assert there.differs(back) <= 2 * len(many) * (1 - 2 ** (-len(many) / HALF_LIFE)) + 1e-9


def test_how_much_two_histograms_differ():
    """In jobs that are in one and not in the other."""
    one = Durations({1: 2.0, 2: 3.0})
    assert one.differs(one) == 0
    assert one.differs(Durations({2: 1.0, 3: 4.0})) == statistics.fsum([2, 2, 4])
