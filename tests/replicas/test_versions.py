"""A rolling deploy of a version with a later record: whoever cannot read a record leaves it alone, at no cost."""

from __future__ import annotations

import asyncio

from tests.e2e.support import eventually
from tests.support.replicas import LEASE, Replica, Replicas, outcome_of, replicas

LATER, OLD = 0, (1, 2)


async def begun(replica: Replica, tag: str) -> str:
    """Start a job that runs for a while; return its id."""
    answer = await replica.caller(json={"id": tag, "duration": 3.0}, headers={"Call-Mode": "async"})
    assert answer.status == 202
    return answer.headers["Job-Id"]


async def looks(it: Replicas, seconds: float) -> int:
    """Return how often, in so many seconds, the rows of the dead were looked for, in one partition on average."""
    await it.store.config_resetstat()
    await asyncio.sleep(seconds)
    stats = await it.store.info("commandstats")
    return stats.get("cmdstat_smembers", {"calls": 0})["calls"] // 256


async def test_records_of_a_later_version_wait_for_one_that_reads_them(tmp_path, redis_url):
    """Its replica dies: the others take nothing, look seldom, and go on with their own; the next one of it does."""
    async with replicas(redis_url, tmp_path, patches={LATER: ["later-version"]}) as it:
        later, old = await begun(it[LATER], "later"), await begun(it[1], "old")
        await it[LATER].running()
        dead = await it.follower(later)
        record = await it.record(later)
        await it[LATER].kill()
        assert (await it[1].caller("GET", f"/-/jobs/{old}", params={"wait": "20"})).json["status"] == "succeeded"
        await asyncio.sleep(2 * LEASE)
        assert await it.followed_by(dead) == {later}
        assert await it.record(later) == record
        for n in OLD:
            answer = await it[n].caller("GET", f"/-/jobs/{later}")
            assert (answer.status, answer.json["retryable"]) == (503, True)
        beats = len(OLD) * 2 * LEASE / (LEASE / 4)
        assert await looks(it, 2 * LEASE) <= beats / 4

        await it[LATER].start("later-version")
        view = await it[LATER].caller("GET", f"/-/jobs/{later}", params={"wait": "20"})
        assert view.json["status"] == "succeeded"
        for job_id, tag in ((later, "later"), (old, "old")):
            assert (await it[LATER].caller("GET", f"/-/jobs/{job_id}/result")).body == outcome_of(tag)
        assert it.simulator.starts_by_argument == {"later": 1, "old": 1}


async def test_a_later_version_takes_over_from_an_earlier_one(tmp_path, redis_url):
    """That is what a rolling deploy is; what it has saved once, the earlier ones no longer touch."""
    async with replicas(redis_url, tmp_path, count=2, patches={LATER: ["later-version"]}) as it:
        job_id = await begun(it[1], "a")
        await it[1].running()
        former = await it.follower(job_id)
        await it[1].kill()
        await it.taken_over(former)

        async def succeeded() -> bool:
            return (await it[LATER].caller("GET", f"/-/jobs/{job_id}")).json["status"] == "succeeded"

        await eventually(succeeded)
        assert (await it[LATER].caller("GET", f"/-/jobs/{job_id}/result")).body == outcome_of("a")
        assert it.simulator.starts_by_argument == {"a": 1}
