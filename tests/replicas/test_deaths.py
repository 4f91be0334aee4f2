"""A replica dies at each arrow of a job's way: who repeats the call elsewhere, by its key, learns what became of it.

Every row holds four jobs, one for each verb, at the very point when the process is killed with -9.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.e2e.support import Answer, eventually, receiving
from tests.support.replicas import Replica, replicas

METHODS = ("POST", "GET", "PUT", "DELETE")
AMBIGUOUS = (502, "upstream-ambiguous")
EXACT = (200, None)


@dataclass(frozen=True)
class Row:
    """What is seen after a death at `point`: starts until the call is repeated, the repeat's answer, starts in all."""

    point: str
    before: int
    answer: tuple[int, str | None]
    after: int
    why: str
    path: str = "/t/folder/async"


ROWS = (
    Row("before-create", 0, EXACT, 1, "nothing was promised; the repeated call is the first"),
    Row("after-create", 1, EXACT, 1, "nobody said that it would be started: whoever takes it over starts it"),
    Row("before-intent", 1, EXACT, 1, "likewise"),
    Row("after-intent", 0, AMBIGUOUS, 0, "whether a byte has left cannot be known, so none ever does"),
    Row("after-start", 1, AMBIGUOUS, 1, "it ran, and what follows it is lost: never again"),
    Row("after-running", 1, EXACT, 1, "the record says where it is followed"),
    Row("after-read", 1, EXACT, 1, "reads are repeated"),
    Row("before-end", 1, EXACT, 1, "the outcome is read again"),
    Row("after-end", 1, EXACT, 1, "the outcome is in the store"),
)

JOBS = "upstream_mode: Jobs, process: add, folder: Shared, reconcile_wait: 6s"
JOBS_ROWS = (
    Row("after-intent", 0, AMBIGUOUS, 0, "no job has this job's id, which is no proof that none ever will", "/add"),
    Row("after-start", 1, EXACT, 1, "the job that has this job's id is found, and followed", "/add"),
    Row("after-running", 1, EXACT, 1, "the record says where it is followed", "/add"),
)
"""In mode `Jobs`, where whoever takes a job over can look for it."""


def tag(row: Row, method: str) -> str:
    """Name a job."""
    return f"{method} {row.point}"


async def call(replica: Replica, row: Row, method: str, **fields: str) -> Answer:
    """Call a trigger and wait for the outcome, under a key of the job's own."""
    headers = {"Idempotency-Key": tag(row, method), **fields}
    arguments = {"id": tag(row, method), "duration": 0.3}
    return await replica.caller.start(method, row.path, json=arguments, headers=headers)


async def dies(replica: Replica, row: Row) -> None:
    """Bring a job of each verb to the row's point, and kill the process."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_cut(replica, row, method)) for method in METHODS]

        async def held() -> bool:
            return sum(line.get("event") == "held" for line in replica.process.log) == len(METHODS)

        await eventually(held)
        await replica.kill()
    assert all(cut.result() for cut in calls)


async def _cut(replica: Replica, row: Row, method: str) -> bool:
    """Make a call that ends without an answer."""
    try:
        await call(replica, row, method)
    except aiohttp.ClientConnectionError:
        return True
    return False


async def test_a_death_at_any_arrow_loses_no_job_and_starts_none_twice(tmp_path, redis_url):
    """All rows at once: a replica for each, and one that survives them."""
    await all_die(ROWS, tmp_path, redis_url)


async def test_a_lost_start_is_found_where_jobs_can_be(tmp_path, redis_url):
    """In mode `Jobs` a doubt is resolved by looking, never by starting again."""
    settings = f"routes: [{{path: /add, {JOBS}}}]\n"
    await all_die(JOBS_ROWS, tmp_path, redis_url, upstream_settings="jobs_api: on", settings=settings)


async def all_die(rows: tuple[Row, ...], tmp_path: Path, redis_url: str, **settings: str) -> None:
    """Have a replica die at the point of each row, and see what the one that is left makes of it."""
    survivor = len(rows)
    patches = {n: [f"hold@{row.point}"] for n, row in enumerate(rows)}
    async with replicas(
        redis_url, tmp_path, count=survivor + 1, patches=patches, store_settings="answer_unsaved: 60s", **settings
    ) as it:
        async with asyncio.TaskGroup() as group:
            for replica, row in zip(it.each, rows, strict=False):
                group.create_task(dies(replica, row))

        def starts() -> dict[str, int]:
            return {
                tag(row, method): it.simulator.starts_by_argument.get(tag(row, method), 0)
                for row in rows
                for method in METHODS
            }

        before = {tag(row, method): row.before for row in rows for method in METHODS}
        await eventually(lambda: _true(starts() == before), within=20)
        seen = {}
        for row in rows:
            for method in METHODS:
                answer = await call(it[survivor], row, method)
                assert answer.problem or answer.json["id"] == tag(row, method)
                seen[tag(row, method)] = (answer.status, answer.problem)
        assert seen == {tag(row, method): row.answer for row in rows for method in METHODS}
        assert starts() == {tag(row, method): row.after for row in rows for method in METHODS}


async def _true(what: bool) -> bool:
    return what


async def test_a_death_while_taking_over_leaves_the_jobs_to_the_next(tmp_path, redis_url):
    """They were the second's in the store when it died; the third follows them to their ends."""
    patches = {1: ["kill@in-take-over"]}
    async with replicas(redis_url, tmp_path, count=2, patches=patches) as it:
        ids = [
            (await it[0].caller(json={"id": str(n), "duration": 0.5}, headers={"Call-Mode": "async"})).headers["Job-Id"]
            for n in range(5)
        ]
        await it[0].kill()
        await it[1].gone()
        await it[0].start()
        for n, job_id in enumerate(ids):
            view = await it[0].caller("GET", f"/-/jobs/{job_id}", params={"wait": "20"})
            assert view.json["status"] == "succeeded"
            assert (await it[0].caller("GET", f"/-/jobs/{job_id}/result")).json == {"id": str(n)}
        assert set(it.simulator.starts_by_argument.values()) == {1}


async def test_a_death_between_a_delivery_and_its_record_delivers_again_under_one_id(tmp_path, redis_url):
    """At least once, and the receiver can tell: the same `webhook-id`, the same bytes."""
    settings = "callbacks: {allow: [127.0.0.0/8], insecure: on}\n"
    async with (
        receiving() as receiver,
        replicas(redis_url, tmp_path, count=2, patches={0: ["kill@after-delivery"]}, settings=settings) as it,
    ):
        await it[0].caller(
            json={"id": "a", "duration": 0.1}, headers={"Call-Mode": "callback", "Callback-Url": receiver.url}
        )
        await it[0].gone()
        await eventually(lambda: _true(len(receiver.deliveries) == 2))
        assert len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}) == 1
        assert [json.loads(delivery.body) for delivery in receiver.deliveries] == [{"id": "a"}] * 2
