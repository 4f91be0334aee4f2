"""Starts that may have run and are not found: who is told what, what a verdict brings, and what starts again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway.simulator import Settings
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.doubts import (
    ARGUMENT,
    BODY,
    CARRIERS,
    FOLDER,
    REFERENCE,
    Carrier,
    Stage,
    staged,
    start_as_stranger,
)
from tests.e2e.support import check_problem, eventually, fronting, receiving
from tests.support.replicas import Replicas, replicas
from tests.support.rig import BASE_PATH, policy, simulated, with_store

NOTHING_RAN = {"502-before", "503-before", "reset-before", "close-before", "stall-before"}
"""Faults that look just like those after which a job runs, and none does."""


async def test_where_nothing_ran_the_caller_is_told_and_a_verdict_frees_its_key(redis_url):
    """502 after `reconcile_wait`, `unknown`, nothing started again; after `never-ran`, the same call starts once."""
    patience = policy(start_timeout=300, reconcile_wait=2_000)
    async with staged(redis_url, base=patience) as stage, asyncio.TaskGroup() as group:
        for name, carrier in CARRIERS.items():
            for fault in NOTHING_RAN:
                group.create_task(_told_and_resolved(stage, carrier, f"{name} {fault}", fault))


async def _told_and_resolved(stage: Stage, carrier: Carrier, tag: str, fault: str) -> None:
    call = {"key": tag, "duration": 0.1, "fault": fault, "fault_times": 1}
    began = asyncio.get_running_loop().time()
    told = await carrier.call(stage.caller, tag, **call)
    check_problem(told, 502, "upstream-ambiguous")
    assert 2.0 <= asyncio.get_running_loop().time() - began < 5.0
    job_id = told.headers["Job-Id"]
    assert (told.json["jobId"], told.json["retryable"]) == (job_id, False)
    assert (await stage.caller("GET", told.json["monitor"])).json["status"] == "unknown"
    check_problem(await carrier.call(stage.caller, tag, **call), 502, "upstream-ambiguous")
    assert (stage.simulator.starts_by_argument[tag], stage.simulator.jobs_by_argument[tag]) == (1, 0)
    resolved = await stage.caller("POST", f"/-/jobs/{job_id}/resolve", json={"verdict": "never-ran"})
    assert (resolved.status, resolved.json["status"]) == (200, "failed")
    again = await carrier.call(stage.caller, tag, **call)
    assert (again.status, again.json) == (200, carrier.outcome(tag, again.headers["Job-Id"]))
    assert again.headers["Job-Id"] != job_id
    assert (stage.simulator.starts_by_argument[tag], stage.simulator.jobs_by_argument[tag]) == (2, 1)


async def test_a_strangers_job_with_equal_arguments_is_not_adopted(redis_url):
    """Same trigger, same moment, same arguments, even another job's id: it is not ours, and ours never ran."""
    async with staged(redis_url, base=policy(reconcile_wait=2_500)) as stage, asyncio.TaskGroup() as group:
        for name, carrier in CARRIERS.items():
            await start_as_stranger(stage, {"id": name})
            await start_as_stranger(stage, {"id": name, ARGUMENT: "the-id-of-another-job"})
            group.create_task(_not_adopted(stage, carrier, name))


async def _not_adopted(stage: Stage, carrier: Carrier, tag: str) -> None:
    told = await carrier.call(stage.caller, tag, fault="502-before")
    check_problem(told, 502, "upstream-ambiguous")
    assert stage.simulator.counters.lists >= 2
    assert await stage.status(told.headers["Job-Id"]) == "unknown"
    assert stage.simulator.jobs_by_argument[tag] == 2


async def test_two_jobs_that_carry_one_id_are_no_verdict(redis_url):
    """Somebody has started our job's arguments again: which of the two is ours cannot be told, so neither is taken."""
    async with staged(redis_url, base=policy(reconcile_wait=3_000), simulator=Settings(list_lag=1.0)) as stage:
        calling = asyncio.ensure_future(BODY.call(stage.caller, "a", duration=30, fault="502-after"))

        async def runs() -> bool:
            return stage.simulator.jobs_by_argument["a"] == 1

        await eventually(runs)
        (job,) = stage.simulator.jobs.values()
        await start_as_stranger(stage, {**job.arguments.sent, "fault": None})
        told = await calling
        check_problem(told, 502, "upstream-ambiguous")
        view = (await stage.caller("GET", f"/-/jobs/{told.headers['Job-Id']}")).json
        assert view["status"] == "unknown"
        assert stage.simulator.jobs_by_argument["a"] == 2


# What the tenant rations.


async def test_a_tenant_that_lists_no_more_is_left_alone_for_as_long_as_it_says(redis_url):
    """429 with Retry-After: no list before that; the doubt stays one."""
    async with staged(redis_url, base=policy(reconcile_wait=4_000), simulator=Settings(list_limit=1)) as stage:
        first = await BODY.call(stage.caller, "a", duration=0.1, fault="502-after")
        assert first.status == 200
        check_problem(await BODY.call(stage.caller, "b", duration=0.1, fault="502-after"), 502, "upstream-ambiguous")
        counters = stage.simulator.counters
        assert (counters.lists, counters.limited) == (2, 1)


async def test_a_budget_of_lists_is_kept(redis_url):
    """`calls_per_minute`: what would be one more waits, whoever's doubt it is."""
    api = JobsApiSettings(calls_per_minute=1)
    async with staged(redis_url, base=policy(reconcile_wait=3_000), api=api) as stage:
        assert (await BODY.call(stage.caller, "a", duration=0.1, fault="502-after")).status == 200
        told = await REFERENCE.call(stage.caller, "b", duration=0.1, fault="502-after")
        check_problem(told, 502, "upstream-ambiguous")
        view = (await stage.caller("GET", f"/-/jobs/{told.headers['Job-Id']}")).json
        assert view["status"] == "unknown"
        assert stage.simulator.counters.lists == 1


# What starts again, and what never does.


async def test_a_route_whose_jobs_may_run_twice_starts_them_again(redis_url):
    """`idempotent: true`: an ambiguous start is sent once more, with nothing that could find the first."""
    own = Route("own", "/own", "/t/folder/async", policy=policy(idempotent=True, start_retry=10_000))
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=(own,)) as caller,
    ):
        for n, fault in enumerate(("502-after", "reset-before", "reset-in-head")):
            tag = str(n)
            answer = await caller(path="/own", json={"id": tag, "duration": 0.1, "fault": fault, "fault_times": 1})
            assert (answer.status, answer.json) == (200, {"id": tag})
            assert simulator.starts_by_argument[tag] == 2


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
async def test_where_every_one_of_them_was_lost_the_first_is_followed(redis_url, carrier: Carrier):
    """All ran, and carry one id: which of them is told of makes no difference to whoever lets them run twice."""
    base = policy(idempotent=True, start_retry=1_000, reconcile_wait=20_000)
    async with staged(redis_url, base=base) as stage:
        answer = await carrier.call(stage.caller, "a", duration=0.1, fault="502-after")
        assert (answer.status, answer.json) == (200, carrier.outcome("a", answer.headers["Job-Id"]))
        assert stage.simulator.jobs_by_argument["a"] >= 2
        first = min(stage.simulator.jobs.values(), key=lambda job: job.number)
        view = (await stage.caller("GET", f"/-/jobs/{answer.headers['Job-Id']}")).json
        assert view["upstream"]["key"] == first.key


async def test_without_a_way_to_find_jobs_the_caller_is_told_at_once(redis_url):
    """Nobody waits for a verdict that nothing can bring; the Jobs API is not asked."""
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url)) as caller,
    ):
        began = asyncio.get_running_loop().time()
        told = await caller(json={"id": "a", "fault": "502-after"})
        check_problem(told, 502, "upstream-ambiguous")
        assert asyncio.get_running_loop().time() - began < 1.0
        assert (await caller("GET", told.json["monitor"])).json["status"] == "unknown"
        assert (simulator.counters.lists, simulator.counters.job_reads) == (0, 0)
        assert simulator.starts_by_argument == {"a": 1}


ENDED = {"verdict": "ended", "status": 200, "headers": {"X-Sum": "3"}, "body": {"sum": 3}}


async def test_a_verdict_reaches_whoever_still_asks(redis_url):
    """Nothing can find the job, so its callers were told; who polls, streams or is called back has the outcome."""
    async with (
        simulated() as (simulator, origin),
        receiving() as receiver,
        fronting(origin + BASE_PATH, shared=with_store(redis_url), callbacks=receiver.settings) as caller,
        asyncio.TaskGroup() as group,
    ):
        told = await caller(
            json={"id": "a", "fault": "502-after"}, headers={"Call-Mode": "callback", "Callback-Url": receiver.url}
        )
        check_problem(told, 502, "upstream-ambiguous")
        view = (await caller("GET", told.json["monitor"])).json
        streaming = group.create_task(caller("GET", view["links"]["events"]))
        watching = group.create_task(caller("GET", f"/-/jobs/{view['id']}?wait=20"))
        check_problem(await caller("GET", view["links"]["poll"]), 502, "upstream-ambiguous")
        assert receiver.deliveries == []
        assert (await caller("POST", f"/-/jobs/{view['id']}/resolve", json=ENDED)).status == 200
        assert (await watching).json["status"] == "succeeded"
        polled = await caller("GET", view["links"]["poll"])
        assert polled.status == 303
        result = await caller("GET", polled.headers["Location"])
        assert (result.status, result.json, result.headers["X-Sum"]) == (200, {"sum": 3}, "3")
        events = (await streaming).body.decode()
        assert [line for line in events.splitlines() if line.startswith("event: ")] == [
            "event: unknown",
            "event: outcome",
        ]
        assert '"X-Sum"' in events
        async with asyncio.timeout(10):
            await receiver.arrived.wait()
        (delivery,) = receiver.deliveries
        assert (delivery.json, delivery.headers["Job-Status"]) == ({"sum": 3}, "succeeded")
        assert simulator.starts_by_argument == {"a": 1}


# Replicas.

KILLED = [("kill@after-intent", 0), ("kill@after-start", 1)]
"""Where a replica is killed while the record says `starting`, and how many jobs run by then."""


@contextlib.asynccontextmanager
async def two_replicas(redis_url: str, directory: Path, patch: str) -> AsyncIterator[Replicas]:
    """Run two replicas whose routes' jobs can be found; the first is killed at a point."""
    route = {"path": BODY.path, "trigger": f"/t/{FOLDER}/async", "correlation": ARGUMENT}
    settings = f"routes: [{json.dumps(route)}]\n"
    async with replicas(
        redis_url, directory, count=2, patches={0: [patch]}, settings=settings, upstream_settings="jobs_api: on"
    ) as it:
        yield it


@pytest.mark.parametrize(("patch", "jobs"), KILLED, ids=[patch for patch, _ in KILLED])
async def test_a_replica_that_dies_over_a_start_leaves_a_doubt_that_another_resolves(
    redis_url, tmp_path, patch: str, jobs: int
):
    """The caller that repeats its call by its key gets the outcome where a job ran; nothing is started again."""
    async with two_replicas(redis_url, tmp_path, patch) as it:
        with contextlib.suppress(aiohttp.ClientError):
            await BODY.call(it[0].caller, "a", key="k", duration=0.5)
        await it[0].gone()
        assert it.simulator.jobs_by_argument["a"] == jobs
        again = asyncio.ensure_future(BODY.call(it[1].caller, "a", key="k", duration=0.5))
        if jobs:
            answer = await again
            assert (answer.status, answer.headers["Idempotent-Replayed"]) == (200, "true")
            assert answer.json == BODY.outcome("a", answer.headers["Job-Id"])
        else:

            async def unknown() -> bool:
                return bool(it[1].told("StartAmbiguous")) and it.simulator.counters.lists >= 1

            await eventually(unknown)
            again.cancel()
        assert it.simulator.starts_by_argument["a"] == jobs
        assert it.simulator.jobs_by_argument["a"] == jobs
