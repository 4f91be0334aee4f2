"""Calls that are one: by a key, by what the route takes for one, while the job runs; and a start that is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.policy import SECOND, Deduplicate, SameCall
from gateway.simulator import Settings, Simulator
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, Receiver, calling, check_problem, eventually, fronting, receiving
from tests.support.replicas import replicas
from tests.support.rig import BASE_PATH, TOKEN, policy, simulated, with_store

TRIGGER = "/t/folder/async"
ROUTES = (
    Route("plain", "/plain", TRIGGER),
    Route("window", "/window", TRIGGER, policy=policy(deduplicate=Deduplicate(60 * SECOND))),
    Route("brief", "/brief", TRIGGER, policy=policy(deduplicate=Deduplicate(SECOND // 2))),
    Route(
        "anybody", "/anybody", TRIGGER,
        policy=policy(deduplicate=Deduplicate(60 * SECOND, frozenset({SameCall.ARGUMENTS}))),
    ),
    Route(
        "caller", "/caller", TRIGGER, policy=policy(deduplicate=Deduplicate(60 * SECOND, frozenset({SameCall.CALLER})))
    ),
    Route("shared", "/shared", TRIGGER, policy=policy(coalesce=True)),
    Route("harmless", "/harmless", TRIGGER, policy=policy(idempotent=True, start_retry=30 * SECOND)),
)  # fmt: skip
AT_ALL_REPLICAS = """
routes:
  - {path: /plain, trigger: /t/folder/async}
  - {path: /window, trigger: /t/folder/async, deduplicate: {window: 60s}}
  - {path: /shared, trigger: /t/folder/async, coalesce: on}
"""


@contextlib.asynccontextmanager
async def gateway(
    redis_url: str, simulator: Settings | None = None, **settings: object
) -> AsyncIterator[tuple[Simulator, Caller]]:
    """Give a simulator and a client of a gateway before it."""
    async with (
        simulated(simulator) as (running, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=ROUTES, **settings) as caller,
    ):
        yield running, caller


def jobs_of(*answers: Answer) -> int:
    """Return how many jobs the answers are about."""
    return len({answer.headers["Job-Id"] for answer in answers})


@pytest.mark.parametrize("path", ["/plain", "/window", "/shared"])
async def test_two_hundred_at_once_over_three_replicas(redis_url, tmp_path: Path, path: str):
    """By a key, by the route's window, or while it runs: one start, and every caller has its outcome."""
    async with replicas(redis_url, tmp_path, settings=AT_ALL_REPLICAS) as it:
        headers = {"Call-Mode": "async"} | ({"Idempotency-Key": "k"} if path == "/plain" else {})

        async def call(number: int) -> Answer:
            return await it[number % 3].caller(path=path, json={"id": "a", "duration": 600}, headers=headers)

        answers = await at_once(call(number) for number in range(200))
        assert Counter(answer.status for answer in answers) == {202: 200}
        assert Counter(answer.headers.get("Idempotent-Replayed") for answer in answers) == {None: 1, "true": 199}
        assert jobs_of(*answers) == 1
        (job,) = it.simulator.jobs.values()
        assert (await it[0].caller("POST", f"{tenant_of(tmp_path)}/_sim/jobs/{job.id}/end")).status == 200
        result = answers[0].headers["Location"].replace("/poll", "/result")
        ended = await it[0].caller("GET", answers[0].json["links"]["monitor"] + "&wait=20")
        assert ended.json["status"] == "succeeded"
        outcomes = await at_once(it[number % 3].caller("GET", it[number % 3].here(result)) for number in range(30))
        assert {(outcome.status, outcome.body) for outcome in outcomes} == {(200, b'{"id":"a"}')}
        assert it.simulator.starts_by_argument == {"a": 1}


def tenant_of(directory: Path) -> str:
    """Return the origin of the tenant that the replicas' configuration names."""
    found = re.search(r"upstream: \{url: (http://[^/]+)", (directory / "replicas.yaml").read_text())
    assert found is not None
    return found[1]


async def at_once(calls: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Make all calls at the same time; return their answers."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


class TestWindow:
    """`deduplicate`: for callers that send no key."""

    async def test_a_repetition(self, redis_url):
        """The same job, while it runs and after its end, in whichever mode is asked for."""
        async with gateway(redis_url) as (simulator, caller):
            arguments = {"id": "a", "duration": 0.3}
            first = await caller(path="/window", json=arguments, headers={"Call-Mode": "async"})
            again = [
                await caller(path="/window", json=arguments, headers={"Call-Mode": mode})
                for mode in ("sync", "async", "long-poll", "forget", "stream")
            ]
            assert [answer.status for answer in again] == [200, 202, 200, 200, 200]
            assert {answer.headers["Idempotent-Replayed"] for answer in again} == {"true"}
            assert jobs_of(first, *again) == 1
            assert simulator.counters.starts == 1

    async def test_what_is_no_repetition(self, redis_url):
        """Other arguments, another caller, another route; and a key, by which its caller says more."""
        async with gateway(redis_url) as (simulator, caller), calling(caller.url, token="other") as other:
            arguments = {"id": "a", "duration": 0.1}
            answers = [
                await caller(path="/window", json=arguments),
                await caller(path="/window", json={**arguments, "n": 1}),
                await other(path="/window", json=arguments),
                await caller(path="/anybody", json=arguments),
                await caller(path="/window", json=arguments, headers={"Idempotency-Key": "1"}),
                await caller(path="/window", json=arguments, headers={"Idempotency-Key": "2"}),
            ]
            assert jobs_of(*answers) == len(answers) == simulator.counters.starts
            assert {answer.headers.get("Idempotent-Replayed") for answer in answers} == {None}

    async def test_its_end(self, redis_url):
        """What comes after it is a call of its own."""
        async with gateway(redis_url) as (simulator, caller):
            arguments = {"id": "a", "duration": 0}
            first = await caller(path="/brief", json=arguments)
            again = await caller(path="/brief", json=arguments)

            async def anew() -> bool:
                return jobs_of(first, await caller(path="/brief", json=arguments)) == 2

            assert jobs_of(first, again) == 1
            await eventually(anew, within=5)
            assert simulator.counters.starts == 2

    async def test_of_one_caller_whatever_it_says(self, redis_url):
        """A route may take all calls of a caller for one."""
        async with gateway(redis_url) as (simulator, caller), calling(caller.url, token="other") as other:
            answers = [await caller(path="/caller", json={"n": n, "duration": 0.1}) for n in range(3)]
            assert jobs_of(*answers) == 1
            assert jobs_of(answers[0], await other(path="/caller", json={"n": 0, "duration": 0.1})) == 2
            assert simulator.counters.starts == 2

    async def test_of_all_callers(self, redis_url):
        """Whose token the upstream accepts may have what another's call came to; nobody else may."""
        tenant = Settings(forbidden_tokens=frozenset({"forbidden"}))
        async with (
            gateway(redis_url, tenant) as (simulator, caller),
            calling(caller.url, token="other") as other,
            calling(caller.url, token="forbidden") as forbidden,
        ):
            arguments = {"id": "a", "duration": 1}
            first = await caller(path="/anybody", json=arguments, headers={"Call-Mode": "async"})
            check_problem(await forbidden(path="/anybody", json=arguments), 403, "credential-unproven")
            again = await other(path="/anybody", json=arguments)
            assert (again.status, again.json) == (200, {"id": "a"})
            assert jobs_of(first, again) == 1
            assert simulator.counters.starts == 1


class TestShared:
    """`coalesce`: while the job runs."""

    async def test_until_its_end(self, redis_url):
        """Then the next call is a new one."""
        async with gateway(redis_url) as (simulator, caller):
            arguments = {"id": "a", "duration": 0.3}
            first = await caller(path="/shared", json=arguments, headers={"Call-Mode": "async"})
            again = await caller(path="/shared", json=arguments)
            after = await caller(path="/shared", json=arguments)
            assert (jobs_of(first, again), jobs_of(first, after)) == (1, 2)
            assert simulator.counters.starts == 2


class TestCallbacks:
    """Each of equal calls is called back where it wants."""

    @pytest.mark.parametrize("path", ["/window", "/shared"])
    async def test_everybody_is(self, redis_url, path: str):
        """Once at each place, though there is one job."""
        async with (
            receiving() as one,
            receiving() as other,
            gateway(redis_url, callbacks=Receiver.settings) as (simulator, caller),
        ):
            arguments = {"id": "a", "duration": 0.5}
            answers = [
                await caller(path=path, json=arguments, headers={"Call-Mode": "callback", "Callback-Url": receiver.url})
                for receiver in (one, other, one)
            ]
            assert [answer.status for answer in answers] == [202, 202, 202]
            assert jobs_of(*answers) == 1
            async with asyncio.timeout(10):
                await asyncio.gather(one.arrived.wait(), other.arrived.wait())
            await asyncio.sleep(0.3)
            for receiver in (one, other):
                assert [delivery.body for delivery in receiver.deliveries] == [b'{"id":"a"}']
            assert simulator.counters.starts == 1

    async def test_after_the_end(self, redis_url):
        """Within the window, at once."""
        async with receiving() as receiver, gateway(redis_url, callbacks=Receiver.settings) as (simulator, caller):
            arguments = {"id": "a", "duration": 0.1}
            await caller(path="/window", json=arguments)
            wish = {"Call-Mode": "callback", "Callback-Url": receiver.url}
            assert (await caller(path="/window", json=arguments, headers=wish)).status == 202
            async with asyncio.timeout(10):
                await receiver.arrived.wait()
            assert receiver.deliveries[0].body == b'{"id":"a"}'
            assert simulator.counters.starts == 1


class TestHarmless:
    """`idempotent`: running twice does no harm, so a start that may have run is sent again, and only there."""

    @pytest.mark.parametrize("fault", ["502-after", "reset-after"])
    async def test_an_ambiguous_start(self, redis_url, fault: str):
        """There its caller is answered as if nothing had been; anywhere else it is told of the doubt."""
        async with gateway(redis_url) as (simulator, caller):
            for path, expected, starts in (("/harmless", 200, 2), ("/plain", 502, 1)):
                arguments = {"id": path, "duration": 0.1, "fault": fault, "fault_times": 1}
                answer = await caller(path=path, json=arguments)
                assert answer.status == expected
                assert simulator.starts_by_argument[path] == starts
            assert answer.problem == "upstream-ambiguous"

    async def test_by_a_key(self, redis_url):
        """It is one job all the same, whose key is taken."""
        async with gateway(redis_url) as (simulator, caller):
            arguments = {"id": "a", "duration": 0.1, "fault": "502-after", "fault_times": 1}
            answers = [await caller(path="/harmless", json=arguments, headers={"Idempotency-Key": "k"}) for _ in "12"]
            assert [answer.status for answer in answers] == [200, 200]
            assert jobs_of(*answers) == 1
            assert simulator.counters.starts == 2


async def test_under_the_gateways_own_credential(redis_url):
    """All callers are one, so that equal calls of any are."""
    async with (
        gateway(redis_url, bearer=TOKEN) as (simulator, caller),
        calling(caller.url, token=None) as nobody,
    ):
        answers = [await each(path="/window", json={"id": "a", "duration": 0.1}) for each in (caller, nobody)]
        assert jobs_of(*answers) == 1
        assert simulator.counters.starts == 1
