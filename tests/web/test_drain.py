"""Going away well: who is still being answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from gateway.web.drain import Drain

pytestmark = pytest.mark.looptime


@contextlib.contextmanager
def answering(drain: Drain) -> Iterator[None]:
    """Be a request that is answered while the block lasts."""
    drain.enter()
    yield
    drain.leave()


async def test_with_nobody_to_answer_it_is_idle_at_once():
    """Even without time."""
    assert await Drain().idle(0)


async def test_it_waits_for_the_last_one():
    """And no longer."""
    drain = Drain()

    async def answer(seconds: float) -> None:
        with answering(drain):
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (1, 5, 3):
            group.create_task(answer(seconds))
        await asyncio.sleep(0)
        assert await drain.idle(60)
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.01)


async def test_it_waits_no_longer_than_it_may():
    """And says that somebody is left."""
    drain = Drain()
    with answering(drain):
        assert not await drain.idle(2)
        assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)
    assert await drain.idle(0)


async def test_idle_is_for_now():
    """Whoever comes later is waited for again."""
    drain = Drain()
    with answering(drain):
        pass
    with answering(drain):
        assert not await drain.idle(1)


async def test_a_farewell_has_an_end():
    """What is left of it shrinks to nothing, and is nothing before it begins."""
    drain = Drain()
    assert (drain.begun, drain.left) == (False, 0)
    drain.begin(5)
    await asyncio.sleep(2)
    assert drain.begun
    assert drain.left == pytest.approx(3, abs=0.01)
    await asyncio.sleep(60)
    assert drain.left == 0


async def test_haste_ends_the_waiting_for_jobs():
    """What is left of the farewell is gone at once, and with it any pause."""
    drain = Drain()
    loop = asyncio.get_running_loop()
    drain.begin(60)
    with answering(drain):
        for waiting in (drain.idle(60), drain.pause(60)):
            loop.call_later(1, drain.hasten)
            began = loop.time()
            await waiting
            assert loop.time() - began == pytest.approx(1, abs=0.01)
            assert drain.left == 0


async def test_haste_leaves_the_last_answers_their_time():
    """Those who are told to go are answered still."""
    drain = Drain()
    drain.begin(60)
    drain.hurry = True
    with answering(drain):
        asyncio.get_running_loop().call_later(1, drain.hasten)
        assert not await drain.idle(3)
    assert asyncio.get_running_loop().time() == pytest.approx(3, abs=0.01)


async def test_haste_before_the_farewell():
    """It lasts no time."""
    drain = Drain()
    drain.hasten()
    drain.begin(60)
    assert drain.left == 0


async def test_a_farewell_that_has_begun_goes_on():
    """Beginning it again makes it no longer."""
    drain = Drain()
    drain.begin(10)
    await asyncio.sleep(4)
    drain.begin(10)
    assert drain.left == pytest.approx(6, abs=0.01)


async def test_who_is_replaced_does_not_leave_the_port():
    """Only one that goes without a successor turns callers away."""
    drain = Drain()
    drain.begin(10)
    assert drain.leaving
    drain.replaced = True
    assert not drain.leaving
