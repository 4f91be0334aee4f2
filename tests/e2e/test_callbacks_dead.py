"""Dead letters: listed and sent again by the operator, over the admin port and from the command line."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.support import Receiver, calling, check_problem, eventually, receiving
from tests.support.rig import rig, with_store

BODY = json.dumps({"duration": 0.1})


async def disabled(running, caller, url: str) -> str:
    """Have a delivery of a new job to `url` disabled; return its id."""
    started = await caller(data=BODY, headers={"Call-Mode": "callback", "Callback-Url": url})
    path = f"/-/jobs/{started.headers['Job-Id']}/callbacks"

    async def look():
        ((delivery,),) = ((await caller("GET", path)).json.values(),)
        return delivery[0]["id"] if delivery and delivery[0]["status"] == "disabled" else None

    return await eventually(look)


async def command(*arguments: str) -> tuple[int, list[str]]:
    """Run a command as a process of its own; return its exit status and its lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "callbacks", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines()


async def test_dead_letters_on_the_admin_port(redis_url):
    """Listed in pages, without what their URLs keep secret; sent again they are dead no more."""
    async with (
        rig(shared=with_store(redis_url), callbacks=Receiver.settings) as running,
        calling(running.url) as caller,
        calling(running.admin_url, token=None) as operator,
        receiving() as receiver,
    ):
        receiver.status = 410
        ids = [await disabled(running, caller, f"{receiver.url}/{number}?key=secret") for number in range(3)]
        first = (await operator("GET", "/-/callbacks?status=disabled&limit=2")).json
        rest = (await operator("GET", f"/-/callbacks?status=disabled&limit=2&cursor={first['next']}")).json
        assert [each["id"] for each in first["callbacks"] + rest["callbacks"]] == ids[::-1]
        assert rest["next"] is None
        assert first["callbacks"][0]["url"] == f"{receiver.url}/2"
        assert first["callbacks"][0]["attempts"][0]["status"] == 410
        assert (await operator("GET", "/-/callbacks")).json == {"callbacks": [], "next": None}
        receiver.status = 200
        for each in ids:
            assert (await operator("POST", f"/-/callbacks/{each}/redeliver")).status == 202
        await eventually(lambda: length(receiver, 6))
        assert (await operator("GET", "/-/callbacks?status=disabled")).json["callbacks"] == []


async def length(receiver, count: int) -> bool:
    """Whether so many deliveries have come."""
    return len(receiver.deliveries) == count


@pytest.mark.parametrize(
    "query", ["status=pending", "status=", "limit=0", "limit=x", "limit=501", "limit=-1", "cursor=1", "cursor=a.b"]
)
async def test_a_list_that_cannot_be(redis_url, query):
    """What the query says and does not mean is told."""
    async with rig(shared=with_store(redis_url)) as running, calling(running.admin_url, token=None) as operator:
        check_problem(await operator("GET", f"/-/callbacks?{query}"), 400, "bad-request")


async def test_nothing_of_it_is_on_the_data_port(redis_url):
    """Other callers' deliveries are the operator's alone."""
    async with rig(shared=with_store(redis_url)) as running, calling(running.url) as caller:
        check_problem(await caller("GET", "/-/callbacks?status=failed"), 404, "not-a-trigger")


async def test_the_outcome_is_gone(redis_url):
    """A delivery whose job was erased fails, is listed, and cannot be sent again."""
    async with (
        rig(shared=with_store(redis_url), callbacks=Receiver.settings) as running,
        calling(running.url) as caller,
        calling(running.admin_url, token=None) as operator,
        receiving() as receiver,
    ):
        receiver.status = 500
        started = await caller(data=BODY, headers={"Call-Mode": "callback", "Callback-Url": receiver.url})
        await eventually(lambda: length(receiver, 1))
        assert (await caller("DELETE", f"/-/jobs/{started.headers['Job-Id']}")).status == 204

        async def failed():
            return (await operator("GET", "/-/callbacks")).json["callbacks"]

        (delivery,) = await eventually(failed)
        assert delivery["attempts"][-1]["error"] == "the outcome is no longer kept"
        check_problem(await operator("POST", f"/-/callbacks/{delivery['id']}/redeliver"), 410, "job-expired")


async def test_the_command_line(redis_url):
    """`callmode callbacks list` and `redeliver`, by id and all."""
    async with (
        rig(shared=with_store(redis_url), callbacks=Receiver.settings) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        admin = ("--url", running.admin_url)
        receiver.status = 410
        ids = [await disabled(running, caller, f"{receiver.url}/{number}") for number in range(3)]
        status, lines = await command("list", "--status", "disabled", "--limit", "2", *admin)
        assert (status, [line.split("\t")[0] for line in lines]) == (0, ids[:0:-1])
        status, lines = await command("list", "--status", "disabled", "--json", *admin)
        assert (status, [json.loads(line)["id"] for line in lines]) == (0, ids[::-1])
        receiver.status = 200
        assert await command("redeliver", ids[0], *admin) == (0, [f"{ids[0]}\tdue now"])
        status, lines = await command("redeliver", "--all", "--status", "disabled", *admin)
        assert (status, {line.split("\t")[0] for line in lines}) == (0, set(ids[1:]))
        await eventually(lambda: length(receiver, 6))
        status, (line,) = await command("redeliver", "nobody", *admin)
        assert (status, line.startswith("nobody\t")) == (1, True)
        assert (await command("redeliver", *admin))[0] == 1
        assert (await command("list", "--status", "pending", *admin))[0] == 1
    assert (await command("list", *admin))[0] == 1


async def test_the_secret_where_all_callers_are_one(redis_url):
    """Under the gateway's own credential it is the operator's to hand on."""
    async with (
        rig(shared=with_store(redis_url), callbacks=Receiver.settings, bearer="own") as running,
        calling(running.url, token=None) as caller,
        calling(running.admin_url, token=None) as operator,
        receiving() as receiver,
    ):
        check_problem(await caller("GET", "/-/callbacks/secret"), 404, "not-found")
        secret = (await operator("GET", "/-/callbacks/secret")).json["secret"]
        await caller(data=BODY, headers={"Call-Mode": "callback", "Callback-Url": receiver.url})
        await eventually(lambda: length(receiver, 1))
        (came,) = receiver.deliveries
        assert Webhook(secret).verify(came.body, came.headers) is not None
