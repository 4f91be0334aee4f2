"""Two workers as real processes: they share the work, and what becomes of one of them is nobody else's trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from gateway.auth.keyring import generate
from tests.support.rig import BASE_PATH, GatewayProcess, simulated
from tests.workers.support import Workers, two_workers, write

LEASE = 10.0
"""Seconds that a lease lasts by default: after what takes less, nobody has waited for one to run out."""


@pytest.fixture
async def workers(tmp_path: Path):
    """Give a gateway with two workers over an embedded store."""
    async with two_workers(tmp_path) as running:
        yield running


@pytest.mark.parametrize("connections", [64, 1000])
async def test_each_gets_its_share_of_connections(workers: Workers, connections: int):
    """Of those that are open together, one half; over any free port, whose number is in the log."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        gate = asyncio.Event()

        async def held() -> None:
            async with client.get(workers.gateway.url + "/-/healthz") as response:
                assert response.status == 200
                await gate.wait()  # Its connection is not free for another call.

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(held())
            shares = await workers.answering("/-/healthz", connections)
            gate.set()
    # One that is busy for a moment has no room, and the other gets a few more.
    assert min(shares[1], shares[2]) >= 0.45 * connections


async def test_who_comes_after_the_others_have_gone_finds_both(workers: Workers):
    """Ended connections do not count: of one call after the other, each worker gets some."""
    for _ in range(40):
        assert (await workers.call("/-/healthz", method="GET"))[0] == 200
    shares = await workers.answering("/-/healthz", 40)
    assert min(shares[1], shares[2]) >= 5


async def test_a_job_is_seen_from_both(workers: Workers):
    """Whichever worker a call comes to; the admin port answers as well."""
    status, body = await workers.call(json={"id": "a", "duration": 0.2}, headers={"Call-Mode": "async"})
    assert status == 202
    job = json.loads(body)
    path = f"/-/jobs/{job['id']}"
    for _ in range(20):
        status, body = await workers.call(path, method="GET")
        assert (status, json.loads(body)["id"]) == (200, job["id"])
    assert set(await workers.answering(path, 20)) == {1, 2}
    admin = next(line["address"] for line in workers.gateway.log if line.get("port") == "admin")
    async with workers.client.get(f"http://{admin}/readyz") as response:
        assert response.status == 200


async def test_a_killed_worker_is_replaced_and_its_jobs_go_on(workers: Workers):
    """At once, not after a lease: callers whose connection died call again, and get what their first call started."""
    before, count = workers.pids(), 12

    async def call(n: int) -> bytes:
        while True:
            try:
                status, body = await workers.call(
                    json={"id": f"job {n}", "duration": 2}, headers={"Idempotency-Key": f'"key {n}"'}
                )
            except aiohttp.ClientError:
                continue  # what the key is for
            assert status == 200
            return body

    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call(n)) for n in range(count)]
        await workers.gateway.logged_times("job", count, what="Followed")
        for line in [line for line in workers.gateway.log if line.get("what") == "Followed"]:
            await workers.runs(line["job"])
        os.kill(before[1], signal.SIGKILL)
    assert asyncio.get_running_loop().time() - began < LEASE
    assert [json.loads(task.result())["id"] for task in calls] == [f"job {n}" for n in range(count)]
    assert set(workers.simulator.starts_by_argument.values()) == {1}
    assert (await workers.gateway.logged("worker ended"))["code"] == -signal.SIGKILL
    after = await workers.serving(3)
    assert after[2] == before[2]
    assert after[1] != before[1]


async def test_reload_loses_no_call(workers: Workers, tmp_path: Path):
    """Under constant load, over kept and over new connections: none is refused, none fails, and the new file counts."""
    before, ended = workers.pids(), asyncio.Event()
    called = 0

    async def calls(client: aiohttp.ClientSession) -> None:
        nonlocal called
        while not ended.is_set():
            async with client.post(f"{workers.gateway.url}/t/folder/async", json={"id": "x", "duration": 0}) as answer:
                assert answer.status in (200, 404)
                await answer.read()
                called += 1

    async with aiohttp.ClientSession(headers=workers.client.headers) as kept, asyncio.TaskGroup() as group:
        for client in (kept, kept, kept, workers.client, workers.client, workers.client):
            group.create_task(calls(client))
        write(tmp_path, workers.upstream_url, "routes: [{path: /only, trigger: /t/folder/async}]")
        workers.gateway.send(signal.SIGHUP)
        await workers.gateway.logged("reloaded", timeout=60)
        ended.set()
    assert called > 50
    after = workers.pids()
    assert not set(before.values()) & set(after.values())
    assert (await workers.call(json={}))[0] == 404
    assert (await workers.call("/only", json={"id": "y", "duration": 0}))[0] == 200
    codes = [line["code"] for line in workers.gateway.log if line["event"] == "worker ended"]
    assert codes == [0, 0]


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("colour: red", "colour"),
        ("listen: 127.0.0.1:1\nadmin: off\nstore: {prefix: other}", "only a restart can change store.prefix"),
    ],
)
async def test_a_bad_file_changes_nothing(workers: Workers, tmp_path: Path, configuration: str, words: str):
    """It is said in the log, and the workers stay; flags win over the file as ever."""
    before = workers.pids()
    write(tmp_path, workers.upstream_url, configuration)
    workers.gateway.send(signal.SIGHUP)
    assert words in (await workers.gateway.logged("reload refused"))["error"]
    assert (await workers.call(json={"id": "z", "duration": 0}))[0] == 200
    assert workers.pids() == before


async def test_a_file_that_no_worker_can_serve_with_changes_nothing(workers: Workers, tmp_path: Path):
    """Though it reads well: the first worker that would take it does not come up, and the others stay as they were."""
    before = workers.pids()
    write(tmp_path, workers.upstream_url, f"keyring: '{generate().strip()}'")
    workers.gateway.send(signal.SIGHUP)
    assert "another keyring" in (await workers.gateway.logged("reload given up"))["error"]
    assert workers.pids() == before
    assert (await workers.call(json={"id": "z", "duration": 0}))[0] == 200


async def test_a_stop_tells_those_who_wait(tmp_path: Path):
    """On both workers they learn where their job is; then all is gone, and well."""
    async with two_workers(tmp_path, configuration="drain: 4s") as workers, asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(workers.call(json={"id": f"long {n}", "duration": 60}, headers={"Prefer": "wait=50"}))
            for n in range(6)
        ]
        await workers.gateway.logged_times("job", 6, what="Followed")
        assert await workers.gateway.stop() == 0
        for task in waiting:
            status, body = await task
            assert status == 504
            assert "/-/jobs/" in json.loads(body)["monitor"]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_second_signal_hurries(tmp_path: Path, count: int):
    """Those who wait are told at once, though the drain would give their jobs a minute; of one process as well."""
    async with (
        two_workers(tmp_path, configuration="drain: 60s", count=count) as workers,
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(workers.call(json={"id": "long", "duration": 60}))
        await workers.gateway.logged("job", what="Followed")
        workers.gateway.send(signal.SIGTERM)
        await workers.gateway.logged_times("draining", count)
        workers.gateway.send(signal.SIGTERM)
        assert await workers.gateway.ended(timeout=20) == 0
        assert (await waiting)[0] == 504


async def test_with_a_killed_parent_all_is_gone(tmp_path: Path):
    """Workers, like the store's server, end with it; a new gateway goes on with the jobs."""
    async with two_workers(tmp_path) as workers:
        headers = {"Idempotency-Key": '"k"', "Call-Mode": "async"}
        assert (await workers.call(json={"id": "a", "duration": 1}, headers=headers))[0] == 202
        await workers.gateway.logged("job", what="Followed")
        await workers.gateway.kill()  # It returns when nobody has its log open any more.
        again = await GatewayProcess.serve(
            workers.upstream_url, tmp_path / "data", str(tmp_path / "gateway.yaml"), "--workers", "2"
        )
        workers.gateway = again
        status, body = await workers.call(json={"id": "a", "duration": 1}, headers={"Idempotency-Key": '"k"'})
        assert (status, json.loads(body)["id"]) == (200, "a")
        assert workers.simulator.starts_by_argument == {"a": 1}


async def test_over_a_shared_store_workers_without_a_parent_drain(tmp_path: Path, redis_url: str):
    """They are replicas like others: who waits is told where the job is, and then they end."""
    async with simulated() as (_, origin):
        upstream_url = origin + BASE_PATH
        write(tmp_path, upstream_url, f"drain: 4s\ndrain_notice: 0s\nkeyring: '{generate().strip()}'")
        gateway = await GatewayProcess.start(
            "serve", str(tmp_path / "gateway.yaml"), "--workers", "2", "--store", redis_url,
            "--listen", "127.0.0.1:0", "--admin", "off",
        )  # fmt: skip
        await gateway.logged("listening", port="data")
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as client, asyncio.TaskGroup() as group:
            workers = Workers(gateway, None, upstream_url, client)
            await workers.serving(2)
            waiting = group.create_task(workers.call(json={"id": "long", "duration": 60}))
            await gateway.logged("job", what="Followed")
            await gateway.kill()
            assert (await waiting)[0] == 504
        assert sum(line["event"] == "the parent is gone" for line in gateway.log) == 2


class TestAtTheStart:
    """What keeps the first worker from serving keeps the gateway from it: one line, exit 1."""

    async def test_a_store_that_is_not_there(self, tmp_path: Path):
        """It is the worker that looks for it."""
        write(tmp_path, "http://127.0.0.1:1", f"keyring: '{generate().strip()}'\nlisten: 127.0.0.1:0\nadmin: off")
        gateway = await GatewayProcess.start(
            "serve", str(tmp_path / "gateway.yaml"), "--workers", "2", "--store", "redis://127.0.0.1:1/0"
        )
        assert await gateway.ended() == 1
        assert "the store cannot be reached" in gateway.log[-1]["event"]

    async def test_a_port_that_is_taken(self, workers: Workers, tmp_path: Path):
        """It is told before anything is started."""
        taken = workers.gateway.url.removeprefix("http://")
        gateway = await GatewayProcess.start(
            "serve", "--upstream", workers.upstream_url, "--workers", "2", "--data-dir", str(tmp_path / "other"),
            "--admin", "off", "--listen", taken,
        )  # fmt: skip
        assert await gateway.ended() == 1
        assert len(gateway.log) == 1
        assert f"cannot listen on {taken}" in gateway.log[0]["event"]
