"""What following costs the store while nothing happens: one call a heartbeat and replica, however many the jobs."""

from __future__ import annotations

import asyncio

from tests.support.replicas import LEASE, Replicas, replicas

REPLICAS = 2
JOBS = 1_000
WINDOW = 4.0

IN_SCRIPTS = {"time", "zscore", "zadd", "zcount", "pexpire", "zrangebyscore"}
"""What the script of a heartbeat calls, which Redis counts as well."""


async def calls(it: Replicas) -> dict[str, int]:
    """Return how often each command was called since the last reset."""
    told = await it.store.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in told.items()}


async def idle_traffic(it: Replicas) -> dict[str, int]:
    """Return the commands of a window in which nobody asks for anything."""
    await it.store.config_resetstat()
    await asyncio.sleep(WINDOW)
    seen = await calls(it)
    return {name: count for name, count in seen.items() if name not in {"config|resetstat", "info"} | IN_SCRIPTS}


async def test_idle_following_costs_one_call_a_heartbeat(tmp_path, redis_url):
    """A thousand running jobs, none of them due: as much as with none."""
    # Nor is asked, a second after a route's first job, how long its jobs take.
    settings = "defaults: {poll_floor: 10m, poll_ceiling: 10m, learn: off}\n"
    async with replicas(redis_url, tmp_path, count=REPLICAS, timeout="1s", settings=settings) as it:
        room = asyncio.Semaphore(50)

        async def start(n: int) -> int:
            async with room:
                caller = it[n % REPLICAS].caller
                return (await caller(json={"id": str(n), "duration": 600}, headers={"Call-Mode": "async"})).status

        assert set(await asyncio.gather(*(start(n) for n in range(JOBS)))) == {202}
        seen = await idle_traffic(it)
        beats = seen.pop("evalsha")
        # Each listener asks, after a silence as long as the store's timeout, whether it is still heard.
        assert seen.pop("ping") <= REPLICAS * (WINDOW / 1.0 + 1)
        assert seen == {}
        assert beats <= REPLICAS * (WINDOW / (LEASE / 4) + 1)
        assert it.simulator.counters.starts == JOBS
