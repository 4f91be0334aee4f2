"""A replica that dies or goes: its jobs go on at the others, within a lease time or at once, and start only once."""

from __future__ import annotations

import asyncio

from gateway.simulator import Settings
from tests.support.replicas import LEASE, Replicas, outcome_of, replicas

MANY = 20

BUSY = 0.5
"""Seconds that a process may wait for its turn on a machine that does other things as well."""


async def started(it: Replicas) -> list[str]:
    """Start many jobs on the first replica, and wait until they run; return their ids, in the order of their tags."""
    answers = await asyncio.gather(
        *(
            it[0].caller(json={"id": str(n), "duration": 4.0}, headers={"Call-Mode": "async"})
            for n in range(MANY)
        )
    )  # fmt: skip
    await it[0].running(MANY)
    return [answer.headers["Job-Id"] for answer in answers]


async def end_exactly(it: Replicas, ids: list[str]) -> None:
    """See that all jobs end as they should, and that both who are left say so."""
    for n, job_id in enumerate(ids):
        view = await it[1].caller("GET", f"/-/jobs/{job_id}", params={"wait": "20"})
        assert view.json["status"] == "succeeded"
        bodies = [(await it[k].caller("GET", f"/-/jobs/{job_id}/result")).body for k in (1, 2)]
        assert bodies == [outcome_of(str(n))] * 2
    assert it.simulator.starts_by_argument == {str(n): 1 for n in range(MANY)}


async def test_the_jobs_of_a_killed_replica_are_taken_over_within_a_lease_time(tmp_path, redis_url):
    """From the death to the last job's new follower; each ends exactly, started once."""
    async with replicas(redis_url, tmp_path) as it:
        ids = await started(it)
        dead = await it.follower(ids[0])
        await it[0].kill()
        died = asyncio.get_running_loop().time()
        assert await it.taken_over(dead) - died <= LEASE + BUSY
        await end_exactly(it, ids)


async def test_the_jobs_of_a_stopped_replica_are_taken_over_at_once(tmp_path, redis_url):
    """SIGTERM: they have a new follower by the time that the process is gone, whatever the length of a lease."""
    async with replicas(redis_url, tmp_path, lease=10 * LEASE, settings="drain: 1s\n") as it:
        ids = await started(it)
        dead = await it.follower(ids[0])
        assert await it[0].stop() == 0
        gone = asyncio.get_running_loop().time()
        assert await it.taken_over(dead) - gone < 0.5
        await end_exactly(it, ids)


async def test_a_caller_of_a_survivor_does_not_notice_a_death(tmp_path, redis_url):
    """Blocked there on the dead one's job, it gets the outcome when the job ends."""
    async with replicas(redis_url, tmp_path) as it:
        begun = await it[0].caller(json={"id": "a", "duration": 4.0}, headers={"Call-Mode": "async"})
        await it[0].running()
        async with asyncio.TaskGroup() as group:
            waiting = [
                group.create_task(it[n].caller("GET", it[n].here(begun.json["links"]["wait"]))) for n in (1, 2)
            ]  # fmt: skip
            await it[0].kill()
        late = asyncio.get_running_loop().time() - it.simulator.ended_at["a"]
        assert [(answer.result().status, answer.result().body) for answer in waiting] == [(200, outcome_of("a"))] * 2
        assert late < 1.5


async def test_a_cancel_outlives_the_follower(tmp_path, redis_url):
    """Asked for elsewhere when the follower is dead and nobody knows it yet: whoever takes the job over has it done."""
    settings = "routes: [{path: /add, upstream_mode: Jobs, process: add, folder: Shared}]\n"
    quick = {"simulator": Settings(stop_delay=0.1), "upstream_settings": "jobs_api: on", "settings": settings}
    async with replicas(redis_url, tmp_path, **quick) as it:
        begun = await it[0].caller(path="/add", json={"id": "a", "duration": 60}, headers={"Call-Mode": "async"})
        (job_id,) = await it[0].running()
        await it[0].kill()
        asked = await it[1].caller("POST", f"/-/jobs/{job_id}/cancel")
        assert asked.status == 202
        outcome = await it[2].caller("GET", it[2].here(begun.json["links"]["wait"]))
        assert outcome.headers["Job-Status"] == "canceled"
        assert it.simulator.starts_by_argument == {"a": 1}
