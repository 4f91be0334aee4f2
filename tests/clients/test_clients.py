"""Each real client, on each way of answering that its own redirects have a part in."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from tests.clients.clients import CLIENTS, Answer
from tests.clients.tap import tapped
from tests.support.rig import BASE_PATH, Rig, policy, rig, with_store

OUTPUT = bytes(range(256)) + "žluťoučký kůň\r\n".encode()
"""Every byte there is, and a line end last, which some program might like to trim."""

HOLD = 300
"""Milliseconds: a job that ends at the second hop has 0.9 s to be noticed before the fifth, which java.net.http does
not follow."""


def arguments(duration: float = 60) -> str:
    """Return the start's body for a job of `duration` seconds that ends with `OUTPUT`."""
    return json.dumps({"duration": duration, "output_base64": base64.b64encode(OUTPUT).decode()})


async def end_job(running: Rig) -> None:
    """End the simulator's one job now."""
    (job_id,) = running.simulator.jobs
    await running.call(path=f"{running.upstream_url.removesuffix(BASE_PATH)}/_sim/jobs/{job_id}/end")


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda client: client.name.replace(" ", "-"))
def client(request, tmp_path_factory):
    """Each client in turn, compiled once."""
    request.param.prepare(tmp_path_factory.mktemp("client"))
    return request.param


async def test_a_sync_call_is_one_answer(redis_url, client):
    """Any client can do this one: it blocks, and gets the output byte for byte."""
    async with rig(shared=with_store(redis_url)) as running, tapped(running.url) as tap:
        assert await client.send("POST", f"{tap.url}/t/folder/async", arguments(0.3)) == Answer(200, OUTPUT)
        assert len(tap.requests) == 1
        assert running.simulator.counters.starts == 1


async def test_a_redirect_loop_ends_in_the_output(redis_url, client):
    """Redirect after redirect, whatever the client does with its bearer and its method on the way."""
    async with rig(shared=with_store(redis_url), policy=policy(hold=HOLD)) as running, tapped(running.url) as tap:
        url = f"{tap.url}/-/call/long-poll/t/folder/async"
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(client.send("POST", url, arguments()))
            await tap.followed(2)
            await end_job(running)
        assert sending.result() == Answer(200, OUTPUT)
        assert all(("authorization" not in hop.headers) == client.drops_authorization for hop in tap.hops)
        assert {hop.method for hop in tap.hops} == {"POST" if client.repeats_post else "GET"}
        assert running.simulator.counters.starts == 1


async def test_the_last_hop_that_a_client_follows_has_an_answer(redis_url, client):
    """With `max_hops` at the client's limit no client fails, or takes an empty redirect for the outcome."""
    decisions = policy(hold=10, max_hops=client.limit)
    async with rig(shared=with_store(redis_url), policy=decisions, drain=0) as running, tapped(running.url) as tap:
        answer = await client.send("POST", f"{tap.url}/-/call/long-poll/t/folder/async", arguments())
        assert answer.status == 504
        assert json.loads(answer.body)["title"] == "The wait ran out; the job goes on"
        assert len(tap.hops) == client.limit


async def test_a_poll_is_redirected_to_the_output(redis_url, client):
    """200 and the monitor's JSON while the job runs; after its end the client follows to the output by itself."""
    async with rig(shared=with_store(redis_url)) as running, tapped(running.url) as tap:
        _, headers, body = await running.call(path=f"{tap.url}/-/call/async/t/folder/async", data=arguments())
        early = await client.send("GET", headers["Location"])
        assert (early.status, json.loads(early.body)["status"]) == (200, "running")
        await end_job(running)
        await running.call("GET", f"{json.loads(body)['links']['monitor']}&wait=10")
        assert await client.send("GET", headers["Location"]) == Answer(200, OUTPUT)
