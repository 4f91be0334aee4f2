"""Replicas of the gateway: processes over one real store, before one simulator in this process, each at its own port.

    async with replicas(redis_url, tmp_path, count=3) as it:
        started = await it[0].caller(json={"id": "a", "duration": 1.0}, headers={"Call-Mode": "async"})
        await it[0].kill()
        answer = await it[1].caller("GET", it[1].here(started.headers["Location"]))

A replica keeps its port over restarts. At the end of the block all are ended; a defect in any log fails the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio

from gateway.auth.keyring import generate
from gateway.simulator import Settings, Simulator
from tests.e2e.support import Caller, calling, eventually
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, GatewayProcess, simulated, with_store

LEASE = 2.0
"""Seconds; short, so that a test of what happens after it takes no longer."""


class Replica:
    """One gateway, in whichever process it lives now."""

    def __init__(self, config: Path, keyring: str, store: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.caller: Caller
        """A client of this replica alone."""
        self._arguments = ("serve", str(config), "--listen", f"127.0.0.1:{self.port}", "--admin", "off")
        if store is not None:
            self._arguments += ("--store", store)
        self._env = {"CALLMODE_KEYRING": keyring}
        self.lives: list[GatewayProcess] = []

    async def start(self, *patches: str, env: Mapping[str, str] | None = None) -> None:
        """Start a process with these patches of the failing gateway, and wait until it listens."""
        self.lives.append(
            await GatewayProcess.start(*self._arguments, env={**self._env, **(env or {})}, patches=patches)
        )
        await self.process.logged("listening", port="data", timeout=40)

    @property
    def process(self) -> GatewayProcess:
        """The process it lives in now, or lived in last."""
        return self.lives[-1]

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        await self.process.kill()

    async def stop(self) -> int:
        """SIGTERM, and wait until it is gone; return its exit status."""
        return await self.process.stop()

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.process.pid, signal.SIGCONT)

    async def gone(self) -> None:
        """Wait until a process that a patch kills is gone."""
        async with asyncio.timeout(20):
            await self.process._gone()

    async def paused(self) -> None:
        """Wait until a process that a patch stops is stopped."""

        async def stopped() -> bool:
            return _state(self.process.pid) == "T"

        await eventually(stopped)

    def here(self, url: str) -> str:
        """Return the same URL of a job, at this replica."""
        return f"{self.url}/-/{url.split('/-/', 1)[1]}"

    def told(self, what: str) -> list[str]:
        """Return the jobs that the log of this life says `what` of, in order."""
        return [line["job"] for line in self.process.log if line.get("what") == what]

    async def ready(self) -> bool:
        """Whether its readiness says so."""
        return (await self.caller("GET", "/-/readyz")).status == 200

    async def running(self, count: int = 1) -> list[str]:
        """Wait until `count` jobs were started here, and the store knows of all how to go on; return their ids."""

        async def look() -> list[str]:
            ids = self.told("Followed")
            if len(ids) < count:
                return []
            views = await asyncio.gather(*(self.caller("GET", f"/-/jobs/{job_id}") for job_id in ids))
            return ids if all(view.json["status"] not in {"accepted", "starting"} for view in views) else []

        return await eventually(look)


def _state(pid: int) -> str:
    """Return the state of a process as Linux has it: R runs, S sleeps, T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@dataclass
class Replicas:
    """All of them, and what they share."""

    simulator: Simulator
    store: redis.asyncio.Redis
    """A client of the store, to look and to meddle."""
    prefix: str
    each: list[Replica] = field(default_factory=list)

    def __getitem__(self, n: int) -> Replica:
        return self.each[n]

    async def living(self) -> list[str]:
        """Return every incarnation whose lease has not run out."""
        seconds, micros = await self.store.time()
        now = seconds * 1000 + micros // 1000
        return [name.decode() for name in await self.store.zrangebyscore(f"{self.prefix}:replicas", now, "+inf")]

    async def follower(self, job_id: str) -> str:
        """Return the incarnation that the store says follows a job."""
        return (await self.record(job_id))[b"fol"].decode()

    async def record(self, job_id: str) -> dict[bytes, bytes]:
        """Return all that the store has of a job."""
        async for key in self.store.scan_iter(match=f"{self.prefix}:*:job:{job_id}", count=10_000):
            return await self.store.hgetall(key)
        raise AssertionError(f"the store has no job {job_id}")

    async def followed_by(self, incarnation: str) -> set[str]:
        """Return the jobs and deliveries that the store says an incarnation follows."""
        found: set[str] = set()
        async for key in self.store.scan_iter(match=f"{self.prefix}:*:followed:{incarnation}", count=10_000):
            found |= {row.decode() for row in await self.store.smembers(key)}
        return found

    async def taken_over(self, dead: str) -> float:
        """Wait until nothing is followed by `dead` any more; return the loop time."""
        async with asyncio.timeout(10 * LEASE):
            while await self.followed_by(dead):  # noqa: ASYNC110 - another process sets no event here
                await asyncio.sleep(0.005)
        return asyncio.get_running_loop().time()


def outcome_of(tag: str) -> bytes:
    """Return the bytes that the simulator's job with this tag ends with."""
    return json.dumps({"id": tag}, separators=(",", ":")).encode()


@contextlib.asynccontextmanager
async def replicas(
    redis_url: str,
    directory: Path,
    *,
    count: int = 3,
    simulator: Settings | None = None,
    patches: Mapping[int, Sequence[str]] | None = None,
    env: Mapping[int, Mapping[str, str]] | None = None,
    lease: float = LEASE,
    timeout: str = "1900ms",
    urls: Mapping[int, str] | None = None,
    store_settings: str = "",
    upstream_settings: str = "",
    settings: str = "",
) -> AsyncIterator[Replicas]:
    """Run `count` replicas. `patches`, `env`, `urls`: of single ones, by number; `urls` are their roads to the store.

    `settings` are more lines of their configuration, `store_settings` and `upstream_settings` more keys of its parts.
    """
    prefix = with_store(redis_url).prefix
    async with simulated(simulator) as (running, origin), contextlib.AsyncExitStack() as stack:
        config = directory / "replicas.yaml"
        config.write_text(
            f"upstream: {{url: {origin}{BASE_PATH}{', ' * bool(upstream_settings)}{upstream_settings}}}\n"
            f"store: {{url: '{redis_url}', prefix: {prefix}, timeout: {timeout}, lease: {round(lease * 1000)}ms"
            f"{', ' * bool(store_settings)}{store_settings}}}\n{settings}"
        )
        client = redis.asyncio.Redis.from_url(redis_url)
        stack.push_async_callback(client.aclose)
        it, keyring = Replicas(running, client, prefix), generate()
        it.each += [Replica(config, keyring, (urls or {}).get(n)) for n in range(count)]
        for replica in it.each:
            replica.caller = await stack.enter_async_context(calling(replica.url))
        stack.push_async_callback(_end, it.each)
        async with asyncio.TaskGroup() as group:
            for n, replica in enumerate(it.each):
                group.create_task(replica.start(*(patches or {}).get(n, ()), env=(env or {}).get(n)))
        yield it
        assert_sound(it)


async def _end(each: list[Replica]) -> None:
    for replica in each:
        for process in replica.lives:
            with contextlib.suppress(ProcessLookupError):
                await process.kill()


def assert_sound(it: Replicas) -> None:
    """See that no replica met a defect in any of its lives."""
    defects: list[Any] = [
        line for replica in it.each for life in replica.lives for line in life.log if line.get("event") == "defect"
    ]
    assert defects == []
