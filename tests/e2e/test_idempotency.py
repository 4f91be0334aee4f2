"""`Idempotency-Key`: one job for one key, in whichever mode it is repeated, as long as anything is remembered."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json

import pytest

from gateway.auth.keyring import generate
from gateway.core.modes import UpstreamMode
from gateway.simulator import Settings
from tests.e2e.support import Answer, calling, check_problem, eventually, fronting
from tests.support.rig import BASE_PATH, policy, simulated, with_store

KEY = {"Idempotency-Key": "order-1"}


@contextlib.asynccontextmanager
async def gateway(redis_url, settings=None, **changes):
    """Give a simulator and a client of a gateway before it."""
    async with (
        simulated(settings) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), **changes) as caller,
    ):
        yield simulator, caller


async def test_a_repeated_call_attaches_in_a_mode_of_its_own(redis_url):
    """A job started async is waited for by sync, long-poll and stream callers of the same key: one start."""
    arguments = {"id": "a", "duration": 0.8}
    async with gateway(redis_url) as (simulator, caller):
        started = await caller(json=arguments, headers={**KEY, "Call-Mode": "async"})
        assert (started.status, started.headers.get("Idempotent-Replayed")) == (202, None)

        async def attach(mode: str) -> Answer:
            return await caller(json=arguments, headers={**KEY, "Call-Mode": mode})

        modes = ("sync", "async", "long-poll", "forget", "stream")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attach(mode)) for mode in modes]
        answers = dict(zip(modes, (task.result() for task in tasks), strict=True))
        assert {mode: answer.status for mode, answer in answers.items()} == {
            "sync": 200, "async": 202, "long-poll": 200, "forget": 200, "stream": 200,
        }  # fmt: skip
        assert {answer.headers["Idempotent-Replayed"] for answer in answers.values()} == {"true"}
        assert {answer.headers["Job-Id"] for answer in answers.values()} == {started.headers["Job-Id"]}
        assert answers["sync"].json == answers["long-poll"].json == {"id": "a"}
        assert b"event: outcome" in answers["stream"].body
        assert simulator.starts_by_argument == {"a": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        {"output": {"n": 1, "text": "grüße"}},
        {"output_base64": base64.b64encode(bytes(range(256))).decode(), "output_type": "application/pdf"},
        {"output_text": "teapot", "status": 418},
        {"fail": "no such invoice"},
    ],
    ids=["json", "binary", "status", "failure"],
)
async def test_the_end_is_replayed_byte_for_byte(redis_url, arguments):
    """Status, type and bytes of the first answer, however the job ended; only the replay says that it is one."""
    call = {"json": {"id": "a", "duration": 0.1, **arguments}, "headers": KEY}
    async with gateway(redis_url) as (simulator, caller):
        first = await caller(**call)
        again = await caller(**call)
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (again.status, again.body) == (first.status, first.body)
        for name in ("Content-Type", "Job-Id", "Job-Status"):
            assert again.headers[name] == first.headers[name]
        assert simulator.starts_by_argument == {"a": 1}


@pytest.mark.parametrize(
    ("method", "path", "arguments"),
    [
        ("POST", "/t/folder/async", {"id": "a", "n": 2}),
        ("PUT", "/t/folder/async", {"id": "a", "n": 1}),
        ("POST", "/t/folder/async?x=1", {"id": "a", "n": 1}),
    ],
    ids=["body", "method", "query"],
)
async def test_other_arguments_under_a_key_are_refused(redis_url, method, path, arguments):
    """422, while it runs and after; the arguments of the first call are still served."""
    async with gateway(redis_url) as (simulator, caller):
        first = {"json": {"id": "a", "n": 1, "duration": 0.3}, "headers": KEY}
        started = await caller(**{**first, "headers": {**KEY, "Call-Mode": "async"}})
        other = {"json": {**arguments, "duration": 0.3}, "headers": KEY}
        check_problem(await caller(method, path, **other), 422, "idempotency-key-reused")
        assert (await caller(**first)).headers["Job-Id"] == started.headers["Job-Id"]
        check_problem(await caller(method, path, **other), 422, "idempotency-key-reused")
        assert simulator.counters.starts == 1


async def test_a_key_on_another_route_is_another_key(redis_url):
    """The key belongs to its route: the same words on two triggers are two jobs."""
    async with gateway(redis_url) as (simulator, caller):
        one = await caller(json={"id": "a", "duration": 0.1}, headers=KEY)
        two = await caller(path="/t/folder/async-2", json={"id": "a", "duration": 0.1}, headers=KEY)
        assert one.headers["Job-Id"] != two.headers["Job-Id"]
        assert simulator.starts_by_argument == {"a": 2}


async def test_the_call_mode_is_no_part_of_the_arguments(redis_url):
    """By header, member or path it is the same call; and a key is the same bare or quoted."""
    async with gateway(redis_url) as (simulator, caller):
        answers = [
            await caller(data='{"id":"a","duration":0.1}', headers={"Idempotency-Key": "order-1"}),
            await caller(data='{"id":"a","duration":0.1}', headers={"Idempotency-Key": '"order-1"'}),
            await caller(data='{"id":"a","duration":0.1,"$callMode":"LongPolling"}', headers=KEY),
            await caller(path="/-/call/async/t/folder/async", data='{"id":"a","duration":0.1}', headers=KEY),
        ]
        assert len({answer.headers["Job-Id"] for answer in answers}) == 1
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_call_is_the_same_under_a_changed_configuration(redis_url):
    """What the gateway makes of it, for the trigger's sake, is no part of the arguments."""
    shared, keyring = with_store(redis_url), generate()
    call = {"json": {"id": "a", "duration": 0.1}, "headers": KEY}
    async with simulated() as (simulator, origin):
        async with fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as one:
            first = await one(**call)
        long_polling = policy(upstream_mode=UpstreamMode.LONG_POLL)
        async with fronting(origin + BASE_PATH, shared=shared, keyring=keyring, policy=long_polling) as two:
            again = await two(**call)
        assert (again.status, again.headers["Job-Id"]) == (200, first.headers["Job-Id"])
        assert simulator.starts_by_argument == {"a": 1}


async def test_two_principals_do_not_share_a_key(redis_url):
    """The same key under another token is another job, and neither sees the other's."""
    call = {"json": {"id": "a", "duration": 0.1}, "headers": KEY}
    async with gateway(redis_url) as (simulator, caller), calling(caller.url, token="another") as other:
        mine, theirs = await caller(**call), await other(**call)
        assert mine.headers["Job-Id"] != theirs.headers["Job-Id"]
        assert "Idempotent-Replayed" not in theirs.headers
        assert simulator.starts_by_argument == {"a": 2}
        check_problem(await other("GET", f"/-/jobs/{mine.headers['Job-Id']}"), 404, "not-found")


def token(**claims: object) -> str:
    """Return a JWT's form, unsigned: the gateway claims nothing by itself."""
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.signature"


async def test_a_refreshed_token_attaches_once_the_upstream_has_accepted_it(redis_url):
    """Issuer and subject make the principal; a forged token with the same claims gets 403 and starts nothing."""
    old, new = token(iss="idp", sub="ann", exp=1), token(iss="idp", sub="ann", exp=2)
    forged = token(iss="idp", sub="ann", exp=3)
    call = {"json": {"id": "a", "duration": 1.0}, "headers": KEY}
    async with (
        gateway(redis_url, Settings(tokens=frozenset({old, new}))) as (simulator, caller),
        calling(caller.url, token=old) as ann,
        calling(caller.url, token=new) as refreshed,
        calling(caller.url, token=forged) as mallory,
    ):
        started = await ann(**{**call, "headers": {**KEY, "Call-Mode": "async"}})
        check_problem(await mallory(**call), 403, "credential-unproven")
        answer = await refreshed(**call)
        assert (answer.status, answer.json) == (200, {"id": "a"})
        assert answer.headers["Job-Id"] == started.headers["Job-Id"]
        check_problem(await mallory(**call), 403, "credential-unproven")
        assert simulator.starts_by_argument == {"a": 1}


async def test_fifty_identical_calls_at_once_are_one_job(redis_url):
    """On two replicas of one store: one start, fifty exact answers, one of them no replay."""
    shared, keyring = with_store(redis_url), generate()
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as one,
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as two,
        asyncio.TaskGroup() as group,
    ):
        call = {"json": {"id": "a", "duration": 0.5}, "headers": KEY}
        tasks = [group.create_task((one, two)[n % 2](**call)) for n in range(50)]
        answers = [await task for task in tasks]
        assert {(answer.status, answer.body) for answer in answers} == {(200, b'{"id":"a"}')}
        assert len({answer.headers["Job-Id"] for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_key_outlives_the_record_and_then_starts_nothing(redis_url):
    """What it stood for is over: 410 to the call and on every URL of the job, until the tombstone is gone too."""
    call = {"json": {"id": "a", "duration": 0.1}, "headers": KEY}
    short = policy(retention=400, tombstone=60_000)
    async with gateway(redis_url, policy=short) as (simulator, caller):
        first = await caller(**call)
        monitor = first.headers["Link"].partition("<")[2].partition(">")[0]

        async def over() -> Answer | None:
            answer = await caller("GET", monitor)
            return answer if answer.status != 200 else None

        check_problem(await eventually(over), 410, "job-expired")
        refused = await caller(**call)
        check_problem(refused, 410, "job-expired")
        assert refused.headers["Job-Id"] == first.headers["Job-Id"]
        bare = f"/-/jobs/{first.headers['Job-Id']}"
        async with calling(caller.url, token=None) as nobody, calling(caller.url, token="another") as another:
            for suffix in ("", "/poll", "/wait", "/result", "/events"):
                check_problem(await nobody("GET", monitor.replace("?", f"{suffix}?")), 410, "job-expired")
                check_problem(await caller("GET", bare + suffix), 410, "job-expired")
                check_problem(await another("GET", bare + suffix), 404, "not-found")
        assert simulator.starts_by_argument == {"a": 1}
