"""A route's histogram of durations in the store: added to by replicas, each batch once, never large, never forever."""

from __future__ import annotations

import random

import pytest

from gateway.core.durations import HALF_LIFE, LAST_BIN, Durations, bin_of
from gateway.core.policy import DAY, MINUTE, SECOND

ROUTE, OTHER = "ab" * 32, "cd" * 32


def nearly(durations: Durations, expected: Durations) -> bool:
    """Whether they are the same up to what the store rounds: a part of a job a bin."""
    return durations.differs(expected) <= 0.01 * len(expected.weights) + 1e-9


async def test_of_a_route_that_is_new_nothing_is_known(store, raw, keys):
    """Asking leaves nothing behind."""
    assert await store.learn(ROUTE, {}, 0, "") == Durations()
    assert await raw.exists(keys.durations(ROUTE)) == 0


async def test_what_replicas_add_is_what_all_know(open_store):
    """Each is answered with what both have counted, and reads it without adding anything."""
    one, two = open_store(), open_store()
    first, then = bin_of(SECOND), bin_of(MINUTE)
    told = await one.learn(ROUTE, {first: 2.0}, 2, "a")
    assert nearly(told, Durations({first: 2.0}))
    told = await two.learn(ROUTE, {first: 0.25, then: 0.75}, 1, "b")
    assert nearly(told, Durations({first: 2.0}).after({first: 0.25, then: 0.75}, 1))
    assert await one.learn(ROUTE, {}, 0, "") == told
    assert await one.learn(OTHER, {}, 0, "") == Durations()


async def test_what_is_sent_again_is_counted_once(store):
    """A command whose answer was lost is repeated under its operation."""
    told = await store.learn(ROUTE, {7: 1.0}, 1, "a")
    assert await store.learn(ROUTE, {7: 1.0}, 1, "a") == told
    assert await store.learn(ROUTE, {7: 1.0}, 1, "b") != told


async def test_the_store_fades_as_the_histogram_does(store):
    """Through several scalings, in batches of one and of many, it stays what the pure histogram is."""
    draw = random.Random(4)
    expected = told = Durations()
    sizes = [1, 7, 100, 400, HALF_LIFE, 1, 1_000, 3, 1_000, 1_000, 50, 1, 1_000, 20]
    for number, jobs in enumerate(sizes * 3):
        ended: dict[int, float] = {}
        for _ in range(jobs):
            took = bin_of(draw.gauss(60, 6) * SECOND)
            ended[took] = ended.get(took, 0.0) + 1
        expected, told = expected.after(ended, jobs), await store.learn(ROUTE, ended, jobs, f"{number}")
        assert nearly(told, expected)
    assert told.jobs == pytest.approx(expected.jobs, rel=0.01)


async def test_it_stays_small_whatever_is_learned(store, raw, keys):
    """Three bytes a bin: 500 for jobs of a minute, 1,100 for those of days."""
    await store.learn(ROUTE, {bin_of(MINUTE): 1.0}, 1, "a")
    assert await raw.strlen(keys.durations(ROUTE)) < 550
    await store.learn(ROUTE, dict.fromkeys(range(LAST_BIN + 1), 1000.0), 1000, "b")
    assert await raw.strlen(keys.durations(ROUTE)) < 1_100


async def test_more_than_a_number_holds_is_as_much_as_it_holds(store):
    """Nothing wraps around to little."""
    for number in range(4):
        told = await store.learn(ROUTE, {5: 1e6}, 1_000, f"{number}")
    assert told.weights[5] > 1_000


async def test_it_goes_when_its_route_is_silent(store, raw, keys):
    """After a month; every batch renews it, and so does asking."""
    await store.learn(ROUTE, {7: 1.0}, 1, "a")
    await raw.pexpire(keys.durations(ROUTE), 1_000)
    await store.learn(ROUTE, {}, 0, "")
    assert 29 * DAY < await raw.pttl(keys.durations(ROUTE)) <= 30 * DAY
    assert await raw.pttl(keys.learned(ROUTE, "a")) <= MINUTE


async def test_what_another_version_wrote_is_no_reason_to_fail(store, raw, keys):
    """Bins beyond those that are known here are left alone, and a string cut short is read as far as it goes."""
    await store.learn(ROUTE, {7: 1.0}, 1, "a")
    text = await raw.get(keys.durations(ROUTE))
    await raw.set(keys.durations(ROUTE), text + b"\1\2", px=DAY)
    assert set((await store.learn(ROUTE, {}, 0, "")).weights) <= {7, 8}
    await raw.set(keys.durations(ROUTE), text + b"\0\0\1" * (LAST_BIN + 20), px=DAY)
    assert max((await store.learn(ROUTE, {}, 0, "")).weights) == LAST_BIN
