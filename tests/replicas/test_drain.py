"""SIGTERM: nobody who calls, waits or comes too late is dropped; all are answered, or told where the answer will be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import aiohttp

from gateway.simulator import Settings
from tests.e2e.support import Answer, eventually
from tests.support.replicas import Replica, Replicas, outcome_of, replicas

METHODS = ("POST", "GET", "PUT", "DELETE")


class Connection:
    """One kept connection, over which requests go one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> tuple[int, Mapping[str, str]]:
        """Send a GET; return the status and the fields, by lower-case names."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        await self._reader.readexactly(int(fields["content-length"]))
        return int(status.split()[1]), fields

    async def ended(self) -> bool:
        """Wait until the other side ends it; return whether that was in order."""
        return await self._reader.read() == b""

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@contextlib.asynccontextmanager
async def kept(replica: Replica) -> AsyncIterator[Connection]:
    """Give a connection to a replica that has served one request, and is idle."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", replica.port))
    status, fields = await connection.get("/-/readyz")
    assert (status, fields.get("connection")) == (200, None)
    try:
        yield connection
    finally:
        connection.close()


async def is_draining(replica: Replica) -> None:
    """Wait until a replica says that it goes."""
    await replica.process.logged("draining")


async def test_readiness_fails_at_once_and_calls_are_still_taken(tmp_path, redis_url):
    """While load balancers notice: on idle connections and new ones, each told to close, each job started once."""
    async with replicas(redis_url, tmp_path, count=1, settings="drain: 5s\ndrain_notice: 2s\n") as it:
        async with kept(it[0]) as idle, kept(it[0]) as silent, asyncio.TaskGroup() as group:
            stopping = group.create_task(it[0].stop())
            await is_draining(it[0])
            status, fields = await idle.get("/-/readyz")
            assert (status, fields["connection"]) == (503, "close")
            assert await idle.ended()
            begun = asyncio.get_running_loop().time()
            calls = 0
            while asyncio.get_running_loop().time() < begun + 1.5:
                calls += 1
                answer = await it[0].caller(json={"id": str(calls), "duration": 0.1})
                assert (answer.status, answer.body) == (200, outcome_of(str(calls)))
                assert answer.headers["Connection"] == "close"
            assert await silent.ended()
        assert stopping.result() == 0
        assert it.simulator.starts_by_argument == {str(n + 1): 1 for n in range(calls)}


SAID = {
    "plain": ({}, 504),
    "accept": ({"Call-On-Timeout": "accept"}, 202),
    "redirect": ({"Call-On-Timeout": "redirect"}, 303),
    "fail": ({"Call-On-Timeout": "fail"}, 504),
    "wish": ({"Prefer": "respond-async, wait=60"}, 202),
    "long-poll": ({"Call-Mode": "long-poll"}, 303),
    "stream": ({"Call-Mode": "stream"}, 200),
}


async def test_the_blocked_are_answered_in_time_or_told_where(tmp_path, redis_url):
    """Jobs that end in the grace time are answered as ever; all others as the caller would have it."""
    async with replicas(redis_url, tmp_path, count=2, settings="drain: 5s\ndrain_notice: 0s\n") as it:

        async def call(tag: str, duration: float, headers: Mapping[str, str]) -> Answer:
            return await it[0].caller(json={"id": tag, "duration": duration}, headers=headers)

        async with asyncio.TaskGroup() as group:
            calls = {tag: group.create_task(call(tag, 6.0, headers)) for tag, (headers, _) in SAID.items()}
            ending = {
                tag: group.create_task(call(f"short {tag}", 1.0, headers)) for tag, (headers, _) in SAID.items()
            }  # fmt: skip
            ids = await it[0].running(2 * len(SAID))
            began = asyncio.get_running_loop().time()
            assert await it[0].stop() == 0
        took = asyncio.get_running_loop().time() - began
        assert took < 5.0 + 2.0
        for tag, task in ending.items():
            assert task.result().status == 200
            if tag != "stream":
                assert task.result().body == outcome_of(f"short {tag}")
        assert {tag: task.result().status for tag, task in calls.items()} == {tag: to for tag, (_, to) in SAID.items()}
        for tag, task in calls.items():
            await leads_to_the_outcome(it, tag, task.result())
        assert len(ids) == len(set(ids)) == sum(it.simulator.starts_by_argument.values())


async def leads_to_the_outcome(it: Replicas, tag: str, answer: Answer) -> None:
    """See that what a caller was told when its replica went leads to its job's outcome at the one that is left."""
    job_id = answer.headers["Job-Id"]
    if answer.status == 504:
        assert (answer.problem, answer.json["jobId"]) == ("wait-timeout", job_id)
        view = await it[1].caller("GET", it[1].here(answer.json["monitor"]), params={"wait": "20"})
        assert view.json["status"] == "succeeded"
        answer = await it[1].caller("GET", it[1].here(view.json["resultUrl"]))
    elif answer.status == 303:
        answer = await it[1].caller("GET", it[1].here(answer.headers["Location"]))
    elif answer.status == 202:
        answer = await it[1].caller("GET", it[1].here(answer.json["links"]["wait"]))
    else:
        assert answer.body.startswith(b"retry: ")
        assert b"event: outcome" not in answer.body
        await it[1].caller("GET", f"/-/jobs/{job_id}", params={"wait": "20"})
        answer = await it[1].caller("GET", f"/-/jobs/{job_id}/result")
    assert (answer.status, answer.body) == (200, outcome_of(tag))


async def test_whoever_comes_at_the_very_end_is_not_left_waiting(tmp_path, redis_url):
    """Nobody was blocked, so the replica is soon gone: a call is taken, or refused as safe to repeat, or not heard."""
    async with replicas(redis_url, tmp_path, count=1, settings="drain: 10s\ndrain_notice: 300ms\n") as it:
        seen = []

        async def call(n: int) -> None:
            try:
                answer = await it[0].caller(json={"id": str(n), "duration": 30})
            except aiohttp.ClientConnectionError:
                seen.append(None)
            else:
                seen.append((answer.status, answer.problem))

        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(it[0].stop())
            await is_draining(it[0])
            await asyncio.sleep(0.25)
            for n in range(100):
                group.create_task(call(n))
                await asyncio.sleep(0.005)
        assert stopping.result() == 0
        assert set(seen) <= {(504, "wait-timeout"), (503, "draining"), None}
        assert set(it.simulator.starts_by_argument.values()) <= {1}


async def test_a_start_under_way_is_waited_for(tmp_path, redis_url):
    """The upstream answers it after the drain: its job is not in doubt for that, and the next replica follows it."""
    async with (
        replicas(
            redis_url, tmp_path, count=2, simulator=Settings(leg=4.0), settings="drain: 1s\ndrain_notice: 0s\n"
        ) as it,
        asyncio.TaskGroup() as group,
    ):

        async def start(method: str) -> Answer:
            return await it[0].caller.start(
                method, "/t/folder/fixed-longpoll", json={"id": method, "duration": 6.0}
            )  # fmt: skip

        calls = {method: group.create_task(start(method)) for method in METHODS}
        await eventually(lambda: _true(len(it.simulator.starts_by_argument) == len(METHODS)))
        assert await it[0].stop() == 0
        for method, call in calls.items():
            answer = await call
            assert (answer.status, answer.problem) == (504, "wait-timeout")
            await leads_to_the_outcome(it, method, answer)
        assert it.simulator.starts_by_argument == dict.fromkeys(METHODS, 1)


async def _true(what: bool) -> bool:
    return what
