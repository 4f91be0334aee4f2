"""A budget of calls."""

import asyncio

import pytest

from gateway.upstream.budget import Budget

pytestmark = pytest.mark.looptime


async def test_so_many_in_any_minute():
    """Whoever comes later is told how long, to the millisecond; a call is free a minute after it was taken."""
    budget = Budget(2)
    assert budget.take() == 0
    await asyncio.sleep(10)
    assert budget.take() == 0
    assert budget.take() == 50_000
    await asyncio.sleep(49.5)
    assert budget.take() == 500
    await asyncio.sleep(0.5)
    assert [budget.take(), budget.take()] == [0, 10_000]


async def test_never_more_than_that_in_any_window():
    """Asked all the time for ten minutes."""
    budget, taken, loop = Budget(5), [], asyncio.get_running_loop()
    for _ in range(2400):
        if budget.take() == 0:
            taken.append(loop.time())
        await asyncio.sleep(0.25)
    assert len(taken) == 50
    assert all(later - earlier >= 60 for earlier, later in zip(taken, taken[5:], strict=False))


async def test_closed_for_as_long_as_the_upstream_says():
    """And for a minute where it says nothing; the longer closing counts."""
    budget = Budget(100)
    budget.close(7_000)
    budget.close(2_000)
    assert budget.take() == 7_000
    await asyncio.sleep(7)
    assert budget.take() == 0
    budget.close(0)
    assert budget.take() == 60_000


async def test_replicas_share_it():
    """Each has an equal part, and one call at least; who is left alone has all of it."""
    replicas = 3
    budget = Budget(6, lambda: replicas)
    assert [budget.take() for _ in range(3)] == [0, 0, 60_000]
    replicas = 1
    assert [budget.take() for _ in range(5)] == [0, 0, 0, 0, 60_000]
    replicas = 100
    await asyncio.sleep(60)
    assert [budget.take(), budget.take()] == [0, 60_000]


async def test_what_is_left_of_a_share():
    """All, less with every call in the last minute, nothing while it is closed; nor is there any of less than one."""
    budget = Budget(10)
    assert budget.left(0.5) == 1
    budget.take()
    assert budget.left(0.5) == pytest.approx(0.8)
    for _ in range(5):
        budget.take()
    assert budget.left(0.5) == 0
    assert budget.left(1) == pytest.approx(0.4)
    await asyncio.sleep(60)
    assert budget.left(0.5) == 1
    budget.close(7_000)
    assert budget.left(0.5) == 0
    assert Budget(10, lambda: 6).left(0.5) == 0
