import asyncio

import pytest

from gateway.upstream.http1_pool import Pool


@pytest.fixture
async def pool():
    """Make a pool of one lease."""
    return Pool(asyncio.get_running_loop(), limit=1, keep_alive=60)


async def test_a_lease_handed_to_a_cancelled_waiter_is_passed_on(pool):
    """A waiter that is cancelled in the very turn in which it is served takes nothing with it."""
    await pool.lease()
    async with asyncio.TaskGroup() as group:
        second, third = group.create_task(pool.lease()), group.create_task(pool.lease())
        await asyncio.sleep(0)
        pool.give_back(None)
        second.cancel()
    assert second.cancelled()
    assert third.result() is None
    pool.give_back(None)
    assert await asyncio.wait_for(pool.lease(), 1) is None


async def test_a_waiter_that_gave_up_is_not_served(pool):
    """Its place in the queue is gone, and the lease goes back to the pool."""
    await pool.lease()
    waiter = asyncio.ensure_future(pool.lease())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert not pool._waiters
    pool.give_back(None)
    assert pool._used == 0


async def test_waiters_are_served_in_order(pool):
    """First come, first served."""
    await pool.lease()
    order = []

    async def wait(n):
        await pool.lease()
        order.append(n)
        pool.give_back(None)

    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(wait(n))
        await asyncio.sleep(0)
        pool.give_back(None)
    assert order == [0, 1, 2, 3, 4]
