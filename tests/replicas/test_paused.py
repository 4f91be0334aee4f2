"""A replica that is paused for longer than its lease and wakes up: it changes nothing, its callers are answered."""

from __future__ import annotations

import asyncio

from tests.e2e.support import Answer, eventually
from tests.support.replicas import LEASE, Replicas, outcome_of, replicas

MODES = ("sync", "async", "long-poll", "forget", "stream")


async def follow(it: Replicas, answer: Answer) -> Answer:
    """Follow a caller's redirects, at the replica that gave them."""
    while answer.status == 303:
        answer = await it[0].caller("GET", answer.headers["Location"])
    return answer


async def results(it: Replicas, job_id: str) -> list[tuple[int, bytes]]:
    """Return what each replica says a job's outcome is."""
    answers = [await replica.caller("GET", f"/-/jobs/{job_id}/result") for replica in it.each]
    return [(answer.status, answer.body) for answer in answers]


async def back_under_a_new_name(it: Replicas, former: str) -> None:
    """Wait until the one that was paused lives again, as somebody else than it was."""

    async def back() -> bool:
        living = await it.living()
        return former not in living and len(living) == len(it.each) and await it[0].ready()

    await eventually(back)


async def test_an_outcome_in_a_paused_hand_is_not_written_over_anothers(tmp_path, redis_url):
    """It had read the outcome, and wakes up when another has long saved it: the record stays as it is."""
    async with replicas(redis_url, tmp_path, patches={0: ["stop@before-end"]}) as it, asyncio.TaskGroup() as group:
        call = group.create_task(it[0].caller(json={"id": "a", "duration": 0.3}))
        await it[0].paused()
        (job_id,) = it[0].told("Followed")
        former = await it.follower(job_id)
        view = await it[1].caller("GET", f"/-/jobs/{job_id}", params={"wait": "20"})
        assert view.json["status"] == "succeeded"
        ended = await it.record(job_id)
        it[0].resume()
        answer = await call
        assert (answer.status, answer.body) == (200, outcome_of("a"))
        await back_under_a_new_name(it, former)
        assert await it.record(job_id) == ended
        assert await results(it, job_id) == [(200, outcome_of("a"))] * 3
        assert it.simulator.starts_by_argument == {"a": 1}


async def test_a_start_in_a_paused_hand_is_in_doubt_and_never_sent(tmp_path, redis_url):
    """Its intent was saved: who took the job over cannot know more, and says so; who wakes up does not send it late."""
    async with replicas(redis_url, tmp_path, patches={0: ["stop@after-intent"]}) as it, asyncio.TaskGroup() as group:
        call = group.create_task(it[0].caller(json={"id": "a", "duration": 0.3}, headers={"Idempotency-Key": "k"}))
        await it[0].paused()
        told = await it[1].caller(json={"id": "a", "duration": 0.3}, headers={"Idempotency-Key": "k"})
        assert (told.status, told.problem) == (502, "upstream-ambiguous")
        job_id = told.headers["Job-Id"]
        it[0].resume()
        answer = await call
        assert (answer.status, answer.problem) == (502, "upstream-ambiguous")
        assert [status for status, _ in await results(it, job_id)] == [502] * 3
        assert it.simulator.starts_by_argument == {}


async def test_callers_of_a_paused_replica_are_answered_when_it_wakes_up(tmp_path, redis_url):
    """In every mode, of jobs that ended elsewhere meanwhile and of jobs that still run; all start once."""
    jobs = {f"{mode} {duration}": (mode, duration) for mode in MODES for duration in (1.0, 5.0)}

    async def call(tag: str) -> Answer:
        mode, duration = jobs[tag]
        return await follow(
            it,
            await it[0].caller(
                json={"id": tag, "duration": duration}, headers={"Call-Mode": mode, "Idempotency-Key": tag}
            ),
        )

    async with replicas(redis_url, tmp_path) as it, asyncio.TaskGroup() as group:
        calls = {tag: group.create_task(call(tag)) for tag in jobs}
        ids = await it[0].running(len(jobs))
        former = await it.follower(ids[0])
        it[0].pause()
        await it.taken_over(former)
        await asyncio.sleep(LEASE)
        it[0].resume()
        await back_under_a_new_name(it, former)
        for tag in jobs:
            read = await follow(
                it,
                await it[1].caller(json={"id": tag, "duration": jobs[tag][1]}, headers={"Idempotency-Key": tag}),
            )
            assert (read.status, read.body, read.headers["Idempotent-Replayed"]) == (200, outcome_of(tag), "true")
            assert await results(it, read.headers["Job-Id"]) == [(200, outcome_of(tag))] * 3
    for tag, (mode, _) in jobs.items():
        answer = calls[tag].result()
        assert answer.status == (202 if mode == "async" else 200)
        if mode in {"sync", "long-poll"}:
            assert answer.body == outcome_of(tag)
        if mode == "stream":
            assert answer.body.count(b"event: outcome") == 1
            assert tag.encode() in answer.body
    assert it.simulator.starts_by_argument == dict.fromkeys(jobs, 1)
