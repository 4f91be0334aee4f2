"""Crashes, over real processes: of the gateway, of its store, at the worst moments. No job lost, none started twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from typing import Any

import aiohttp
import pytest

from gateway.auth.keyring import generate
from gateway.simulator import Settings
from tests.e2e.support import Answer, Caller, calling, eventually, fronting, receiving, serving, written
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, GatewayProcess, policy, simulated, with_store
from tests.upstream.http1.raw_origin import HOLD, RawOrigin

MODES = ("sync", "async", "long-poll", "callback", "forget")
TRIGGERS = ("async", "fixed-longpoll")
METHODS = ("POST", "GET", "PUT", "DELETE")


async def followed(gateway: GatewayProcess, caller: Caller, count: int) -> list[str]:
    """Wait until `count` jobs are durably running; return their ids."""

    async def running() -> list[str]:
        ids = [line["job"] for line in gateway.log if line.get("what") == "Followed"]
        views = [(await caller("GET", f"/-/jobs/{job_id}")).json for job_id in ids]
        return ids if len(ids) == count and all(view["status"] == "running" for view in views) else []

    return await eventually(running)


def on(caller: Caller, url: str) -> str:
    """Return the same URL at another address of the gateway."""
    return caller.url + "/-/" + url.split("/-/", 1)[1]


def tag_of(mode: str, trigger: str) -> str:
    """Name the job of one call."""
    return f"{mode} over {trigger}"


async def test_every_job_in_flight_survives_a_kill_of_the_gateway(tmp_path):
    """After kill -9 and a restart each is followed to its end, exact, by the URLs given before, started once."""
    simulation = Settings(leg=0.4)
    async with simulated(simulation) as (simulator, origin), receiving() as receiver:
        arguments = (
            written(
                tmp_path,
                f"upstream: {{url: {origin}{BASE_PATH}}}\ncallbacks: {{allow: [127.0.0.0/8], insecure: on}}\n",
            ),
            "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(tmp_path / "data"),
        )  # fmt: skip

        async def call(mode: str, trigger: str) -> Answer | None:
            with contextlib.suppress(aiohttp.ClientError):
                return await caller(
                    path=f"/t/folder/{trigger}",
                    json={"id": tag_of(mode, trigger), "duration": 3.0},
                    headers={"Call-Mode": mode, "Callback-Url": receiver.url},
                )
            return None

        async with serving(*arguments) as first, calling(first.url) as caller, asyncio.TaskGroup() as group:
            calls = {
                tag_of(mode, trigger): group.create_task(call(mode, trigger)) for mode in MODES for trigger in TRIGGERS
            }
            ids = await followed(first, caller, len(calls))
            await first.kill()
        answered = {tag: task.result() for tag, task in calls.items()}
        assert all(answered[tag_of("sync", trigger)] is None for trigger in TRIGGERS)  # cut off, and told nothing wrong

        async with serving(*arguments) as second, calling(second.url) as caller:
            for job_id in ids:
                view = (await caller("GET", f"/-/jobs/{job_id}", params={"wait": "20"})).json
                assert view["status"] == "succeeded", view
                result = await caller("GET", view["resultUrl"])
                assert result.status == 200
                assert result.json["id"] in calls
            for tag, answer in answered.items():
                if answer is not None and "Location" in answer.headers:
                    await ends_exactly(answer.headers["Location"], tag)
            await eventually(lambda: _true(len(receiver.deliveries) == len(calls)))
        assert sorted(delivery.json["id"] for delivery in receiver.deliveries) == sorted(calls)
        assert simulator.jobs_by_argument == dict.fromkeys(calls, 1)
        assert simulator.starts_by_argument == dict.fromkeys(calls, 1)


async def _true(what: bool) -> bool:
    return what


async def ends_exactly(url: str, tag: str) -> None:
    """Follow a URL that a caller was given, as a client without its token would, to the exact outcome."""
    async with aiohttp.ClientSession() as anyone, anyone.get(url) as response:
        assert response.status == 200
        assert (await response.json())["id"] == tag


async def test_a_dead_store_server_costs_no_job_and_starts_none_twice(tmp_path):
    """Meanwhile a call succeeds or gets 503 `store-unavailable`; what got 503 never runs."""
    async with simulated() as (simulator, origin):
        gateway = await GatewayProcess.serve(origin + BASE_PATH, tmp_path)
        try:
            async with calling(gateway.url) as caller:
                async with asyncio.TaskGroup() as group:
                    before = [group.create_task(sync(caller, f"before {n}", duration=1.0)) for n in range(6)]
                    await followed(gateway, caller, len(before))
                    os.kill((await gateway.logged("store.started"))["pid"], signal.SIGKILL)
                    meanwhile = [group.create_task(sync(caller, f"meanwhile {n}")) for n in range(10)]
                    await gateway.logged("store.restarted")
                    after = await eventually(lambda: _accepted(caller, "after"))
                assert all(task.result().json["id"] == f"before {n}" for n, task in enumerate(before))
                assert after.json["id"] == "after"
                for n, task in enumerate(meanwhile):
                    answer, starts = task.result(), simulator.starts_by_argument.get(f"meanwhile {n}", 0)
                    if answer.status == 503:
                        assert (answer.problem, starts) == ("store-unavailable", 0)
                        assert answer.json["retryable"] is ("jobId" not in answer.json)
                    else:
                        assert (answer.status, starts) == (200, 1)
        finally:
            assert await gateway.stop() == 0
        assert set(simulator.jobs_by_argument.values()) == {1}


async def sync(caller: Caller, tag: str, **arguments: Any) -> Answer:
    """Make a blocking call."""
    return await caller(json={"id": tag, "duration": 0.1, **arguments})


async def _accepted(caller: Caller, tag: str) -> Answer | None:
    answer = await sync(caller, tag)
    return answer if answer.status == 200 else None


async def test_a_paused_store_does_not_keep_the_outcome_from_who_waits_for_it(tmp_path):
    """The caller is answered from memory, and once the store goes on the job is in it as it ended."""
    async with simulated() as (_, origin):
        gateway = await GatewayProcess.serve(origin + BASE_PATH, tmp_path)
        store = (await gateway.logged("store.started"))["pid"]
        try:
            async with calling(gateway.url) as caller, asyncio.TaskGroup() as group:
                call = group.create_task(sync(caller, "a", duration=0.8))
                await followed(gateway, caller, 1)
                os.kill(store, signal.SIGSTOP)
                try:
                    async with asyncio.timeout(4):
                        answer = await call
                finally:
                    os.kill(store, signal.SIGCONT)
                assert (answer.status, answer.json) == (200, {"id": "a"})
                view = await caller("GET", f"/-/jobs/{answer.headers['Job-Id']}", params={"wait": "10"})
                assert view.json["status"] == "succeeded"
        finally:
            await gateway.stop()


async def test_a_start_in_flight_at_a_kill_is_unknown_and_never_sent_again(tmp_path):
    """For each method: 502 `upstream-ambiguous` on every URL but the monitor, over two restarts."""
    async with RawOrigin([HOLD]) as origin:
        arguments = (
            written(
                tmp_path, f"upstream: {{url: {origin.url}}}\ndefaults: {{start_wait: 100ms, caller_mode: async}}\n"
            ),
            "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(tmp_path / "data"),
        )  # fmt: skip
        async with serving(*arguments) as gateway, calling(gateway.url) as caller:
            accepted = [await caller.start(method, "/t/f/s", json={"n": 1}) for method in METHODS]
            assert [answer.status for answer in accepted] == [202] * len(METHODS)
            assert {answer.json["status"] for answer in accepted} == {"starting"}
            await gateway.kill()
        for _ in range(2):
            async with serving(*arguments) as gateway, calling(gateway.url) as caller:
                for answer in accepted:
                    await is_told_as_ambiguous(caller, answer)
        assert len(origin.requests) == len(METHODS)


async def is_told_as_ambiguous(caller: Caller, accepted: Answer) -> None:
    """See that a job is `unknown` and that those who ask for its outcome are told what that means."""

    async def unknown() -> bool:
        return (await caller("GET", f"/-/jobs/{accepted.headers['Job-Id']}")).json["status"] == "unknown"

    await eventually(unknown)
    links = accepted.json["links"]
    for url in (links["poll"], links["wait"], links["result"]):
        told = await caller("GET", on(caller, url))
        assert (told.status, told.problem, told.json["retryable"]) == (502, "upstream-ambiguous", False)
        assert told.json["jobId"] == accepted.headers["Job-Id"]


async def test_a_kill_between_intent_and_start_sends_nothing_later(tmp_path):
    """The intent is in the store, no byte has left: whoever comes after cannot know that, and sends nothing."""
    with unanswering_port() as (port, take_all):
        arguments = (
            written(
                tmp_path,
                f"upstream: {{url: 'http://127.0.0.1:{port}', connect_timeout: 30s}}\n"
                "defaults: {start_wait: 100ms, caller_mode: async}\n",
            ),
            "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
        )  # fmt: skip
        async with serving(*arguments) as gateway, calling(gateway.url) as caller:
            accepted = await caller(json={"n": 1})
            assert (accepted.status, accepted.json["status"]) == (202, "starting")
            await gateway.kill()
        assert take_all() == b""
        async with serving(*arguments) as gateway, calling(gateway.url) as caller:
            await is_told_as_ambiguous(caller, accepted)
        assert take_all() == b""


@contextlib.contextmanager
def unanswering_port():
    """Give a port on which connecting hangs, and what takes the connections that are there and returns their bytes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        for _ in range(3):  # Linux takes one more than the backlog says, and drops the rest
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        taken: list[socket.socket] = []

        def take_all() -> bytes:
            with contextlib.suppress(BlockingIOError):
                while True:
                    taken.append(stack.enter_context(listener.accept()[0]))
            assert taken, "the fillers were there"
            return b"".join(_waiting_in(connection) for connection in taken)

        yield port, take_all


def _waiting_in(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    try:
        return connection.recv(65536)
    except BlockingIOError:
        return b""


async def test_a_job_that_was_not_started_before_a_kill_is_started_once_after_it(tmp_path):
    """A job that waits to try an unreachable upstream again has certainly not run: who comes after starts it."""
    port = free_port()
    arguments = (
        written(
            tmp_path,
            f"upstream: {{url: 'http://127.0.0.1:{port}{BASE_PATH}'}}\n"
            "defaults: {start_wait: 100ms, start_retry: 60s, caller_mode: async}\n",
        ),
        "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
    )  # fmt: skip
    async with serving(*arguments) as gateway, calling(gateway.url) as caller:
        accepted = await caller(json={"id": "a", "duration": 0.1})
        assert accepted.status == 202

        async def between_tries() -> bool:
            view = (await caller("GET", f"/-/jobs/{accepted.headers['Job-Id']}")).json
            return view["status"] == "accepted" and view["upstream"]["attempts"] == 3  # the next is a second away

        await eventually(between_tries)
        await gateway.kill()
    async with (
        simulated(port=port) as (simulator, _),
        serving(*arguments) as gateway,
        calling(gateway.url) as caller,
    ):
        view = await caller("GET", f"/-/jobs/{accepted.headers['Job-Id']}", params={"wait": "15"})
        assert view.json["status"] == "succeeded"
        assert simulator.starts_by_argument == {"a": 1}


async def test_sigterm_answers_everybody_and_the_restart_goes_on(tmp_path):
    """Jobs that end in time are answered with their outcome, the rest with where it will be; exit status 0."""
    async with simulated() as (simulator, origin):
        arguments = (
            written(tmp_path, f"upstream: {{url: {origin}{BASE_PATH}}}\ndrain: 4s\n"),
            "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(tmp_path / "data"),
        )  # fmt: skip

        async def call(tag: str, duration: float, **headers: str) -> Answer:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return await caller(json={"id": tag, "duration": duration}, headers=fields)

        async with serving(*arguments) as gateway, calling(gateway.url) as caller, asyncio.TaskGroup() as group:
            short = group.create_task(call("short", 0.8))
            plain = group.create_task(call("plain", 4.0))
            wishing = group.create_task(call("wishing", 4.0, Prefer="respond-async, wait=60"))
            long_poll = group.create_task(call("long-poll", 4.0, Call_Mode="long-poll"))
            await followed(gateway, caller, 4)
            assert await gateway.stop() == 0
        assert (short.result().status, short.result().json) == (200, {"id": "short"})
        told = plain.result()
        assert (told.status, told.problem) == (504, "wait-timeout")
        assert told.json["monitor"].startswith("http://")
        assert (wishing.result().status, wishing.result().json["status"]) == (202, "running")
        assert long_poll.result().status == 303

        async with serving(*arguments):
            await ends_exactly(long_poll.result().headers["Location"], "long-poll")
            result = told.json["monitor"].replace("?", "?wait=20&")
            async with aiohttp.ClientSession() as anyone, anyone.get(result) as response:
                assert (await response.json())["status"] == "succeeded"
            await ends_exactly(wishing.result().json["links"]["wait"], "wishing")
        assert simulator.jobs_by_argument == dict.fromkeys(("short", "plain", "wishing", "long-poll"), 1)


async def test_a_second_gateway_on_a_data_directory_says_who_holds_it_and_ends(tmp_path):
    """It waits five seconds, then exit status 1 and an error that names the directory and the ways out."""
    async with serving("--upstream", "http://127.0.0.1:9", "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0") as a:
        began = asyncio.get_running_loop().time()
        second = await GatewayProcess.start(
            "serve", "--upstream", "http://127.0.0.1:9", "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0"
        )
        assert await second._gone() == 1
        assert 5 <= asyncio.get_running_loop().time() - began < 12
        said = " ".join(line["event"] for line in second.log)
        assert all(word in said for word in (str(tmp_path), f"pid {a.pid}", "--data-dir", "--store"))


@contextlib.asynccontextmanager
async def two_gateways(upstream_url: str, redis_url: str, directory):
    """Run two gateways on one store, with a lease of two seconds; give them and a client of each."""
    shared = written(
        directory,
        f"upstream: {{url: {upstream_url}}}\nlisten: 127.0.0.1:0\ndrain_notice: 0s\n"
        f"store: {{url: '{redis_url}', prefix: {with_store(redis_url).prefix}, timeout: 1s, lease: 2s}}\n",
    )
    env = {"CALLMODE_KEYRING": generate()}
    async with (
        serving(shared, env=env) as a,
        serving(shared, env=env) as b,
        calling(a.url) as at_a,
        calling(b.url) as at_b,
    ):
        yield a, b, at_a, at_b


async def test_a_caller_blocked_on_one_replica_is_answered_for_a_job_of_another(tmp_path, redis_url):
    """It is woken by the store when the job ends, without polling of its own."""
    async with (
        simulated() as (simulator, origin),
        two_gateways(origin + BASE_PATH, redis_url, tmp_path) as (_, _, at_a, at_b),
    ):
        started = await at_a(json={"id": "a", "duration": 1.5}, headers={"Call-Mode": "async"})
        outcome = await at_b("GET", on(at_b, started.json["links"]["wait"]))
        late = asyncio.get_running_loop().time() - simulator.ended_at["a"]
        assert (outcome.status, outcome.json) == (200, {"id": "a"})
        assert late < 1.0
        assert simulator.starts_by_argument == {"a": 1}


async def test_another_replica_takes_over_within_a_lease(tmp_path, redis_url):
    """After a kill -9 of the follower its jobs go on at the other, whose blocked caller is answered."""
    async with (
        simulated() as (simulator, origin),
        two_gateways(origin + BASE_PATH, redis_url, tmp_path) as (a, b, at_a, at_b),
    ):
        started = [
            await at_a(json={"id": str(n), "duration": 1.0}, headers={"Call-Mode": "async"}) for n in range(5)
        ]  # fmt: skip
        await followed(a, at_a, len(started))
        async with asyncio.TaskGroup() as group:
            blocked = [group.create_task(at_b("GET", on(at_b, job.json["links"]["wait"]))) for job in started]
            killed = asyncio.get_running_loop().time()
            await a.kill()
        assert asyncio.get_running_loop().time() - killed < 2.0 + 1.5  # a lease, a beat, a read
        assert [job.result().json["id"] for job in blocked] == [str(n) for n in range(5)]
        assert set(simulator.starts_by_argument.values()) == {1}
        assert b.pid != a.pid


async def test_a_paused_replica_comes_back_and_changes_nothing(tmp_path, redis_url):
    """While it was stopped its job went to the other replica and ended there: both give the same bytes."""
    async with (
        simulated() as (simulator, origin),
        two_gateways(origin + BASE_PATH, redis_url, tmp_path) as (a, _, at_a, at_b),
    ):
        started = await at_a(json={"id": "a", "duration": 1.0}, headers={"Call-Mode": "async"})
        await followed(a, at_a, 1)
        os.kill(a.pid, signal.SIGSTOP)
        try:
            by_b = await at_b("GET", on(at_b, started.json["links"]["wait"]))
        finally:
            os.kill(a.pid, signal.SIGCONT)
        by_a = await at_a("GET", started.json["links"]["wait"])
        assert (
            (by_a.status, by_a.body)
            == (by_b.status, by_b.body)
            == (200, json.dumps({"id": "a"}, separators=(",", ":")).encode())
        )
        assert simulator.starts_by_argument == {"a": 1}


@pytest.mark.parametrize("method", METHODS)
async def test_a_start_whose_answer_is_lost_with_its_caller_is_not_repeated(method, redis_url):
    """The caller goes while the start is under way: the job goes on, and is readable by its key."""
    call = {"json": {"id": "a", "duration": 0.5}, "headers": {"Idempotency-Key": "k"}}
    async with (
        simulated(Settings(leg=0.3)) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), policy=policy()) as caller,
    ):
        gone = asyncio.ensure_future(caller.start(method, "/t/folder/fixed-longpoll", **call))
        await eventually(lambda: _true("a" in simulator.starts_by_argument))
        gone.cancel()
        answer = await caller.start(method, "/t/folder/fixed-longpoll", **call)
        assert (answer.status, answer.json["id"]) == (200, "a")
        assert simulator.starts_by_argument == {"a": 1}
