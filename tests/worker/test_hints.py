"""Hints of webhooks: whom they hurry, and how many at most."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core import events as e
from gateway.core.job import State
from gateway.core.modes import UpstreamMode
from gateway.core.policy import MINUTE, Binding, Pace
from gateway.store.port import Hint
from gateway.worker.hints import Hints
from tests.worker.doubles import FOLLOWED, RUNNING, STATUS, OnePolicy, bench

pytestmark = pytest.mark.looptime

SLOW = Pace(floor=100, ceiling=20 * MINUTE, typical=60 * MINUTE)
KEY = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
FOLDER = "0a1b2c3d-8b86-d011-b42d-00cf4fc964ff"


async def running(it, count: int, event: e.Event = FOLLOWED, **fields: object) -> list[str]:
    """Bring `count` jobs to where they run; return their ids."""
    it.upstream.on_start, it.upstream.on_read = [event] * count, [RUNNING]
    ids = [await it.followed(**fields) for _ in range(count)]
    for job_id in ids:
        await it.until(job_id, State.RUNNING)
    return ids


def hints(it) -> Hints:
    """Return what takes hints on the bench."""
    return Hints(it.driver, OnePolicy(it.policy), it.clock)


@pytest.mark.parametrize("by", ["reference", "key"])
async def test_a_hint_that_names_a_job_hurries_that_one(by):
    """By what it was started with, or by its key in Orchestrator."""
    async with bench(pace=SLOW) as it:
        (first,) = await running(it, 1, e.Followed(UpstreamMode.JOBS, STATUS, KEY))
        await running(it, 3)
        hints(it)(Hint(reference=first) if by == "reference" else Hint(key=KEY.upper(), folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 1


async def test_a_folder_s_jobs_are_hurried_within_a_budget():
    """Some at once, the longest unread first, and no more in a minute than the budget."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 100)
        take = hints(it)
        take(Hint(folder=FOLDER.upper()))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 10
        for _ in range(100):
            take(Hint(folder=FOLDER.upper()))
            await asyncio.sleep(0.5)
        assert 60 < len(it.upstream.reads) <= 60 + 60
        assert it.failed == []


async def test_another_folder_s_are_not():
    """Nor is anybody by a hint that says nothing."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 3)
        take = hints(it)
        for hint in (Hint(folder=KEY), Hint(), Hint(reference="no such job"), Hint(key=KEY, folder=KEY)):
            take(hint)
        await asyncio.sleep(1)
        assert it.upstream.reads == []


async def test_a_flood_of_ends_of_others_jobs_costs_little(monkeypatch: pytest.MonkeyPatch):
    """Orchestrator tells of all jobs of a tenant: looking through what is followed here is rationed too."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 3)
        take, looks, followed = hints(it), 0, it.driver.followed

        def counted():
            nonlocal looks
            looks += 1
            return followed()

        monkeypatch.setattr(it.driver, "followed", counted)
        for _ in range(1_000):
            take(Hint(folder=KEY))
        assert looks == 60
        await asyncio.sleep(60)
        take(Hint(folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 3


async def test_under_pass_through_the_folder_is_in_the_route():
    """Its name is the trigger's path."""
    async with bench(pace=SLOW) as it:
        await running(it, 1, route=f"/t/{FOLDER}/add")
        hints(it)(Hint(folder=KEY))
        await asyncio.sleep(1)
        assert it.upstream.reads == []
        hints(it)(Hint(folder=FOLDER.upper()))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 1


@pytest.mark.parametrize("binding", [Binding(folder=FOLDER), Binding(folder="Shared")])
async def test_where_the_folder_is_not_told_any_job_may_be_meant(binding):
    """Orchestrator has a number for it; and a route may have a name."""
    async with bench(pace=SLOW, binding=binding) as it:
        await running(it, 3)
        hints(it)(Hint(key=KEY) if binding.folder == FOLDER else Hint(key=KEY, folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 3
