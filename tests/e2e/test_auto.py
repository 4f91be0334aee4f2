"""Upstream mode `auto` end to end: what starts ask for, what they hold, and what webhooks save."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.app.lifecycle import running
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding, LongPolls, Pace
from gateway.simulator import Settings, Simulator
from gateway.simulator.settings import Webhook
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, eventually
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, config, policy, simulated, with_store

FOLDER = "1d9c2f6e-4b7a-4c35-9e0d-8a2b6f4c1e57"
BUDGET = 5
ALLOWED = policy(auto=True, auto_long_poll=LongPolls.ON)
FINDABLE = policy(auto=True, binding=Binding(api=True, correlation="job", folder=FOLDER))
ROUTES = (
    Route("allowed", "/allowed", f"/t/{FOLDER}/async-a", policy=ALLOWED),
    Route("findable", "/findable", f"/t/{FOLDER}/async-b", policy=FINDABLE),
    Route("other", "/other", f"/t/{FOLDER}/async-c", policy=policy(auto=True)),
    Route("untracked", "/untracked", f"/t/{FOLDER}/async-d", policy=policy(auto=True, track=False)),
)


@contextlib.asynccontextmanager
async def staged(redis_url: str) -> AsyncIterator[tuple[Simulator, Caller]]:
    """Run a gateway that may hold five connections."""
    async with simulated(Settings()) as (simulator, origin):
        settings = config(origin + BASE_PATH, shared=with_store(redis_url), routes=ROUTES, jobs_api=JobsApiSettings())
        worker = msgspec.structs.replace(settings.worker, held_connections=BUDGET)
        async with (
            running(msgspec.structs.replace(settings, worker=worker)) as addresses,
            calling(f"http://{addresses['data']}") as caller,
        ):
            yield simulator, caller


async def burst(caller: Caller, path: str, count: int, *, mode: str = "sync", duration: float = 0.2) -> list[Answer]:
    """Start so many jobs at once, and see that each has its own outcome."""

    async def call(number: int) -> Answer:
        return await caller(path=path, json={"id": str(number), "duration": duration}, headers={"Call-Mode": mode})

    answers = await asyncio.gather(*(call(number) for number in range(count)))
    if mode == "sync":
        assert [(answer.status, json.loads(answer.body)["id"]) for answer in answers] == [
            (200, str(number)) for number in range(count)
        ]
    return answers


async def learned(simulator: Simulator, caller: Caller, path: str) -> None:
    """Call a route until it is known that its jobs are short: none is held before that."""
    await burst(caller, path, 20)
    assert simulator.counters.legs == 0
    assert simulator.counters.polls >= 20

    async def held() -> bool:
        await burst(caller, path, 1, duration=0.05)
        return simulator.counters.legs > 0

    await eventually(held)


@pytest.mark.parametrize("path", ["/allowed", "/findable"])
async def test_short_jobs_are_held_within_the_budget(redis_url, path: str):
    """Once they are known to be short: five of thirty at once, one call each; the others are polled."""
    async with staged(redis_url) as (simulator, caller):
        await learned(simulator, caller, path)
        legs, jobs = simulator.counters.legs, simulator.counters.jobs
        await burst(caller, path, 30, duration=0.6)
        assert simulator.counters.legs - legs == BUDGET
        assert simulator.counters.jobs - jobs == 30
        legs = simulator.counters.legs
        await burst(caller, path, BUDGET, duration=0.3)
        assert simulator.counters.legs - legs == BUDGET


async def test_who_does_not_wait_holds_nothing(redis_url):
    """An async caller's job is polled, whatever is known and free; so is a job that is to be canceled in time."""
    async with staged(redis_url) as (simulator, caller):
        await learned(simulator, caller, "/findable")
        legs = simulator.counters.legs
        for mode in ("async", "forget", "stream"):
            await burst(caller, "/findable", 2, mode=mode)
        answer = await caller(path="/findable", json={"id": "a", "duration": 0.1}, headers={"Cancel-After": "60"})
        assert (answer.status, simulator.counters.legs) == (200, legs)


async def test_where_a_lost_start_could_not_be_found(redis_url):
    """`auto` is async polling; and a call that nobody follows is forgotten upstream too."""
    async with staged(redis_url) as (simulator, caller):
        await burst(caller, "/other", 20)
        await asyncio.sleep(1.3)
        await burst(caller, "/other", 5)
        assert simulator.counters.legs == 0
        outputs = simulator.counters.outputs
        answer = await caller(path="/untracked", json={"id": "u"}, headers={"Call-Mode": "forget"})
        assert (answer.status, answer.body) == (200, b"")
        assert {job.mode for job in simulator.jobs.values() if job.arguments.text("id") == "u"} == {"FireAndForget"}
        assert simulator.counters.outputs == outputs


async def test_webhooks_that_work_save_polls(redis_url):
    """After ten ends that they told of, a job is read a quarter as often, and its end is known as soon."""
    port = free_port()
    binding = Binding(api=True, process="add", folder="Shared")
    own = policy(auto=True, upstream_mode=UpstreamMode.JOBS, binding=binding, pace=Pace(learn=False))
    api = JobsApiSettings(grouped_reads=False)
    settings = config(
        f"http://127.0.0.1:{port}{BASE_PATH}",
        shared=with_store(redis_url), routes=(Route("jobs", "/jobs", None, policy=own),),
        hook_secrets=("secret",), jobs_api=api,
    )  # fmt: skip
    async with running(settings) as addresses, calling(f"http://{addresses['data']}") as caller:
        hook = Webhook(url=caller.url + "/-/hooks/orchestrator", secret="secret")
        async with simulated(Settings(webhooks=(hook,)), port=port) as (simulator, _):

            async def reads() -> int:
                before = simulator.counters.job_reads
                await burst(caller, "/jobs", 1, duration=3.0)
                return simulator.counters.job_reads - before

            first = await reads()

            async def relied_on() -> bool:
                await burst(caller, "/jobs", 15, duration=0.3)
                return await reads() <= 0.6 * first

            # On a busy machine one of the first may come late: then the next ones tell.
            assert await eventually(relied_on, within=40)
