"""The store's time, told by the event loop."""

from __future__ import annotations

import asyncio

import pytest

from gateway.worker.clock import Clock

pytestmark = pytest.mark.looptime


async def test_it_is_the_stores_time():
    """Read in the middle of the exchange, and running with the loop."""
    clock = Clock()
    clock.synchronise(1_700_000_000_000, 0.0, 0.2)
    assert clock.now() == 1_699_999_999_900
    await asyncio.sleep(60)
    assert clock.now() == 1_700_000_059_900
    assert clock.loop_time(1_700_000_059_900) == pytest.approx(60)


async def test_noise_is_not_followed():
    """Half the round trip is what a reading may be off: time does not jitter with the network."""
    clock = Clock()
    clock.synchronise(1_000_000, 0.0, 0.0)
    clock.synchronise(1_000_090, 0.0, 0.2)
    assert clock.now() == 1_000_000


async def test_a_real_difference_is():
    """In both directions: the store's clock was set, or another server answers now."""
    clock = Clock()
    clock.synchronise(1_000_000, 0.0, 0.0)
    clock.synchronise(1_000_500, 0.0, 0.0)
    assert clock.now() == 1_000_500
    clock.synchronise(900_000, 0.0, 0.01)
    assert clock.now() == 899_995
