"""Callbacks over replicas that die: each outcome arrives, under one id; and a dead receiver is nobody's matter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from tests.e2e.support import Receiver, calling, eventually, receiving
from tests.support.replicas import replicas
from tests.support.rig import rig, with_store

SETTINGS = "callbacks: {allow: [127.0.0.0/8], insecure: on}\n"


async def started(replica, tag: str, duration: float, **fields: str) -> str:
    """Start a job; return its id."""
    answer = await replica.caller(json={"id": tag, "duration": duration}, headers={"Call-Mode": "async", **fields})
    assert answer.status == 202
    return answer.headers["Job-Id"]


async def came(receiver, count: int) -> bool:
    """Whether so many deliveries have come at least."""
    return len(receiver.deliveries) >= count


async def test_attached_on_one_replica_followed_on_another_that_dies(tmp_path, redis_url):
    """Whoever ends the job delivers, to the starter's receiver and to the other."""
    async with (
        receiving() as first,
        receiving() as second,
        replicas(redis_url, tmp_path, count=2, settings=SETTINGS) as it,
    ):
        job = await started(it[0], "a", 3.0, **{"Callback-Url": first.url})
        added = await it[1].caller("POST", f"/-/jobs/{job}/callbacks", json={"url": second.url})
        assert (added.status, added.json["status"]) == (201, "waiting")
        await it[0].kill()
        for receiver in (first, second):
            await eventually(lambda receiver=receiver: came(receiver, 1))
        await asyncio.sleep(0.3)
        assert (len(first.deliveries), len(second.deliveries)) == (1, 1)
        assert second.deliveries[0].headers["webhook-id"] == added.json["id"]
        assert first.deliveries[0].body == second.deliveries[0].body
        assert json.loads(first.deliveries[0].body) == {"id": "a"}


async def test_a_death_right_after_the_end(tmp_path, redis_url):
    """The end is in the store and nobody has begun to deliver: the survivor does, what waited and what did not."""
    async with (
        receiving() as first,
        receiving() as second,
        replicas(redis_url, tmp_path, count=2, patches={0: ["kill@after-end"]}, settings=SETTINGS) as it,
    ):
        job = await started(it[0], "a", 1.0, **{"Callback-Url": first.url})
        assert (await it[1].caller("POST", f"/-/jobs/{job}/callbacks", json={"url": second.url})).status == 201
        await it[0].gone()
        for receiver in (first, second):
            await eventually(lambda receiver=receiver: came(receiver, 1))
        assert (len(first.deliveries), len(second.deliveries)) == (1, 1)


async def test_sent_again_by_all_replicas_at_once(tmp_path, redis_url):
    """Each request is done, none is lost, and whatever arrives has the one id."""
    async with receiving() as receiver, replicas(redis_url, tmp_path, count=2, settings=SETTINGS) as it:
        job = await started(it[0], "a", 0.1, **{"Callback-Url": receiver.url})
        await eventually(lambda: came(receiver, 1))
        (delivery,) = (await it[1].caller("GET", f"/-/jobs/{job}/callbacks")).json["callbacks"]
        again = [replica.caller("POST", f"/-/callbacks/{delivery['id']}/redeliver") for replica in (it[0], it[1])]
        assert {answer.status for answer in await asyncio.gather(*again)} <= {202, 503}
        await eventually(lambda: delivered(it[1], job))
        assert 2 <= len(receiver.deliveries) <= 3
        assert {each.headers["webhook-id"] for each in receiver.deliveries} == {delivery["id"]}


async def delivered(replica, job: str) -> bool:
    """Whether all of the job's callbacks have arrived, with more than one attempt."""
    (delivery,) = (await replica.caller("GET", f"/-/jobs/{job}/callbacks")).json["callbacks"]
    return delivery["status"] == "delivered" and delivery["made"] > 1


@contextlib.asynccontextmanager
async def black_hole():
    """Run a server that takes connections and requests, and never answers; give its URL and what it holds."""
    held: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", held
    finally:
        server.close()
        for writer in held:
            writer.close()


async def test_a_black_hole_holds_up_nobody(redis_url):
    """Over two hundred deliveries to it are due, and it holds eight of them; other receivers notice nothing."""
    async with (
        rig(shared=with_store(redis_url), callbacks=Receiver.settings) as running,
        calling(running.url) as caller,
        receiving() as receiver,
        black_hole() as (hole, held),
    ):
        body = json.dumps({"duration": 0.05})
        for _ in range(13):
            job = (await caller(data=body)).headers["Job-Id"]
            wishes = [
                caller("POST", f"/-/jobs/{job}/callbacks", json={"url": f"{hole}/{number}"}) for number in range(16)
            ]
            assert {answer.status for answer in await asyncio.gather(*wishes)} == {201}
        await asyncio.sleep(0.2)
        assert len(held) == 8
        begun = time.monotonic()
        await caller(data=body, headers={"Call-Mode": "callback", "Callback-Url": receiver.url})
        await eventually(lambda: came(receiver, 1))
        assert time.monotonic() - begun < 2
        assert len(held) == 8
