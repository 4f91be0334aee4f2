"""One timer for any number of due times."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.worker.clock import Clock
from gateway.worker.schedule import Schedule

pytestmark = pytest.mark.looptime


class Diary:
    """A schedule whose due keys are noted with the time (ms since the loop began)."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int]] = []
        self.schedule = Schedule(Clock(), self._due)

    def _due(self, key: str) -> None:
        self.noted.append((key, round(asyncio.get_running_loop().time() * 1000)))


async def test_keys_come_in_the_order_of_their_times():
    """Whatever the order in which they were set; each at its own time."""
    diary = Diary()
    times = {f"job-{number}": number * 10 for number in range(1, 200)}
    keys = list(times)
    random.Random(1).shuffle(keys)
    for key in keys:
        diary.schedule.set(key, times[key])
    await asyncio.sleep(3)
    assert diary.noted == list(times.items())


async def test_there_is_one_timer():
    """A million jobs would not be a million timers."""
    diary = Diary()
    loop = asyncio.get_running_loop()
    before = sum(not handle.cancelled() for handle in loop._scheduled)
    for number in range(1_000):
        diary.schedule.set(str(number), 5_000 + (number * 7919) % 1_000)
    assert sum(not handle.cancelled() for handle in loop._scheduled) == before + 1
    diary.schedule.stop()


@pytest.mark.parametrize(("first", "second"), [(1_000, 2_000), (2_000, 1_000), (1_000, 1_000)])
async def test_a_key_has_one_time(first: int, second: int):
    """Setting it again replaces it, later or sooner."""
    diary = Diary()
    diary.schedule.set("job", first)
    diary.schedule.set("job", second)
    await asyncio.sleep(5)
    assert diary.noted == [("job", second)]


async def test_a_time_that_has_passed_is_due_at_once():
    """And still not before the caller has returned."""
    diary = Diary()
    await asyncio.sleep(1)
    diary.schedule.set("job", 500)
    assert diary.noted == []
    await asyncio.sleep(0.01)
    assert diary.noted == [("job", 1_000)]


async def test_a_dropped_key_is_not_due():
    """The others are, and the timer goes on to them."""
    diary = Diary()
    diary.schedule.set("dropped", 1_000)
    diary.schedule.set("kept", 2_000)
    diary.schedule.drop("dropped")
    diary.schedule.drop("never set")
    await asyncio.sleep(5)
    assert diary.noted == [("kept", 2_000)]


async def test_a_due_key_may_be_set_again():
    """From within the call that says so."""
    diary = Diary()

    def again(key: str) -> None:
        diary._due(key)
        if len(diary.noted) < 3:
            diary.schedule.set(key, diary.noted[-1][1] + 1_000)

    diary.schedule._due = again
    diary.schedule.set("job", 1_000)
    await asyncio.sleep(10)
    assert diary.noted == [("job", 1_000), ("job", 2_000), ("job", 3_000)]


async def test_stopping_forgets_everything():
    """No timer is left, and none comes after."""
    diary = Diary()
    diary.schedule.set("job", 1_000)
    diary.schedule.stop()
    diary.schedule.set("late", 1_000)
    await asyncio.sleep(5)
    assert diary.noted == []


async def test_times_are_the_stores():
    """The clock's offset is between the store's time and the loop's."""
    clock = Clock()
    clock.synchronise(1_000_000, 0.0, 0.0)
    noted: list[float] = []
    schedule = Schedule(clock, lambda _key: noted.append(asyncio.get_running_loop().time()))
    schedule.set("job", 1_002_500)
    await asyncio.sleep(5)
    assert noted == [pytest.approx(2.5, abs=0.002)]
