"""Starts that may have run, where jobs can be found again: the caller gets the outcome of the one that ran, or is told.

Three ways for a start to carry the job's id: an argument in the body, one in the query, and the `Reference` of a start
by the Jobs API.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding, Policy
from gateway.simulator import Settings, Simulator
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, check_problem, eventually, fronting, receiving
from tests.support.replicas import Replicas, replicas
from tests.support.rig import BASE_PATH, policy, simulated, with_store

ARGUMENT = "callmodeJob"
FOLDER = "Finance"


@dataclass(frozen=True)
class Carrier:
    """A way for a start to carry the job's id: how its route is called."""

    path: str
    method: str

    async def call(self, caller: Caller, tag: str, *, key: str | None = None, mode: str = "sync", **more) -> Answer:
        """Call the route; `more` are arguments that drive the simulated job."""
        headers = {"Call-Mode": mode, **({"Idempotency-Key": key} if key else {})}
        return await caller.start(self.method, self.path, json={"id": tag, **more}, headers=headers)

    def outcome(self, tag: str, job_id: str) -> dict[str, str]:
        """Return what a job gives back: its arguments, with what its start carried."""
        return {"id": tag} if self is REFERENCE else {ARGUMENT: job_id, "id": tag}


BODY = Carrier("/trigger", "POST")
QUERY = Carrier("/trigger", "GET")
REFERENCE = Carrier("/jobs", "POST")
CARRIERS = {"body": BODY, "query": QUERY, "reference": REFERENCE}
EACH = pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)

RAN = {
    "502-after", "504-after", "524-after", "reset-after", "close-after", "stall", "not-http", "reset-in-head",
}  # fmt: skip
"""Faults after which a job runs, whoever started it."""
RAN_BY_TRIGGER = {"no-location", "foreign-location", "301", "307"}
"""Those of a Location, which only a trigger gives: the start was accepted, and nobody can tell where to ask."""
RAN_BY_JOBS_API = {"reset-in-body", "stall-in-body", "truncated", "truncated-chunked", "truncated-close", "empty"}
"""Those of a body: a trigger that polls accepts without one."""
NOTHING_RAN = {"502-before", "503-before", "reset-before", "close-before", "stall-before"}
"""Those that look just the same, and no job runs."""

FOUND = policy(start_timeout=700, reconcile_wait=20 * SECOND)


def routes(base: Policy = FOUND, slug: str = "async") -> tuple[Route, ...]:
    """Return a route to a trigger and one to a process, whose jobs can be found."""
    bound = Binding(api=True, folder=FOLDER, slug=slug, correlation=ARGUMENT)
    started = Binding(api=True, folder=FOLDER, process=slug)
    return (
        Route("trigger", BODY.path, f"/t/{FOLDER}/{slug}", policy=_with(base, binding=bound)),
        Route("jobs", REFERENCE.path, None, policy=_with(base, binding=started, upstream_mode=UpstreamMode.JOBS)),
    )


def _with(base: Policy, **changes: object) -> Policy:
    return policy(**{name: getattr(base, name) for name in base.__struct_fields__} | changes)


@dataclass
class Stage:
    """A gateway before a simulated tenant."""

    simulator: Simulator
    caller: Caller
    upstream_url: str

    def check_started_once(self, *tags: str) -> None:
        """See that each of these jobs was started, once, and ran."""
        assert {tag: self.simulator.starts_by_argument[tag] for tag in tags} == dict.fromkeys(tags, 1)
        assert {tag: self.simulator.jobs_by_argument[tag] for tag in tags} == dict.fromkeys(tags, 1)

    async def status(self, job_id: str) -> str:
        """Return what the monitor says of a job."""
        return (await self.caller("GET", f"/-/jobs/{job_id}")).json["status"]


@contextlib.asynccontextmanager
async def staged(
    redis_url: str,
    *,
    base: Policy = FOUND,
    simulator: Settings | None = None,
    api: JobsApiSettings | None = None,
    slug: str = "async",
) -> AsyncIterator[Stage]:
    """Run a gateway whose routes' jobs can be found."""
    async with (
        simulated(simulator) as (running, origin),
        fronting(
            origin + BASE_PATH,
            shared=with_store(redis_url),
            routes=routes(base, slug),
            jobs_api=api or JobsApiSettings(),
        ) as caller,
    ):
        yield Stage(running, caller, origin + BASE_PATH)


# What ran is found.


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
    async with staged(redis_url) as stage:
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
        await asyncio.gather(*(_start_as_stranger(stage, {"id": f"other {n}"}) for n in range(300)))
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


# What did not run.


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
            await _start_as_stranger(stage, {"id": name})
            await _start_as_stranger(stage, {"id": name, ARGUMENT: "the-id-of-another-job"})
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
        await _start_as_stranger(stage, {**job.arguments.sent, "fault": None})
        told = await calling
        check_problem(told, 502, "upstream-ambiguous")
        view = (await stage.caller("GET", f"/-/jobs/{told.headers['Job-Id']}")).json
        assert view["status"] == "unknown"
        assert stage.simulator.jobs_by_argument["a"] == 2


async def _start_as_stranger(stage: Stage, arguments: dict) -> None:
    """Start the trigger beside the gateway."""
    url = f"{stage.upstream_url}/t/{FOLDER}/async"
    answer = await stage.caller("POST", url, json={"$callMode": "AsyncRequestReply", "duration": 30, **arguments})
    assert answer.status == 202, answer


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
