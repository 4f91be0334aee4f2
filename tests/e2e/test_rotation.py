"""A new key on top of the keyring: what was before goes on, and is recognised."""

from __future__ import annotations

import asyncio

import pytest

from gateway.auth.keyring import KeyringError, generate
from tests.e2e.support import Answer, check_problem, eventually, fronting
from tests.support.rig import BASE_PATH, simulated, with_store

KEY = {"Idempotency-Key": "order-1"}
BOTH = pytest.mark.parametrize("bearer", [None, "of-the-gateway"], ids=["pass-through", "own credential"])


@BOTH
async def test_a_repeated_call_attaches_across_a_rotation(redis_url, bearer):
    """One key, one start, whichever key of the ring hashed it; other arguments are still refused."""
    shared, old = with_store(redis_url), generate()
    call = {"json": {"id": "a", "duration": 0.1}, "headers": KEY}
    async with simulated() as (simulator, origin):
        upstream = origin + BASE_PATH
        async with fronting(upstream, shared=shared, keyring=old, bearer=bearer) as one:
            first = await one(**call)
        async with fronting(upstream, shared=shared, keyring=generate() + old, bearer=bearer) as two:
            again = await two(**call)
            assert (again.status, again.body) == (first.status, first.body)
            assert again.headers["Job-Id"] == first.headers["Job-Id"]
            assert again.headers["Idempotent-Replayed"] == "true"
            other = await two(json={"id": "a", "duration": 0.2}, headers=KEY)
            check_problem(other, 422, "idempotency-key-reused")
        assert simulator.starts_by_argument == {"a": 1}


@BOTH
async def test_a_job_goes_on_across_a_rotation(redis_url, bearer):
    """It is followed to its end, and its owner reads it by its old links and without any."""
    shared, old = with_store(redis_url), generate()
    async with simulated() as (simulator, origin):
        upstream = origin + BASE_PATH
        async with fronting(upstream, shared=shared, keyring=old, bearer=bearer) as one:
            started = await one(json={"id": "a", "duration": 1.0}, headers={"Call-Mode": "async"})
        async with fronting(upstream, shared=shared, keyring=generate() + old, bearer=bearer) as two:
            link = "/" + started.headers["Location"].split("/", 3)[3]
            bare = f"/-/jobs/{started.headers['Job-Id']}"
            assert {(await two("GET", url)).status for url in (link, bare)} == {200}

            async def ended() -> Answer | None:
                answer = await two("GET", f"{bare}/result")
                return None if answer.status == 409 else answer

            assert (await eventually(ended)).json == {"id": "a"}
        assert simulator.starts_by_argument == {"a": 1}


async def test_calls_at_once_after_a_rotation_are_one_job(redis_url):
    """The look at older keys comes before the new one is taken, and takes nothing by itself."""
    shared, old = with_store(redis_url), generate()
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=shared, keyring=generate() + old) as caller,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(caller(json={"id": "a", "duration": 0.2}, headers=KEY)) for _ in range(10)]
        answers = [await task for task in tasks]
        assert len({answer.headers["Job-Id"] for answer in answers}) == 1
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_keyring_that_knows_nothing_of_the_store_is_refused(redis_url):
    """Under it running jobs would be lost and repeated calls would start anew: better no gateway than that one."""
    shared = with_store(redis_url)
    async with simulated() as (_, origin):
        async with fronting(origin + BASE_PATH, shared=shared):
            pass
        with pytest.raises(KeyringError, match="another keyring"):
            async with fronting(origin + BASE_PATH, shared=shared):
                pass
