"""Schedules of reads: their bounds on anything that can be learned, and their price."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.durations import LAST_BIN, Durations, bin_of, lower_edge
from gateway.core.hazard import Ends
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Pace
from gateway.core.schedule import Schedule
from gateway.core.scheduling import ENOUGH, learned, schedule
from gateway.core.timing import jitter_room, jittered, paced_reads, poll_interval

HISTOGRAMS = st.dictionaries(
    st.integers(0, LAST_BIN), st.floats(0.02, 700), min_size=1, max_size=12
).map(Durations)  # fmt: skip
PACES = st.builds(
    Pace,
    typical=st.none() | st.integers(1, HOUR),
    floor=st.integers(1, 1_000),
    ceiling=st.integers(1_000, 5 * MINUTE),
)


def of(*durations: float) -> Durations:
    """Return the histogram of jobs that took so long, each of them as good as recent."""
    weights: dict[int, float] = {}
    for took in durations:
        weights[bin_of(took)] = weights.get(bin_of(took), 0.0) + 1
    return Durations(weights)


def normal(mean: float, deviation: float, jobs: int = 300) -> Durations:
    """Return the histogram of jobs that are normally distributed."""
    draw = random.Random(7)
    return of(*(max(draw.gauss(mean, deviation), 1) for _ in range(jobs)))


class TestEnds:
    """The distribution that is planned on."""

    @given(histogram=HISTOGRAMS, ages=st.lists(st.floats(0, 4 * DAY), min_size=2))
    def test_what_has_ended_only_grows(self, histogram, ages):
        """From nobody to all, and so do the moments."""
        ends = Ends(histogram)
        by = [ends.by(age) for age in sorted(ages)]
        assert all(before[0] <= after[0] + 1e-9 for before, after in itertools.pairwise(by))
        assert all(before[1] <= after[1] * (1 + 1e-9) for before, after in itertools.pairwise(by))
        assert (ends.by(0), ends.by(ends.last)) == ((0.0, 0.0), (1.0, ends.mean))

    @given(histogram=HISTOGRAMS, part=st.floats(0.01, 0.99))
    def test_a_quantile_is_the_age_by_which_so_many_have_ended(self, histogram, part):
        """The inverse of `by`."""
        ends = Ends(histogram)
        assert ends.by(ends.quantile(part))[0] == pytest.approx(part, abs=1e-6)

    def test_the_mean_is_that_of_the_jobs(self):
        """As far as bins tell it, and one job more than there were."""
        assert Ends(normal(MINUTE, 5 * SECOND)).mean == pytest.approx(MINUTE, rel=0.02)

    def test_a_job_may_always_end_sooner_than_any_did(self):
        """One of three hundred is not known to do as the others."""
        early, _ = Ends(normal(MINUTE, SECOND)).by(30 * SECOND)
        assert 0.0005 < early < 0.005

    def test_what_has_faded_beyond_all_others_is_forgotten(self):
        """A single long job does not stretch the plan forever."""
        weights = dict(normal(MINUTE, SECOND).weights)
        assert Ends(Durations(weights | {bin_of(HOUR): 1.0})).last > HOUR
        assert Ends(Durations(weights | {bin_of(HOUR): 0.4})).last < 2 * MINUTE


class TestSchedule:
    """Ages to read at."""

    @settings(max_examples=60, deadline=None)
    @given(histogram=HISTOGRAMS, granted=st.floats(1, 60), floor=st.integers(1, 1_000))
    def test_ages_grow_and_end(self, histogram, granted, floor):
        """Finite, none closer to the one before than the floor, the last where all have ended."""
        ends = Ends(histogram)
        reads = schedule(ends, granted, floor, 15 * SECOND).reads
        assert all(after - before >= floor - 1 for before, after in itertools.pairwise((0, *reads)))
        assert len(reads) < 5_000
        assert ends.last - floor <= reads[-1] <= math.ceil(ends.last) + floor

    @settings(max_examples=60, deadline=None)
    @given(histogram=HISTOGRAMS, pace=PACES, age=st.integers(0, 5 * DAY), hint=st.integers(0, HOUR))
    def test_intervals_keep_their_bounds(self, histogram, pace, age, hint):
        """Whatever was learned: never below the floor or the upstream's wish, nor above the ceiling but for that."""
        made = learned(histogram, pace)
        interval = poll_interval(
            age, Pace(typical=pace.typical, floor=pace.floor, ceiling=pace.ceiling, learned=made), hint
        )
        assert max(pace.floor, hint) <= interval <= max(pace.ceiling, pace.floor, hint)

    @settings(max_examples=60, deadline=None)
    @given(histogram=HISTOGRAMS, age=st.integers(0, 5 * DAY))
    def test_an_end_is_likely_only_in_the_future(self, histogram, age):
        """Of a job that is older than all, nobody knows."""
        made = learned(Durations({number: weight + ENOUGH for number, weight in histogram.weights.items()}), Pace())
        likely = made.likely_end(age)
        assert likely is None or likely > age
        assert (likely is None) == (age >= made.quantiles[-1])

    @pytest.mark.parametrize("granted", [2, 4, 8, 16, 40])
    def test_no_more_is_spent_than_granted(self, granted):
        """In the mean, over the jobs that were learned from."""
        ends = Ends(normal(MINUTE, 10 * SECOND))
        reads = schedule(ends, granted, 100, DAY).reads
        spent = sum(1 - ends.by(age)[0] for age in (0, *reads[:-1]))
        assert 0.7 * granted <= spent <= granted * 1.001 + 0.05

    def test_reads_come_when_jobs_end(self):
        """Of sixteen reads of jobs of 60±3 s all but a few come within three deviations."""
        reads = schedule(Ends(normal(MINUTE, 3 * SECOND)), 8, 100, DAY).reads
        within = [age for age in reads if 51 * SECOND <= age <= 69 * SECOND]
        assert len(within) >= len(reads) - 4

    def test_what_the_ceiling_forces_is_reckoned_with(self):
        """Of forty reads that a ten-minute job has, those that only keep the ceiling leave the rest for its end."""
        pace = Pace()
        made = learned(normal(10 * MINUTE, MINUTE), pace)
        paced = paced_reads(Ends(normal(10 * MINUTE, MINUTE)), pace)
        at = Pace(learned=made)
        ages = [0]
        while ages[-1] < 10 * MINUTE:
            ages.append(ages[-1] + poll_interval(ages[-1], at))
        assert max(after - before for before, after in itertools.pairwise(ages)) <= pace.ceiling
        assert len(ages) <= paced * 1.1
        near = [after - before for before, after in itertools.pairwise(ages) if before > 9 * MINUTE]
        assert max(near) < 6 * SECOND

    def test_nothing_is_planned_by_too_few(self):
        """A dozen jobs, or as configured."""
        assert learned(Durations({100: ENOUGH - 0.1}), Pace()) is None
        assert learned(Durations({100: ENOUGH}), Pace()) is not None


_DRAW = random.Random(11)
MIXES = {
    "few long": [200.0] * 99 + [10.0 * MINUTE],
    "three kinds": [kind * _DRAW.uniform(0.9, 1.1) for kind in (300, 20 * SECOND, HOUR / 2) for _ in range(60)],
    "very few very long": [*(_DRAW.gauss(2 * SECOND, 200) for _ in range(400)), 2.0 * DAY, 2.0 * DAY],
}


def delays(pace: Pace, jobs: list[float]) -> list[float]:
    """Return how long (ms) after its end each of these jobs is read, in order."""
    late = []
    for job in jobs:
        age = 0
        while age < job:
            age += poll_interval(age, pace)
        late.append(age - job)
    return sorted(late)


class TestMixes:
    """Routes whose jobs are of several kinds: none takes the reads of the others."""

    @pytest.mark.parametrize("jobs", MIXES.values(), ids=MIXES.keys())
    def test_most_jobs_are_told_of_no_later_than_before_anything_was_learned(self, jobs):
        """Neither in the mean, nor most of them; short jobs are read where they end, however few the long ones."""
        cold = delays(Pace(), jobs)
        made = delays(Pace(learned=learned(of(*jobs), Pace())), jobs)
        assert sum(made) <= sum(cold)
        nearly_all = int(0.95 * len(jobs))
        assert made[nearly_all] <= max(cold[nearly_all], 100)


class TestOverdue:
    """Jobs older than all that were learned from."""

    def test_steps_grow_from_the_last_ones_to_those_of_any_job_of_that_age(self):
        """One percent wide, then ever wider, up to an eighth of the age, and the ceiling."""
        pace = Pace(ceiling=5 * MINUTE, learned=learned(normal(MINUTE, 3 * SECOND), Pace()))
        last = pace.learned.reads[-1]
        steps = [poll_interval(age, pace) for age in range(last, HOUR, SECOND)]
        assert steps[0] < 3 * SECOND
        assert all(before <= after for before, after in itertools.pairwise(steps))
        assert steps[-1] == 5 * MINUTE
        assert poll_interval(10 * MINUTE, pace) <= poll_interval(10 * MINUTE, Pace(ceiling=5 * MINUTE))

    def test_a_schedule_of_one_read_has_its_age_as_step(self):
        """There is nothing else to go by."""
        assert Schedule((4_000,), (3_000,)).overdue(5_000) == (1_000, 4_000)


class TestJitter:
    """A learned read is moved by a tenth of the way to the next at most."""

    def test_reads_keep_their_order_and_their_place(self):
        """However wide the first step is."""
        pace = Pace(ceiling=DAY, learned=Schedule((45_000, 50_000, 52_000), (50_000,)))
        for name in map(str, range(200)):
            at = jittered(poll_interval(0, pace), name, jitter_room(0, pace))
            assert 45_000 <= at <= 45_500

    def test_the_last_ones_are_moved_as_any(self):
        """By a tenth of their interval."""
        pace = Pace(ceiling=DAY, learned=Schedule((45_000, 50_000, 52_000), (50_000,)))
        assert jitter_room(51_000, pace) is None
        assert jitter_room(10, Pace()) is None


@pytest.mark.parametrize("pace", [Pace(), Pace(typical=MINUTE), Pace(floor=2_000, ceiling=5_000), Pace(typical=HOUR)])
@pytest.mark.parametrize("mean", [SECOND, MINUTE, 20 * MINUTE])
def test_what_the_pace_alone_spends(pace, mean):
    """Told in the mean without walking to the end of every job: as many as reading a thousand jobs comes to."""
    durations = normal(mean, mean / 5)
    ends = Ends(durations)
    draw = random.Random(3)
    counts = []
    for number in range(1_000):
        took, age, reads = ends.quantile(draw.random()), 0, 0
        while age < took:
            age += jittered(poll_interval(age, pace), f"{number} {reads}")
            reads += 1
        counts.append(reads)
    assert paced_reads(ends, pace) == pytest.approx(sum(counts) / len(counts), rel=0.03)


def test_the_edges_that_are_told_of_are_those_of_the_bins():
    """A histogram of one bin ends where that bin ends."""
    assert Ends(of(MINUTE)).last == lower_edge(bin_of(MINUTE) + 1)
