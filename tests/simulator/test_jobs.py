"""The job table: clock, holds, and its size at twenty thousand jobs."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from gateway.simulator.arguments import Arguments
from gateway.simulator.catalog import Catalog
from gateway.simulator.jobs import JobTable
from gateway.simulator.settings import Settings

pytestmark = pytest.mark.looptime

CATALOG = Catalog(Settings())
PROCESS = CATALOG.process(CATALOG.first_folder, "job")


def start(table: JobTable, duration: float, **values):
    """Start a job with the given arguments."""
    arguments = Arguments(values)
    return table.start(process=PROCESS, base="", mode="AsyncRequestReply", arguments=arguments, duration=duration)


async def test_ends_on_time():
    """A job ends when its duration is over, at once where that is nothing, and is reported once."""
    ended = []
    table = JobTable(retention=60, seed=0, on_end=ended.append)
    began = asyncio.get_running_loop().time()
    now, later = start(table, 0), start(table, 5, id="a")
    assert (now.ended, later.ended, table.running) == (True, False, 1)
    await asyncio.sleep(6)
    table.end(later)
    assert later.ended_at == table.ended_at["a"] == pytest.approx(began + 5, abs=0.01)
    assert (ended, table.running) == ([now, later], 0)


async def test_everybody_held_is_released_at_the_end():
    """Any number of callers wait for one job; each is told at the same moment."""
    table = JobTable(retention=60, seed=0)
    job = start(table, 5)
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(job.wait(60)) for _ in range(100)]
    assert all(wait.result() for wait in waits)
    assert asyncio.get_running_loop().time() == pytest.approx(job.ended_at, abs=0.01)
    assert job.holds == []


async def test_wait_runs_out():
    """A wait that is shorter than the job says that the job has not ended."""
    table = JobTable(retention=60, seed=0)
    job = start(table, 5)
    assert not await job.wait(1)
    assert not await job.wait(-1)
    assert await job.wait(60)
    assert await job.wait(0)


async def test_cancelled_wait_leaves_nothing():
    """A caller that goes takes its hold with it."""
    table = JobTable(retention=60, seed=0)
    job = start(table, 60)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job.wait(30), 1)
    assert job.holds == []
    table.stop()


async def test_stop_cancels_all_clocks():
    """A stopped table ends no more jobs."""
    table = JobTable(retention=60, seed=0)
    job = start(table, 5)
    table.stop()
    await asyncio.sleep(10)
    assert not job.ended


async def test_twenty_thousand_jobs():
    """20,000 jobs at once need no task and little memory each, and all end on time."""
    table = JobTable(retention=3600, seed=0)
    tasks = len(asyncio.all_tasks())
    tracemalloc.start()
    try:
        jobs = [start(table, 60 + n / 1000, id=str(n), n=n) for n in range(20_000)]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table.running == 20_000
    assert len(asyncio.all_tasks()) == tasks
    assert size / len(jobs) < 2_000
    await asyncio.sleep(90)
    assert table.running == 0
    assert max(abs(job.ended_at - job.started_at - 60 - n / 1000) for n, job in enumerate(jobs)) < 0.1


async def test_jobs_over_http_need_no_task_each(tenant):
    """A thousand jobs started over HTTP leave no task behind while they run."""
    t = await tenant(duration=60)
    await t.start()
    tasks = len(asyncio.all_tasks())
    for n in range(1000):
        assert (await t.start(n=n)).status == 202
    assert len(asyncio.all_tasks()) == tasks
    assert t.simulator.counters.jobs == len(t.simulator.jobs) == 1001
