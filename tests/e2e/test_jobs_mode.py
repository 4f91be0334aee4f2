"""Mode `Jobs` end to end: a process started and followed by the Jobs API, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding
from gateway.simulator import Settings, Simulator
from gateway.simulator.faults import FAULTS
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, eventually, fronting
from tests.support.replicas import outcome_of, replicas
from tests.support.rig import BASE_PATH, policy, simulated, with_store


def by_jobs_api(path: str, process: str, **changes: object) -> Route:
    """Return a route that starts a process."""
    binding = Binding(api=True, folder="Finance", process=process)
    quick = {"start_timeout": 700, "read_timeout": 700, "reconcile_wait": 20 * SECOND, **changes}
    own = policy(upstream_mode=UpstreamMode.JOBS, binding=binding, **quick)
    return Route(path.removeprefix("/"), path, None, policy=own)


ROUTES = (by_jobs_api("/add", "add"), by_jobs_api("/nothing", "missing"))


@contextlib.asynccontextmanager
async def staged(redis_url: str, settings: Settings | None = None) -> AsyncIterator[tuple[Simulator, Caller]]:
    """Run a gateway whose routes start processes."""
    async with (
        simulated(settings) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=ROUTES, jobs_api=JobsApiSettings()) as caller,
    ):
        yield simulator, caller


async def call(caller: Caller, tag: str, *, key: str | None = None, mode: str = "sync", **arguments) -> Answer:
    """Start the process."""
    headers = {"Call-Mode": mode, **({"Idempotency-Key": key} if key else {})}
    return await caller(path="/add", json={"id": tag, **arguments}, headers=headers)


AS_GIVEN = {"401": 401, "403": 403, "404": 404, "429": 429, "500-cold": 500}
"""Faults of a start that are Orchestrator's own answer, and its status."""
NOT_STARTED = {name for name, fault in FAULTS.items() if fault.stage.value == "before"} - AS_GIVEN.keys()
"""Those after which nothing runs, though nobody can tell: `test_reconcile.py` has what becomes of them."""


async def test_no_fault_of_a_start_leads_to_a_second_one(redis_url):
    """Every other fault in the table, all at once: the outcome, or Orchestrator's own answer; one start each."""
    tags = [name for name in FAULTS if name not in NOT_STARTED]
    async with staged(redis_url) as (simulator, caller):
        answers = await asyncio.gather(
            *(call(caller, tag, key=tag, duration=0.3, fault=tag, fault_times=1) for tag in tags)
        )
        told = {tag: answer.status for tag, answer in zip(tags, answers, strict=True)}
        assert told == {tag: AS_GIVEN.get(tag, 200) for tag in tags}
        assert simulator.starts_by_argument == dict.fromkeys(tags, 1)
        assert simulator.jobs_by_argument == dict.fromkeys(told.keys() - AS_GIVEN.keys(), 1)
        again = await asyncio.gather(
            *(call(caller, tag, key=tag, duration=0.3, fault=tag, fault_times=1) for tag in tags)
        )
        freed = {tag for tag, answer in zip(tags, again, strict=True) if "Idempotent-Replayed" not in answer.headers}
        assert freed == {"401", "429"}
        assert set(simulator.jobs_by_argument.values()) == {1}


async def test_no_fault_of_a_read_is_an_outcome(redis_url):
    """Every fault in the table, once in the middle of a job's reads: the outcome is exact, later at the most."""
    async with staged(redis_url, Settings(stall=2.0)) as (simulator, caller):
        answers = await asyncio.gather(
            *(call(caller, tag, duration=0.3, fault=tag, fault_on="job", fault_times=2) for tag in FAULTS)
        )
        assert [(answer.status, answer.json, answer.headers["Job-Status"]) for answer in answers] == [
            (200, {"id": tag}, "succeeded") for tag in FAULTS
        ]
        assert simulator.jobs_by_argument == dict.fromkeys(FAULTS, 1)


async def test_a_process_that_there_is_none_of(redis_url):
    """Orchestrator's own answer, as it gave it; nothing ran."""
    async with staged(redis_url) as (simulator, caller):
        answer = await caller(path="/nothing", json={})
        assert (answer.status, answer.problem) == (404, None)
        assert answer.json["message"] == "The release does not exist."
        assert answer.headers["Job-Status"] == "failed"
        assert simulator.counters.jobs == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_arguments_that_the_jobs_api_does_not_take(redis_url, mode: str):
    """The limit of 10,000 characters is Orchestrator's, and so are the words; nothing ran."""
    async with staged(redis_url) as (simulator, caller):
        answer = await call(caller, "a", mode=mode, text="x" * 10_000)
        assert (answer.status, answer.problem) == (400, None)
        assert "JobArguments length" in answer.json["message"]
        assert simulator.counters.jobs == 0


async def test_fifty_calls_of_one_key_start_one_job(redis_url):
    """All of them have its outcome."""
    async with staged(redis_url) as (simulator, caller):
        answers = await asyncio.gather(*(call(caller, "a", key="k", duration=0.5) for _ in range(50)))
        assert {(answer.status, answer.body) for answer in answers} == {(200, outcome_of("a"))}
        assert len({answer.headers["Job-Id"] for answer in answers}) == 1
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_job_that_waits_for_a_robot_is_waited_for(redis_url):
    """Pending is not ended: no robot is free, which is no error."""
    async with staged(redis_url) as (_, caller):
        began = asyncio.get_running_loop().time()
        answer = await call(caller, "a", pending=1.0, duration=0.1)
        assert (answer.status, answer.body) == (200, outcome_of("a"))
        assert asyncio.get_running_loop().time() - began >= 1.1


async def test_the_reference_is_the_jobs_id(redis_url):
    """Whoever looks into Orchestrator finds the gateway's job there, and the other way round."""
    async with staged(redis_url) as (simulator, caller):
        answer = await call(caller, "a", duration=0.1)
        (job,) = simulator.jobs.values()
        assert job.reference == answer.headers["Job-Id"]
        view = (await caller("GET", f"/-/jobs/{job.reference}")).json
        assert view["upstream"] == {"mode": "Jobs", "key": job.key, "state": "ended", "attempts": 2}


async def test_another_replica_follows_on(tmp_path, redis_url):
    """After a kill -9 of the follower, by the key that the record has: no list is asked for."""
    settings = "routes: [{path: /add, process: add, folder: Finance, upstream_mode: Jobs}]\n"
    async with replicas(redis_url, tmp_path, count=2, settings=settings, upstream_settings="jobs_api: on") as it:
        started = await call(it[0].caller, "a", mode="async", duration=1.5)
        assert started.status == 202
        await it[0].running()
        await it[0].kill()
        answer = await it[1].caller("GET", it[1].here(started.json["links"]["wait"]))
        assert (answer.status, answer.body) == (200, outcome_of("a"))
        assert (it.simulator.counters.starts, it.simulator.counters.lists) == (1, 0)


async def test_a_read_that_is_forbidden_is_no_end(redis_url):
    """Rights come and go: the job goes on meanwhile, and is read when it may be."""
    async with staged(redis_url) as (simulator, caller):
        accepted = await call(caller, "a", mode="async", duration=0.3, fault="403", fault_on="job", fault_times=3)
        assert accepted.status == 202

        async def ended() -> Answer | None:
            answer = await caller("GET", accepted.json["links"]["result"])
            return answer if answer.status == 200 else None

        assert (await eventually(ended)).body == outcome_of("a")
        assert simulator.counters.starts == 1
