"""Any replica answers any job: in all six caller modes, and at every URL of a job that another one follows."""

from __future__ import annotations

import asyncio
import json

from gateway.core.modes import CallerMode
from tests.e2e.support import Answer, Caller, Receiver, eventually, receiving
from tests.support.replicas import Replica, outcome_of, replicas

SETTINGS = "callbacks: {allow: [127.0.0.0/8], insecure: on}\ndefaults: {hold: 500ms}\n"


def events_of(stream: bytes) -> list[tuple[int, str, dict]]:
    """Return the events of a stream: id, name and data."""
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line)
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


async def call(replica: Replica, mode: CallerMode, receiver: Receiver, *, as_: CallerMode | None = None) -> Answer:
    """Call a trigger under a key that belongs to `mode`, as a caller in that mode or `as_` another."""
    headers = {
        "Call-Mode": (as_ or mode).value,
        "Idempotency-Key": mode.value,
        "Callback-Url": f"{receiver.url}/{mode.value}",
    }
    return await replica.caller(json={"id": mode.value, "duration": 2.0}, headers=headers)


async def conversation(replica: Replica, mode: CallerMode, receiver: Receiver) -> bytes:
    """Repeat a call in its mode, and have that conversation at one replica; return the outcome's body."""
    first = await call(replica, mode, receiver)
    assert first.headers["Idempotent-Replayed"] == "true"
    match mode:
        case CallerMode.ASYNC:
            assert first.status == 202
            return (await polled(replica.caller, first.headers["Location"])).body
        case CallerMode.LONG_POLL:
            return (await hopped(replica, first)).body
        case CallerMode.STREAM:
            return events_of(first.body)[-1][2]["body"].encode()
        case CallerMode.CALLBACK:
            assert first.status == 202
            return await delivered(receiver, first.headers["Job-Id"])
        case CallerMode.FORGET:
            assert (first.status, first.body) == (200, b"")
            await replica.caller("GET", f"/-/jobs/{first.headers['Job-Id']}", params={"wait": "20"})
            return (await replica.caller("GET", f"/-/jobs/{first.headers['Job-Id']}/result")).body
        case CallerMode.SYNC:
            return first.body


async def polled(caller: Caller, url: str) -> Answer:
    """Poll until there is a redirect, and follow it."""
    while (answer := await caller("GET", url)).status == 200:  # noqa: ASYNC110 - that is what polling is
        await asyncio.sleep(0.1)
    assert answer.status == 303
    return await caller("GET", answer.headers["Location"])


async def hopped(replica: Replica, answer: Answer) -> Answer:
    """Follow redirects to the end, at one replica."""
    hops = 0
    while answer.status == 303:
        hops += 1
        answer = await replica.caller("GET", replica.here(answer.headers["Location"]))
    assert hops > 1
    return answer


async def delivered(receiver: Receiver, job_id: str) -> bytes:
    """Wait for a job's callback."""

    async def arrived() -> list[bytes]:
        return [delivery.body for delivery in receiver.deliveries if delivery.headers["Job-Id"] == job_id]

    return (await eventually(arrived))[0]


async def test_a_job_of_one_replica_is_answered_in_every_mode_by_the_others(tmp_path, redis_url):
    """The same call, by its key, elsewhere: it attaches, and the outcome is the same, byte for byte, at each."""
    async with receiving() as receiver, replicas(redis_url, tmp_path, settings=SETTINGS) as it:
        await asyncio.gather(*(call(it[0], mode, receiver, as_=CallerMode.ASYNC) for mode in CallerMode))
        others = [(replica, mode) for replica in it.each[1:] for mode in CallerMode]
        async with asyncio.TaskGroup() as group:
            talks = [(mode, group.create_task(conversation(replica, mode, receiver))) for replica, mode in others]
        assert [(mode, talk.result()) for mode, talk in talks] == [
            (mode, outcome_of(mode.value)) for mode, _ in talks
        ]  # fmt: skip
        assert it[0].told("Followed")
        assert not it[1].told("Followed") + it[2].told("Followed")
        assert it.simulator.starts_by_argument == {mode.value: 1 for mode in CallerMode}


async def test_every_url_of_a_job_works_at_every_replica(tmp_path, redis_url):
    """Monitor, poll, wait, result and events, while the job runs and when it has ended."""
    async with replicas(redis_url, tmp_path, settings=SETTINGS) as it:
        begun = await it[0].caller(json={"id": "a", "duration": 1.5}, headers={"Call-Mode": "async"})
        links = begun.json["links"]
        for replica in it.each:
            names = ("monitor", "poll", "result")
            views = {name: await replica.caller("GET", replica.here(links[name])) for name in names}
            assert {name: view.status for name, view in views.items()} == {"monitor": 200, "poll": 200, "result": 409}
            assert views["monitor"].json["status"] == "running"
            assert views["result"].problem == "result-not-ready"
        async with asyncio.TaskGroup() as group:
            blocked = [group.create_task(waits(replica, links)) for replica in it.each]
        assert [one.result() for one in blocked] == [outcome_of("a")] * 3
        for replica in it.each:
            assert (await replica.caller("GET", replica.here(links["result"]))).body == outcome_of("a")
            assert (await replica.caller("GET", replica.here(links["poll"]))).status == 303


async def waits(replica: Replica, links: dict[str, str]) -> bytes:
    """Wait for a job at a replica: for its monitor, and on its redirects; return the outcome."""
    view = await replica.caller("GET", replica.here(links["monitor"]) + "&wait=20")
    assert view.json["status"] == "succeeded"
    answer = await replica.caller("GET", replica.here(links["wait"]))
    assert answer.status == 200
    return answer.body


async def test_a_stream_goes_on_at_another_replica(tmp_path, redis_url):
    """`Last-Event-ID` names what was seen at the first: nothing comes twice, and whoever has seen the end gets 204."""
    async with replicas(redis_url, tmp_path, settings="drain: 1s\n") as it:
        stream = {"Call-Mode": "stream"}
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(it[0].caller(json={"id": "a", "duration": 3.0}, headers=stream))
            (job_id,) = await it[0].running()
            assert await it[0].stop() == 0
        first = reading.result()
        assert first.body.startswith(b"retry: ")
        seen = events_of(first.body)
        assert "outcome" not in {name for _, name, _ in seen}
        url = f"/-/jobs/{job_id}/events"
        second = await it[1].caller("GET", url, headers={"Last-Event-ID": str(seen[-1][0])})
        rest = events_of(second.body)
        ids = [number for number, _, _ in seen + rest]
        assert ids == sorted(set(ids))
        assert rest[-1][1:] == ("outcome", rest[-1][2])
        assert rest[-1][2]["body"].encode() == outcome_of("a")
        for replica in it.each[1:]:
            done = await replica.caller("GET", url, headers={"Last-Event-ID": str(rest[-1][0])})
            assert (done.status, done.body) == (204, b"")
            again = await replica.caller("GET", url, headers={"Last-Event-ID": "1"})
            assert events_of(again.body)[-1] == rest[-1]
