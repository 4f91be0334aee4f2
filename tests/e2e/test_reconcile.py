"""Starts that may have run, where jobs can be found again: the caller gets the outcome of the one that ran."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding
from gateway.simulator import Settings
from gateway.upstream.settings import JobsApiSettings
from tests.e2e.doubts import ARGUMENT, BODY, CARRIERS, FOLDER, REFERENCE, Carrier, staged, start_as_stranger
from tests.e2e.support import eventually, fronting
from tests.support.rig import BASE_PATH, policy, simulated, with_store

EACH = pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)

RAN = {
    "502-after", "504-after", "524-after", "reset-after", "close-after", "stall", "not-http", "reset-in-head",
}  # fmt: skip
"""Faults after which a job runs, whoever started it."""
RAN_BY_TRIGGER = {"no-location", "foreign-location", "301", "307"}
"""Those of a Location, which only a trigger gives: the start was accepted, and nobody can tell where to ask."""
RAN_BY_JOBS_API = {"reset-in-body", "stall-in-body", "truncated", "truncated-chunked", "truncated-close", "empty"}
"""Those of a body: a trigger that polls accepts without one."""


async def test_a_job_that_ran_is_found_and_its_caller_never_knows(redis_url):
    """Each fault after which a job runs, by each carrier, all at once: the exact outcome, of one start."""
    async with staged(redis_url) as stage, asyncio.TaskGroup() as group:
        calls = {}
        for name, carrier in CARRIERS.items():
            for fault in RAN | (RAN_BY_JOBS_API if carrier is REFERENCE else RAN_BY_TRIGGER):
                tag = f"{name} {fault}"
                calls[tag] = (
                    carrier,
                    group.create_task(carrier.call(stage.caller, tag, duration=0.5, fault=fault, fault_times=1)),
                )
        for tag, (carrier, task) in calls.items():
            answer = await task
            assert answer.status == 200, (tag, answer)
            assert answer.json == carrier.outcome(tag, answer.headers["Job-Id"])
            assert answer.headers["Job-Status"] == "succeeded"
        stage.check_started_once(*calls)
        assert stage.simulator.counters.faults == len(calls)


@EACH
async def test_a_job_that_has_ended_meanwhile_is_found_too(redis_url, carrier: Carrier):
    """And one that failed is a failure, in Orchestrator's own words."""
    async with staged(redis_url) as stage:
        answer = await carrier.call(stage.caller, "a", duration=0, fault="502-after", fail="no such invoice")
        assert (answer.status, answer.headers["Job-Status"]) == (500, "failed")
        assert answer.json == {"message": "no such invoice", "errorCode": 4801}
        stage.check_started_once("a")


@EACH
async def test_what_is_found_is_told_in_the_monitor(redis_url, carrier: Carrier):
    """The doubt is over: no error, the job's key in Orchestrator, and how it is followed now."""
    async with staged(redis_url) as stage:
        accepted = await carrier.call(stage.caller, "a", mode="async", duration=20, fault="502-after")
        job_id = accepted.headers["Job-Id"]
        assert accepted.status == 202

        async def running() -> dict | None:
            view = (await stage.caller("GET", f"/-/jobs/{job_id}")).json
            return view if view["status"] == "running" else None

        view = await eventually(running)
        (job,) = stage.simulator.jobs.values()
        assert view["upstream"]["key"] == job.key
        assert view["upstream"]["mode"] == "Jobs"
        assert (view["error"], view["message"]) == (None, None)


async def test_jobs_that_are_listed_late_are_found_then(redis_url):
    """Nothing listed is no verdict: it is looked again, and not at every moment."""
    async with staged(redis_url, simulator=Settings(list_lag=3.0)) as stage:
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(carrier.call(stage.caller, name, duration=0.2, fault="reset-after"))
                for name, carrier in CARRIERS.items()
            }
        assert {name: task.result().json["id"] for name, task in tasks.items()} == {name: name for name in CARRIERS}
        stage.check_started_once(*CARRIERS)
        assert 2 * len(CARRIERS) <= stage.simulator.counters.lists <= 5 * len(CARRIERS)


@EACH
async def test_thirty_doubts_at_once_are_resolved_together(redis_url, carrier: Carrier):
    """Each gets its own job and no other; lists are shared, and no candidate is read twice by who looks."""
    tags = [f"{n}" for n in range(30)]
    # Lists that read the states of running jobs are others, and are not counted here.
    async with staged(redis_url, api=JobsApiSettings(grouped_reads=False)) as stage:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(carrier.call(stage.caller, tag, duration=3, fault="502-after")) for tag in tags]
        for tag, task in zip(tags, tasks, strict=True):
            answer = task.result()
            assert (answer.status, answer.json) == (200, carrier.outcome(tag, answer.headers["Job-Id"]))
        stage.check_started_once(*tags)
        assert stage.simulator.counters.lists <= len(tags) // 2


@pytest.mark.parametrize("skew", [-100.0, 100.0])
async def test_orchestrators_clock_may_be_a_little_wrong(redis_url, skew: float):
    """Less than two minutes: its jobs are looked for around the time of the start."""
    async with staged(redis_url, simulator=Settings(clock_skew=skew)) as stage:
        assert (await BODY.call(stage.caller, "a", duration=0.1, fault="502-after")).status == 200


async def test_among_hundreds_of_jobs_of_one_trigger_each_is_read_once(redis_url):
    """What others started is read too, since lists tell no arguments; for a second doubt only what is new."""
    async with staged(redis_url) as stage:
        await asyncio.gather(*(start_as_stranger(stage, {"id": f"other {n}"}) for n in range(300)))
        assert (await BODY.call(stage.caller, "a", duration=0, fault="502-after")).status == 200
        reads = stage.simulator.counters.job_reads
        assert 301 <= reads <= 305
        assert (await BODY.call(stage.caller, "b", duration=0, fault="502-after")).status == 200
        assert stage.simulator.counters.job_reads - reads <= 4


@pytest.mark.parametrize("fault", ["502-after", "reset-in-head", "reset-in-body", "truncated", "foreign-location"])
@pytest.mark.parametrize("duration", [0.1, 1.0], ids=["answered at once", "redirected"])
async def test_a_first_leg_that_was_lost_is_a_start_that_was_lost(redis_url, fault: str, duration: float):
    """A long poll's start is held with its job; what is lost of it is found all the same."""
    asking = policy(upstream_mode=UpstreamMode.LONG_POLL, reconcile_wait=20 * SECOND)
    async with staged(redis_url, base=asking, simulator=Settings(leg=0.4), slug="fixed-longpoll") as stage:
        answer = await BODY.call(stage.caller, "a", duration=duration, fault=fault, fault_times=1)
        assert (answer.status, answer.json["id"]) == (200, "a")
        stage.check_started_once("a")


async def test_what_passes_through_can_be_found_too(redis_url):
    """Folder and trigger are those of the path, the bearer is the caller's."""
    found = policy(reconcile_wait=20 * SECOND, binding=Binding(api=True, correlation=ARGUMENT))
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), policy=found, jobs_api=JobsApiSettings()) as caller,
    ):
        for path in (f"/t/{FOLDER}/async", f"{BASE_PATH}/t/Elsewhere/async"):
            answer = await caller(path=path, json={"id": path, "duration": 0.1, "fault": "502-after"})
            assert (answer.status, answer.json["id"]) == (200, path)
        assert set(simulator.starts_by_argument.values()) == {1}
