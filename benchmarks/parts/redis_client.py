"""P6: a job's six commands through the store's own client, and through redis-py, which waits for each on its own.

Both clients in this process, on uvloop, 64 jobs at a time; the server writes to disk before it answers. Every answer is
checked. What counts is this process's CPU, user and system.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio as redis
import uvloop

from benchmarks.native import WrongAnswersError
from benchmarks.parts.common import Part, Size, alone
from benchmarks.rounds import Figures, ratio, summary, warmed
from benchmarks.stores import store_server
from benchmarks.targets import STORE_CLIENT, Finding
from gateway.store.wire.client import Argument, Repeating
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.server import Server

ROUNDS = {Size.FULL: 9, Size.QUICK: 5, Size.SMOKE: 1}
JOBS = {Size.FULL: 6400, Size.QUICK: 2560, Size.SMOKE: 128}
AT_A_TIME = 64
RECORD = bytes(300)
OURS, THEIRS = "callmode's client", "redis-py, a command at a time"

Run = Callable[..., Awaitable[Any]]


def run(size: Size, directory: Path) -> Part:
    """Measure the client."""
    with store_server(directory / "store") as store, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        port = int(store.url.rpartition(":")[2].partition("/")[0])
        ours = Repeating(Server(Endpoint(("127.0.0.1", port)), 30.0))
        pool = redis.BlockingConnectionPool(port=port, max_connections=AT_A_TIME, timeout=30, socket_timeout=30)
        theirs = redis.Redis.from_pool(pool)
        names = itertools.count()

        def measured(execute: Run) -> Figures:
            return runner.run(_measure(execute, JOBS[size], names))

        subjects = {OURS: partial(measured, ours.execute), THEIRS: partial(measured, theirs.execute_command)}
        rounds = warmed(subjects, ROUNDS[size])
        runner.run(ours.close())
        runner.run(theirs.aclose())
    figures = {"rounds": ROUNDS[size], "jobs": JOBS[size], "subjects": summary(rounds)}
    return Part("redis_client", figures, [Finding(STORE_CLIENT, ratio(rounds, "cpu_us", OURS, THEIRS))])


async def _measure(execute: Run, jobs: int, names: itertools.count[int]) -> Figures:
    """Return the CPU microseconds of one job's commands."""

    async def work() -> None:
        for _ in range(jobs // AT_A_TIME):
            for command, expected in _job(f"job:{next(names)}"):
                if (answer := await execute(*command)) != expected:
                    raise WrongAnswersError(f"{command[0]!r}: {answer!r}")

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(work())
    return {"cpu_us": (time.process_time() - began) / jobs * 1e6}


def _job(key: str) -> list[tuple[tuple[Argument, ...], object]]:
    """Return what a naive gateway asks its store in the course of a job, with the answers."""
    return [
        (("HSET", key, "rec", RECORD, "rev", "1", "fol", "a"), 3),
        (("PEXPIRE", key, "60000"), 1),
        (("HGET", key, "rec"), RECORD),
        (("HSET", key, "rec", RECORD, "rev", "2"), 0),
        (("HMGET", key, "rev", "fol"), [b"2", b"a"]),
        (("PEXPIRE", key, "90000"), 1),
    ]


if __name__ == "__main__":
    alone(run)
