"""Hints of webhooks: whom they hurry, and how many at most."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.core import events as e
from gateway.core.job import State
from gateway.core.modes import UpstreamMode
from gateway.core.policy import MINUTE, Binding, Pace
from gateway.store.port import Hint
from gateway.worker.hints import Hints
from tests.worker.doubles import ENDED, FOLLOWED, RUNNING, STATUS, OnePolicy, bench

pytestmark = pytest.mark.looptime

SLOW = Pace(floor=100, ceiling=20 * MINUTE, typical=60 * MINUTE)
KEY = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
FOLDER = "0a1b2c3d-8b86-d011-b42d-00cf4fc964ff"
_numbers = itertools.count()


async def running(it, count: int, event: e.Event = FOLLOWED, **fields: object) -> list[str]:
    """Bring `count` jobs to where they run; return their ids."""
    it.upstream.on_start, it.upstream.on_read = [event] * count, [RUNNING]
    ids = [await it.followed(**fields) for _ in range(count)]
    for job_id in ids:
        await it.until(job_id, State.RUNNING)
    return ids


def hint(**said: str) -> Hint:
    """Return what a new event says."""
    return Hint(f"event {next(_numbers)}", **said)


def hints(it) -> Hints:
    """Return what takes hints on the bench."""
    return Hints(it.driver, OnePolicy(it.policy), it.clock)


@pytest.mark.parametrize("by", ["reference", "key"])
async def test_a_hint_that_names_a_job_hurries_that_one(by):
    """By what it was started with, or by its key in Orchestrator."""
    async with bench(pace=SLOW) as it:
        (first,) = await running(it, 1, e.Followed(UpstreamMode.JOBS, STATUS, KEY))
        await running(it, 3)
        hints(it).take(hint(reference=first) if by == "reference" else hint(key=KEY.upper(), folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 1


async def test_a_folder_s_jobs_are_hurried_within_a_budget():
    """Some at once, the longest unread first, and no more in a minute than the budget."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 100)
        take = hints(it).take
        take(hint(folder=FOLDER.upper()))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 10
        for _ in range(100):
            take(hint(folder=FOLDER.upper()))
            await asyncio.sleep(0.5)
        assert 60 < len(it.upstream.reads) <= 60 + 60
        assert it.failed == []


async def test_another_folder_s_are_not():
    """Nor is anybody by a hint that says nothing."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 3)
        take = hints(it).take
        for each in (hint(folder=KEY), hint(), hint(reference="no such job"), hint(key=KEY, folder=KEY)):
            take(each)
        await asyncio.sleep(1)
        assert it.upstream.reads == []


async def test_a_flood_of_ends_of_others_jobs_costs_little(monkeypatch: pytest.MonkeyPatch):
    """Orchestrator tells of all jobs of a tenant: looking through what is followed here is rationed too."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 3)
        take, looks, followed = hints(it).take, 0, it.driver.followed

        def counted():
            nonlocal looks
            looks += 1
            return followed()

        monkeypatch.setattr(it.driver, "followed", counted)
        for _ in range(1_000):
            take(hint(folder=KEY))
        assert looks == 60
        await asyncio.sleep(60)
        take(hint(folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 3


async def test_under_pass_through_the_folder_is_in_the_route():
    """Its name is the trigger's path."""
    async with bench(pace=SLOW) as it:
        await running(it, 1, route=f"/t/{FOLDER}/add")
        hints(it).take(hint(folder=KEY))
        await asyncio.sleep(1)
        assert it.upstream.reads == []
        hints(it).take(hint(folder=FOLDER.upper()))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 1


@pytest.mark.parametrize("binding", [Binding(folder=FOLDER), Binding(folder="Shared")])
async def test_where_the_folder_is_not_told_any_job_may_be_meant(binding):
    """Orchestrator has a number for it; and a route may have a name."""
    async with bench(pace=SLOW, binding=binding) as it:
        await running(it, 3)
        hints(it).take(hint(key=KEY) if binding.folder == FOLDER else hint(key=KEY, folder=FOLDER))
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 3


async def test_an_event_that_comes_again():
    """Hurries nobody, wherever it came before: here alone, or to all."""
    async with bench(pace=SLOW) as it:
        (job_id,) = await running(it, 1)
        takes = hints(it)
        here, everywhere = hint(reference=job_id), hint(reference=job_id)
        takes.take(everywhere)
        assert takes.take_own(here)
        await asyncio.sleep(1)
        seen = len(it.upstream.reads)
        assert seen > 0
        for _ in range(3):
            assert takes.take_own(here)
            assert takes.take_own(everywhere)
            takes.take(here)
            takes.take(everywhere)
            await asyncio.sleep(1)
        assert len(it.upstream.reads) == seen


@pytest.mark.parametrize("said", [{"reference": "no such job"}, {"key": KEY}, {"folder": FOLDER}])
async def test_what_names_no_job_of_this_replica(said: dict[str, str]):
    """Is for all of them, and nothing is done about it here before they are told."""
    async with bench(pace=SLOW, binding=Binding(folder=FOLDER)) as it:
        await running(it, 3)
        assert not hints(it).take_own(hint(**said))
        await asyncio.sleep(1)
        assert it.upstream.reads == []


async def test_events_are_forgotten():
    """Those that came first, when there were a thousand others."""
    async with bench(pace=SLOW) as it:
        (job_id,) = await running(it, 1)
        takes = hints(it)
        first = hint(reference=job_id)
        takes.take(first)
        for _ in range(1_000):
            takes.take(hint())
        await asyncio.sleep(1)
        seen = len(it.upstream.reads)
        takes.take(first)
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == seen + 1


async def test_a_job_that_may_be_another_s_by_now():
    """Is looked at here, in case it is not; but all must be told."""
    async with bench(pace=SLOW) as it:
        (job_id,) = await running(it, 1)
        takes, said = hints(it), hint(reference=job_id)
        assert takes.is_surely_own(said)
        assert not takes.is_surely_own(hint(reference="no such job"))
        it.holds = False
        assert takes.take_own(said)
        assert not takes.is_surely_own(said)
        await asyncio.sleep(1)
        assert len(it.upstream.reads) == 1


async def test_a_hint_that_comes_before_the_start_is_answered():
    """A job may end sooner: its first read is as soon as the route allows, and it was told of."""
    async with bench(pace=SLOW) as it:
        answer = asyncio.get_running_loop().create_future()
        it.upstream.on_start, it.upstream.on_read = [answer], [ENDED]
        job_id = await it.followed()
        await asyncio.sleep(1)
        assert hints(it).take_own(hint(reference=job_id))
        answer.set_result(FOLLOWED)
        await it.until(job_id, State.SUCCEEDED, within=1)
        assert [told for *_, told in it.ended] == [True]
