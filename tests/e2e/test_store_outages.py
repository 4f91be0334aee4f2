"""The store fails in every way that servers have: no job is promised, none in flight is lost, nothing starts twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from gateway.auth.keyring import generate
from gateway.core.job import Job, State
from gateway.simulator import Simulator
from gateway.store.port import StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.e2e.support import Answer, Caller, calling, eventually, fronting
from tests.support.redis_servers import RedisServer, real_redis_binary, redis_server, require
from tests.support.rig import BASE_PATH, rig, simulated, with_store
from tests.support.store_topologies import (
    ask,
    cluster,
    cluster_url,
    field,
    in_step,
    replicated,
    sentinel_url,
    until,
    watched_by_sentinels,
)

MODES = ("sync", "async", "long-poll", "forget")
USER = "callmode"
QUICK = {"timeout": 300, "lease": 1_500}
"""Outages here last longer than a lease: what lives on must come back from having been given up."""

AS_INSTALLED = {name: getattr(StoreSettings(), name) for name in QUICK}


class Stage:
    """A gateway, two of its jobs, and what they may not suffer."""

    def __init__(self, caller: Caller, simulator: Simulator, settings: StoreSettings) -> None:
        self._caller = caller
        self._simulator = simulator
        self._settings = settings
        self._named: list[str] = []
        """Jobs of which refused callers were told that the store may have them."""

    async def begin(self) -> None:
        """Start a job that a caller waits for, and one that its caller will ask for."""
        self._waiting = asyncio.ensure_future(self._call("waited for", "sync", duration=1.0))
        accepted = await self._call("asked for", "async", duration=1.0)
        self._asked_for = accepted.headers["Job-Id"]

        async def both_run() -> bool:
            return [job.state for job in await self.stored()] == [State.RUNNING] * 2

        await eventually(both_run)

    async def refuses(self) -> None:
        """Check that no new job is taken, in any mode, and that none is started."""
        started = dict(self._simulator.starts_by_argument)
        for answer in await asyncio.gather(*(self._call(f"refused {mode}", mode) for mode in MODES)):
            assert (answer.status, answer.problem) == (503, "store-unavailable"), answer.body
            assert answer.headers["Retry-After"]
            assert answer.json["retryable"] is ("jobId" not in answer.json)
            if not answer.json["retryable"]:
                assert answer.json["monitor"].endswith(answer.headers["Job-Id"])
                self._named.append(answer.headers["Job-Id"])
        assert self._simulator.starts_by_argument == started

    async def answers_who_waits(self) -> None:
        """Check that the blocked caller gets its outcome, whatever the store does."""
        answer = await self._waiting
        assert (answer.status, answer.json["id"]) == (200, "waited for")

    async def turns(self, *, ready: bool) -> None:
        """Wait until readiness says so."""

        async def said() -> bool:
            return ((await self._caller("GET", "/-/readyz")).status == 200) is ready

        await eventually(said)

    async def recovers(self) -> None:
        """Check that new jobs are taken, that what ran is saved with its outcome, and what was refused never ran."""
        await self.turns(ready=True)
        assert (await eventually(self._taken)).json["id"] == "after"
        view = (await self._caller("GET", f"/-/jobs/{self._asked_for}", params={"wait": "20"})).json
        assert view["status"] == "succeeded", view
        assert (await self._caller("GET", view["resultUrl"])).json["id"] == "asked for"
        await eventually(self._all_saved)
        for job_id in self._named:
            told = await self._caller("GET", f"/-/jobs/{job_id}")
            assert told.status == 404 or told.json["error"] == "store-unavailable", told.body
        assert self._simulator.starts_by_argument == {"waited for": 1, "asked for": 1, "after": 1}

    async def _taken(self) -> Answer | None:
        answer = await self._call("after", "sync")
        return answer if answer.status == 200 else None

    async def _all_saved(self) -> bool:
        """Jobs that were refused, and created all the same, are disowned: they have ended, and not well."""
        states = [job.state for job in await self.stored()]
        return states.count(State.SUCCEEDED) == 3 and all(state.terminal for state in states)

    def holder_of_leases(self) -> int:
        """Return which primary of a Cluster has the leases."""
        return key_slot(f"{self._settings.prefix}:replicas".encode()) * 3 // 16384

    async def stored(self) -> list[Job]:
        """Return every job that the store has; none while it does not say."""
        store = connect(self._settings, self._settings.url)
        try:
            with contextlib.suppress(StoreDown):
                ids = [
                    key.decode().rpartition(":")[2]
                    for server in await store._servers.primaries()
                    for key in await server.execute("KEYS", f"{self._settings.prefix}:*:job:*")
                ]
                return [job for job in [await store.read(job_id) for job_id in ids] if isinstance(job, Job)]
            return []
        finally:
            await store.close()

    async def _call(self, name: str, mode: str, *, duration: float = 0.0) -> Answer:
        return await self._caller.start(json={"id": name, "duration": duration}, headers={"Call-Mode": mode})


@contextlib.asynccontextmanager
async def stage(url: str, **settings: Any) -> AsyncIterator[Stage]:
    """Run a gateway over the store at `url`, its two jobs running."""
    shared = with_store(url, **(QUICK | settings))
    async with rig(shared=shared) as running, calling(running.url) as caller:
        staged = Stage(caller, running.simulator, shared)
        await staged.begin()
        yield staged


@contextlib.contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """Kill -9; its data is on disk."""
    server.kill()
    yield
    server.start()


@contextlib.contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """It accepts connections and says nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def commands(begin: tuple[str, ...], end: tuple[str, ...]) -> Callable[[RedisServer], AbstractContextManager[None]]:
    """Return an outage that one command begins and another ends."""

    @contextlib.contextmanager
    def outage(server: RedisServer) -> Iterator[None]:
        ask(server, *begin)
        yield
        ask(server, *end)

    return outage


@contextlib.contextmanager
def unable_to_dump(server: RedisServer) -> Iterator[None]:
    """A snapshot that failed stops a server with snapshots from taking writes (MISCONF)."""
    (server.directory / "dump.rdb").mkdir()
    ask(server, "CONFIG", "SET", "save", "3600 1")
    ask(server, "BGSAVE")
    until(lambda: field(server, "persistence", "rdb_last_bgsave_status") == "err", "a snapshot that failed")
    yield
    ask(server, "CONFIG", "SET", "save", "")


@contextlib.contextmanager
def losing_connections(server: RedisServer) -> Iterator[None]:
    """Nobody gets in any more, and who was in is thrown out."""
    ask(server, "ACL", "SETUSER", USER, "off")
    ask(server, "CLIENT", "KILL", "USER", USER)
    yield
    ask(server, "ACL", "SETUSER", USER, "on")


OUTAGES: dict[str, Callable[[RedisServer], AbstractContextManager[None]]] = {
    "stopped": stopped,
    "paused for writes": commands(("CLIENT", "PAUSE", "60000", "WRITE"), ("CLIENT", "UNPAUSE")),
    "demoted": commands(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "without replicas to write to": commands(
        ("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")
    ),
    "without rights": commands(("ACL", "SETUSER", USER, "-@all"), ("ACL", "SETUSER", USER, "+@all")),
    "losing connections": losing_connections,
    "unable to dump": unable_to_dump,
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a user of its own for the gateway, so that tests have a way in that is not the gateway's."""
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path, appendonly=True) as running:
        ask(running, "ACL", "SETUSER", USER, "on", ">secret", "~*", "&*", "+@all")
        ask(running, "CONFIG", "SET", "appendfsync", "always")
        yield running


def gateways_url(server: RedisServer) -> str:
    """Return the URL in that user's name."""
    return server.url.replace("redis://", f"redis://{USER}:secret@")


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage(server, name):
    """Longer than a lease: see `Stage` for what must hold in it and after it."""
    async with stage(gateways_url(server)) as staged:
        with OUTAGES[name](server):
            await staged.refuses()
            await staged.answers_who_waits()
            await staged.turns(ready=False)
            await asyncio.sleep(QUICK["lease"] / 1000)
            await staged.refuses()
        await staged.recovers()


async def test_thirty_seconds_as_installed(server):
    """With the time-outs that a gateway has by itself: three leases in which the server says nothing."""
    async with stage(gateways_url(server), **AS_INSTALLED) as staged:
        with stopped(server):
            over = asyncio.get_running_loop().time() + 30
            await staged.answers_who_waits()
            await staged.refuses()
            await staged.turns(ready=False)
            await asyncio.sleep(over - asyncio.get_running_loop().time())
        await staged.recovers()


async def test_a_server_that_is_killed(tmp_path):
    """And comes back with what it had on disk."""
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path, appendonly=True) as server:
        async with stage(server.url) as staged:
            with killed(server):
                await staged.refuses()
                await staged.answers_who_waits()
                await staged.turns(ready=False)
            await staged.recovers()


async def test_a_server_that_forgets_scripts_and_connections(server):
    """Is no outage: nobody notices."""
    async with stage(gateways_url(server)) as staged:
        for _ in range(10):
            ask(server, "SCRIPT", "FLUSH")
            ask(server, "CLIENT", "KILL", "USER", USER)
            await asyncio.sleep(0.05)
        await staged.answers_who_waits()
        await staged.recovers()


async def test_a_server_that_was_emptied(server):
    """Leases went as well: each follower puts its jobs back, and who waits for one elsewhere finds it again."""
    shared, keyring = with_store(gateways_url(server), **QUICK), generate()
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as here,
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as there,
    ):
        accepted = await here.start(json={"id": "a", "duration": 6}, headers={"Call-Mode": "async"})
        job_id = accepted.headers["Job-Id"]
        waiting = asyncio.create_task(there("GET", f"/-/jobs/{job_id}", params={"wait": "20"}))
        await asyncio.sleep(1)
        ask(server, "FLUSHALL")
        await asyncio.sleep(3)
        assert (await there("GET", f"/-/jobs/{job_id}")).json["status"] == "running"
        assert (await waiting).json["status"] == "succeeded"
        result = await there("GET", f"/-/jobs/{job_id}/result")
        assert (result.status, result.json["id"]) == (200, "a")
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_full_server(server):
    """Takes no new job; those that run end, and are saved, while it is full."""
    async with stage(gateways_url(server)) as staged:
        ask(server, "CONFIG", "SET", "maxmemory", 1)
        await staged.refuses()
        await staged.answers_who_waits()

        async def ended() -> bool:
            return [job.state for job in await staged.stored()] == [State.SUCCEEDED] * 2

        await eventually(ended)
        await staged.turns(ready=True)
        ask(server, "CONFIG", "SET", "maxmemory", 0)
        await staged.recovers()


async def test_too_few_replicas_that_acknowledge(tmp_path):
    """Nothing new; callers get what ran meanwhile; and all is there once the replica is."""
    with replicated(require(real_redis_binary(), "redis-server"), tmp_path) as servers:
        async with stage(servers[0].url, wait_replicas=1, wait_timeout=200) as staged:
            with stopped(servers[1]):
                await staged.refuses()
                await staged.answers_who_waits()
            await staged.recovers()


async def test_a_failover_by_sentinels(tmp_path):
    """Costs refusals for as long as it takes, and no job."""
    binary = require(real_redis_binary(), "redis-server")
    with replicated(binary, tmp_path) as servers, watched_by_sentinels(binary, tmp_path, servers[0]) as sentinels:
        async with stage(sentinel_url(sentinels)) as staged:
            await in_step(*servers)
            servers[0].kill()
            await staged.refuses()
            await staged.answers_who_waits()
            await staged.recovers()


async def test_a_failover_in_a_cluster(tmp_path):
    """The same, of any of its nodes; here of the one that the leases are on."""
    with cluster(require(real_redis_binary(), "redis-server"), tmp_path, replicas=1) as nodes:
        async with stage(cluster_url(nodes)) as staged:
            holder = staged.holder_of_leases()
            await asyncio.gather(*(in_step(*pair) for pair in zip(nodes[:3], nodes[3:], strict=True)))
            nodes[holder].kill()
            await staged.answers_who_waits()
            await staged.recovers()
