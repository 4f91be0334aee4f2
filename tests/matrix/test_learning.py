"""A route learns from its jobs, in virtual time: the next ones are told of sooner, for no more calls, and announced."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import statistics
from dataclasses import dataclass

import pytest

from gateway.core.policy import MINUTE, SECOND, Pace
from tests.matrix.conftest import Stage
from tests.support.rig import policy

pytestmark = pytest.mark.looptime

JOBS = 30
PATH = "/t/folder/async"
DURATIONS = [statistics.NormalDist(60, 3).inv_cdf((number + 0.5) / JOBS) for number in range(JOBS)]
"""Seconds: evenly from all parts of the distribution, so that what is compared is not chance."""
NUMBERS = itertools.count()


@dataclass
class Told:
    """What a number of jobs came to: seconds from each end to its answer, and reads of the status a job."""

    delays: list[float]
    reads: float


async def run(stage: Stage) -> Told:
    """Have callers block on jobs that all run at once."""
    counters = stage.running.simulator.counters
    before = counters.polls
    delays = await asyncio.gather(*(_blocked(stage, duration) for duration in DURATIONS))
    return Told(delays, (counters.polls - before) / JOBS)


async def _blocked(stage: Stage, duration: float) -> float:
    name = f"learning-{next(NUMBERS)}"
    status, _, _ = await stage.running.call(path=PATH, json={"id": name, "duration": duration})
    assert status == 200
    return asyncio.get_running_loop().time() - stage.ended_at(name)


async def learned() -> None:
    """Wait until what has ended is counted."""
    await asyncio.sleep(1.5)


async def test_jobs_are_told_of_sooner_for_no_more_calls(virtual):
    """Of a minute, give or take three seconds: nobody waits half as long as before anything was learned."""
    async with virtual() as stage:
        cold = await run(stage)
        await learned()
        await run(stage)
        await learned()
        warm = await run(stage)
        assert statistics.mean(cold.delays) > 2
        assert statistics.mean(warm.delays) <= 0.25 * statistics.mean(cold.delays)
        assert max(warm.delays) <= 0.5 * max(cold.delays)
        assert warm.reads <= 1.1 * cold.reads


async def test_a_route_that_is_not_to_learn_does_not(virtual):
    """`learn: off`: the last jobs are told of as the first ones were."""
    async with virtual(policy=policy(pace=Pace(learn=False))) as stage:
        cold = await run(stage)
        await learned()
        warm = await run(stage)
        assert statistics.mean(warm.delays) > 0.6 * statistics.mean(cold.delays)


async def test_the_monitor_says_when_the_job_is_likely_to_end(virtual):
    """`eta` is null until something is learned; then it is near the end, and never in the past."""
    async with virtual() as stage:
        _, headers, body = await stage.running.call(path=PATH, json={"duration": 60}, headers={"Call-Mode": "async"})
        assert json.loads(body)["eta"] is None
        # The first jobs are read seldom, by their age alone, and tell little; the next ones are read where those ended.
        for _ in range(2):
            await run(stage)
            await learned()
        _, headers, body = await stage.running.call(path=PATH, json={"duration": 60}, headers={"Call-Mode": "async"})
        monitor = headers["Operation-Location"]
        view = json.loads(body)
        assert (at(view["eta"]) - at(view["started"])).total_seconds() == pytest.approx(60, abs=3)
        assert 1 <= int(headers["Retry-After"]) <= 15
        await asyncio.sleep(58)
        _, headers, body = await stage.running.call("GET", monitor)
        view = json.loads(body)
        assert 58 < (at(view["eta"]) - at(view["started"])).total_seconds() < 66
        assert headers["Retry-After"] == "1"


async def test_the_ceiling_is_kept_whatever_was_learned(virtual):
    """A job that ends long before all others did is told of within the ceiling."""
    async with virtual() as stage:
        await run(stage)
        await learned()
        assert await _blocked(stage, 20) <= 15 * 1.1 + 0.5


async def test_a_job_that_outlives_all_others_is_followed_to_its_end(virtual):
    """Ten times as long as any before: told of within an eighth of its age and the ceiling, for few calls."""
    async with virtual(policy=policy(pace=Pace(ceiling=MINUTE), wait=30 * MINUTE)) as stage:
        await run(stage)
        await learned()
        before = stage.running.simulator.counters.polls
        assert await _blocked(stage, 600) <= MINUTE / SECOND * 1.1 + 0.5
        assert stage.running.simulator.counters.polls - before <= 140


def at(text: str) -> dt.datetime:
    """Return a document's time."""
    return dt.datetime.fromisoformat(text)
