"""Noticing pauses: only long ones count, and they count until somebody knows better."""

from __future__ import annotations

import asyncio

import pytest

from gateway.worker.pauses import Pauses

pytestmark = pytest.mark.looptime


class Elapsed:
    """A clock that goes on while the loop's stands still."""

    def __init__(self) -> None:
        self.lost = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.lost


async def test_a_process_that_runs_was_not_paused():
    """However long it runs, and whoever asks."""
    pauses = Pauses(9.0, Elapsed())
    watching = asyncio.ensure_future(pauses.watch())
    await asyncio.sleep(3600)
    assert not pauses.long
    watching.cancel()


@pytest.mark.parametrize(("lost", "long"), [(6.0, False), (9.5, True)])
async def test_a_pause(lost: float, long: bool):
    """It is seen by whoever asks first, and remembered."""
    elapsed = Elapsed()
    pauses = Pauses(9.0, elapsed)
    watching = asyncio.ensure_future(pauses.watch())
    await asyncio.sleep(60)
    elapsed.lost = lost
    assert pauses.long is long
    await asyncio.sleep(60)
    assert pauses.long is long
    watching.cancel()


async def test_a_pause_that_nobody_asked_about_is_remembered_all_the_same():
    """The watch sees it."""
    elapsed = Elapsed()
    pauses = Pauses(9.0, elapsed)
    watching = asyncio.ensure_future(pauses.watch())
    await asyncio.sleep(60)
    elapsed.lost = 20.0
    await asyncio.sleep(60)
    assert pauses.long
    pauses.forget()
    await asyncio.sleep(60)
    assert not pauses.long
    watching.cancel()
