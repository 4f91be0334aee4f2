"""What many callers ask of a job is asked of the upstream once, whichever replicas they ask."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.support import Answer, Caller
from tests.support.replicas import replicas

ROUTES = """\
routes:
  - {path: /polled, trigger: /t/folder/async, learn: off}
  - {path: /held, trigger: /t/folder/longpoll, upstream_mode: LongPolling}
  - {path: /jobs, process: add, folder: Finance, upstream_mode: Jobs, learn: off}
"""
WATCHERS = 30


async def watched(caller: Caller, url: str) -> Answer:
    """Wait for a job as a redirect loop does."""
    answer = await caller("GET", url)
    while answer.status == 303:
        answer = await caller("GET", answer.headers["Location"])
    return answer


@pytest.mark.parametrize("path", ["/polled", "/held", "/jobs"])
async def test_a_jobs_watchers_cost_what_one_costs(tmp_path, redis_url, path: str):
    """Thirty on each of two replicas: one follower reads, its output is read once, and all have the same bytes."""
    large = {"output_size": 50_000} if path == "/jobs" else {}
    async with replicas(redis_url, tmp_path, count=2, settings=ROUTES, upstream_settings="jobs_api: on") as it:
        counters = it.simulator.counters

        async def run(watchers: int) -> tuple[int, set[tuple[int, bytes]]]:
            before = counters.polls + counters.legs + counters.job_reads + counters.lists
            started = await it[0].caller(
                path=path, json={"id": "a", "duration": 1.5, **large}, headers={"Call-Mode": "async"}
            )
            assert started.status == 202
            url = started.json["links"]["wait"]
            answers = await asyncio.gather(*(watched(it[n % 2].caller, it[n % 2].here(url)) for n in range(watchers)))
            again = await asyncio.gather(
                *(each.caller("GET", each.here(started.json["links"]["result"])) for each in it.each)
            )
            reads = counters.polls + counters.legs + counters.job_reads + counters.lists - before
            return reads, {(answer.status, answer.body) for answer in (*answers, *again)}

        alone, _ = await run(1)
        outputs, blobs = counters.outputs, counters.blobs
        reads, answers = await run(2 * WATCHERS)
        assert len(answers) == 1
        assert {status for status, _ in answers} == {200}
        assert reads <= alone + 2
        assert counters.outputs - outputs == (path == "/polled")
        assert counters.blobs - blobs == (path == "/jobs")
        assert counters.starts == counters.jobs == 2
