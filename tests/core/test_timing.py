"""When a status URI is read: what it costs the upstream, what it costs the caller, and the bounds of both."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.policy import HOUR, MINUTE, SECOND, Pace
from gateway.core.timing import asked_until, backoff, jittered, poll_interval

AGES = st.integers(0, 48 * HOUR)
HINTS = st.one_of(st.just(0), st.integers(0, 10 * MINUTE))
PACES = st.builds(
    Pace,
    typical=st.none() | st.integers(1, HOUR),
    floor=st.integers(1, 1_000),
    ceiling=st.integers(1_000, MINUTE),
)


def reads_of(duration: int, pace: Pace, name: str = "j") -> list[int]:
    """Return the ages at which the status of a job of `duration` is read, up to the read that sees its end."""
    ages = [0]
    while ages[-1] < duration:
        ages.append(ages[-1] + jittered(poll_interval(ages[-1], pace), f"{name}{len(ages)}"))
    return ages[1:]


def test_short_jobs_cost_eight_calls_and_a_tenth_of_a_second():
    """Jobs of 0.2 to 2 s, known to take 1 s: at most 8 calls each on average, seen within 110 ms in the median."""
    draw = random.Random(20_261)
    durations = [draw.uniform(200, 2_000) for _ in range(4_000)]
    reads = [reads_of(duration, Pace(typical=1_000), f"j{n}-") for n, duration in enumerate(durations)]
    start_and_output = 2
    calls = [len(ages) + start_and_output for ages in reads]
    delays = [ages[-1] - duration for ages, duration in zip(reads, durations, strict=True)]
    assert statistics.mean(calls) <= 8
    assert statistics.median(delays) <= 110
    assert max(delays) <= 220


def test_short_jobs_of_unknown_length_are_seen_as_soon():
    """With nothing known, the same jobs cost some calls more, and are seen no later."""
    draw = random.Random(20_262)
    durations = [draw.uniform(200, 2_000) for _ in range(4_000)]
    reads = [reads_of(duration, Pace(), f"j{n}-") for n, duration in enumerate(durations)]
    assert statistics.mean(len(ages) + 2 for ages in reads) <= 14
    assert statistics.median(ages[-1] - took for ages, took in zip(reads, durations, strict=True)) <= 110


@pytest.mark.parametrize(
    ("duration", "most"),
    [(10 * SECOND, 45), (MINUTE, 65), (10 * MINUTE, 100), (HOUR, 310), (24 * HOUR, 6_000)],
)
@pytest.mark.parametrize("typical", [None, 1_000])
def test_a_long_job_is_not_polled_like_a_short_one(duration, most, typical):
    """Reads grow with the logarithm of the duration, until the ceiling makes them linear at four a minute."""
    assert len(reads_of(duration, Pace(typical=typical))) <= most


@pytest.mark.parametrize("typical", [None, 1_000, MINUTE])
@given(duration=st.integers(1, 2 * HOUR))
def test_an_end_is_seen_soon_in_proportion(typical, duration):
    """Nobody waits longer past the end than the planned share of the job's age, the first read or the ceiling."""
    pace = Pace(typical=typical)
    late = reads_of(duration, pace)[-1] - duration
    first = 0.3 * (typical or 0)
    assert late <= min(1.1 * max(pace.floor, first, 0.12 * duration), 1.1 * pace.ceiling) + 2


@given(age=AGES, pace=PACES, hint=HINTS)
def test_an_interval_keeps_its_bounds(age, pace, hint):
    """Never below the floor or the upstream's own wish, never above the ceiling but for that wish."""
    interval = poll_interval(age, pace, hint)
    assert interval >= max(pace.floor, hint)
    assert interval <= max(pace.ceiling, hint)


@given(age=st.integers(1, 24 * HOUR), more=st.integers(0, HOUR), pace=PACES)
def test_an_older_job_is_read_no_more_often(age, more, pace):
    """Once a job is read, the intervals only grow."""
    assert poll_interval(age, pace) <= poll_interval(age + more, pace)


def test_the_first_read_waits_for_most_jobs_to_be_worth_it():
    """Three tenths of a typical duration before the first read; at once (the floor) where none is known."""
    assert poll_interval(0, Pace(typical=10_000)) == 3_000
    assert poll_interval(0, Pace()) == Pace().floor


@given(interval=st.integers(0, HOUR), seed=st.text(max_size=40))
def test_jitter_is_at_most_a_tenth_and_only_later(interval, seed):
    """Retry-After and the floor are lower bounds, so jitter may not cut into them."""
    assert interval <= jittered(interval, seed) <= interval * 1.1


@given(interval=st.integers(0, HOUR), seed=st.text(max_size=40))
def test_jitter_is_the_same_for_the_same_seed(interval, seed):
    """Any replica computes the same next action."""
    assert jittered(interval, seed) == jittered(interval, str(seed))


def test_jitter_spreads_jobs():
    """A thousand jobs due at once come spread over the whole tenth."""
    moved = sorted(jittered(10_000, f"job-{n}") - 10_000 for n in range(1_000))
    assert moved[0] < 20
    assert moved[-1] > 980
    assert max(b - a for a, b in itertools.pairwise(moved)) < 50


def test_backoff_doubles_up_to_a_quarter_of_a_minute():
    """The first repeat comes soon, since most hiccups are short."""
    assert [backoff(n) for n in range(1, 9)] == [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]


@given(failures=st.integers(1, 10**6), hint=HINTS)
def test_backoff_is_bounded_and_heeds_the_upstream(failures, hint):
    """However long an upstream is away, it is asked again four times a minute, unless it asks for more time."""
    assert max(250, hint) <= backoff(failures, hint) <= max(15_000, hint)


@pytest.mark.parametrize(
    ("retry_after", "date", "wait"),
    [
        ("7", None, 7_000),
        ("Sat, 01 Jan 2000 00:10:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", 600_000),
        ("Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2000 00:10:00 GMT", 0),
        ("Sat, 01 Jan 2000 00:10:00 GMT", None, 0),
        ("Sat, 01 Jan 2000 00:10:00 GMT", "yesterday", 0),
        ("Sat, 01 Jan 2000 00:10:00 -0000", "Sat, 01 Jan 2000 00:00:00 GMT", 0),
        ("Sat, 99 Jan 2000 00:10:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", 0),
        (None, "Sat, 01 Jan 2000 00:00:00 GMT", 0),
    ],
)
def test_a_date_is_told_by_the_clock_that_it_is_of(retry_after, date, wait):
    """Its distance from the answer's own date; without that it says nothing."""
    assert asked_until(retry_after, date) == wait


@given(st.text(), st.text())
def test_no_date_raises(retry_after, date):
    """Whatever a receiver writes there."""
    assert asked_until(retry_after, date) >= 0
