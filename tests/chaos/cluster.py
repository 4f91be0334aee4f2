"""The cluster: a real Redis, the simulator, and gateways whose ways to both can be cut one by one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from gateway.auth.keyring import generate
from tests.chaos.replica import Process
from tests.chaos.settings import WEBHOOK_SECRET, Settings, config
from tests.support.fault_proxy import FaultProxy
from tests.support.listening import free_port
from tests.support.redis_servers import RedisServer, real_redis_binary, redis_server, require


@dataclass
class Replica:
    """A gateway and its two ways out."""

    number: int
    process: Process
    to_store: FaultProxy
    to_upstream: FaultProxy

    @property
    def url(self) -> str:
        """Where its callers connect."""
        return self.process.url


@dataclass
class Cluster:
    """Everything that runs. `session` is for looking after it, and not for its callers."""

    settings: Settings
    replicas: list[Replica]
    redis: RedisServer
    simulator: Process
    session: aiohttp.ClientSession

    async def start_all(self) -> None:
        """Start every replica that does not run."""
        async with asyncio.TaskGroup() as group:
            for replica in self.replicas:
                if not replica.process.running:
                    group.create_task(replica.process.start(self.session))

    async def store_restarts(self, after: float) -> None:
        """Kill the store's server; after some seconds start it on the same append-only file."""
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(after)
        await asyncio.to_thread(self.redis.start)

    async def store_stops(self, seconds: float) -> None:
        """Pause the store's server."""
        os.kill(self.redis.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(self.redis.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Cluster]:
    """Run a cluster until the end of the block, and leave no process behind."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        )
        redis = stack.enter_context(_redis(settings))
        ports = [free_port() for _ in range(settings.replicas)]
        simulator = _simulator(settings, ports[0])
        stack.push_async_callback(simulator.kill)
        await simulator.start(session, "/_sim/counters")
        cluster = Cluster(
            settings, await _replicas(stack, settings, redis, simulator, ports), redis, simulator, session
        )
        for replica in cluster.replicas:
            stack.push_async_callback(replica.process.kill)
        await cluster.start_all()
        yield cluster


def _redis(settings: Settings) -> contextlib.AbstractContextManager[RedisServer]:
    directory = settings.directory / "redis"
    directory.mkdir()
    binary = require(real_redis_binary(), "redis-server")
    # What was acknowledged has to survive a kill -9, so `everysec` will not do.
    return redis_server(binary, directory, appendonly=True, options=("--appendfsync", "always"))


def _simulator(settings: Settings, hooked: int) -> Process:
    """Return the simulator, which tells the replica on the port `hooked` of its jobs, as far as that one listens."""
    port = free_port()
    arguments = (
        "-m", "gateway", "simulate", "--listen", f"127.0.0.1:{port}", "--leg", "1.5",
        "--webhook", f"http://127.0.0.1:{hooked}/-/hooks/orchestrator", "--webhook-secret", WEBHOOK_SECRET,
    )  # fmt: skip
    return Process("simulator", arguments, port, settings.directory / "simulator.log", {})


async def _replicas(
    stack: contextlib.AsyncExitStack, settings: Settings, redis: RedisServer, simulator: Process, ports: list[int]
) -> list[Replica]:
    ways = [
        (
            await stack.enter_async_context(FaultProxy(redis.port)),
            await stack.enter_async_context(FaultProxy(simulator.port)),
        )
        for _ in ports
    ]
    upstreams = [to_upstream.port for _, to_upstream in ways]
    env = {"CALLMODE_KEYRING": generate()}
    replicas = []
    for number, (port, (to_store, to_upstream)) in enumerate(zip(ports, ways, strict=True)):
        file = settings.directory / f"replica-{number}.yaml"
        file.write_text(
            config(settings, listen=port, store=to_store.port, upstream=to_upstream.port, upstreams=upstreams)
        )
        process = Process(
            f"replica {number}",
            (*_program(settings), "serve", str(file)),
            port,
            settings.directory / f"replica-{number}.log",
            env,
        )
        replicas.append(Replica(number, process, to_store, to_upstream))
    return replicas


def _program(settings: Settings) -> tuple[str, ...]:
    if not settings.patches:
        return ("-m", "gateway")
    return ("-m", "tests.support.failing_gateway", *(part for patch in settings.patches for part in ("--patch", patch)))
