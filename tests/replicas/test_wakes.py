"""A caller on one replica, the job on another: the message that the job has ended may be lost, the answer is not."""

from __future__ import annotations

import asyncio
import statistics

from tests.e2e.support import Answer, eventually
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.replicas import Replica, Replicas, outcome_of, replicas


async def blocked(it: Replicas, replica: Replica, tag: str, duration: float) -> tuple[Answer, float]:
    """Start a job on the first replica and wait for it on another; return the answer and how long after the end."""
    begun = await it[0].caller(json={"id": tag, "duration": duration}, headers={"Call-Mode": "async"})
    answer = await replica.caller("GET", replica.here(begun.json["links"]["wait"]))
    return answer, asyncio.get_running_loop().time() - it.simulator.ended_at[tag]


async def watched(it: Replicas, job_ids: list[str]) -> None:
    """Wait until the store knows that somebody elsewhere waits for a job."""

    async def known() -> bool:
        return any([key async for key in it.store.scan_iter(match=f"{it.prefix}:*:watch:{job_ids[0]}", count=10_000)])

    await eventually(known)


async def test_a_caller_elsewhere_is_woken_by_a_message(tmp_path, redis_url):
    """It is answered as soon as one at the follower's own replica, but for a message and a read."""
    async with replicas(redis_url, tmp_path, count=2) as it:
        tags = [str(n) for n in range(10)]
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(blocked(it, it[n], f"{tag} {n}", 1.0)) for tag in tags for n in (0, 1)]
        late = [[call.result()[1] for call in calls[n::2]] for n in (0, 1)]
        assert statistics.median(late[1]) - statistics.median(late[0]) < 0.1


async def test_a_lost_message_costs_no_answer(tmp_path, redis_url):
    """The subscription is cut again and again around the end: it is renewed, and what was missed is read."""
    async with replicas(redis_url, tmp_path, count=2) as it, asyncio.TaskGroup() as group:
        call = group.create_task(blocked(it, it[1], "a", 1.0))
        await it[0].running()
        cut = 0
        while "a" not in it.simulator.ended_at:
            cut += await it.store.client_kill_filter(_type="pubsub")
            await asyncio.sleep(0.02)
        answer, late = await call
        assert cut > 0
        assert (answer.status, answer.body) == (200, outcome_of("a"))
        assert late < 1.5


async def test_a_silent_subscription_is_noticed(tmp_path, redis_url):
    """The network swallows everything between a replica and the store, while the job ends at the other one."""
    async with FaultProxy(int(redis_url.rsplit(":", 1)[1].split("/")[0])) as proxy:
        behind = redis_url.replace(redis_url.split(":")[2].split("/")[0], str(proxy.port))
        async with (
            replicas(redis_url, tmp_path, count=2, urls={1: behind}, timeout="1s") as it,
            asyncio.TaskGroup() as group,
        ):
            call = group.create_task(blocked(it, it[1], "a", 1.0))
            await watched(it, await it[0].running())
            await proxy.put(Fault.BLACK_HOLE)
            while "a" not in it.simulator.ended_at:  # noqa: ASYNC110 - the simulator has no event for it
                await asyncio.sleep(0.02)
            await asyncio.sleep(3.0)
            assert not call.done()
            await proxy.put(Fault.PASS)
            healed = asyncio.get_running_loop().time()
            answer, _ = await call
            assert (answer.status, answer.body) == (200, outcome_of("a"))
            assert asyncio.get_running_loop().time() - healed < 3.0
