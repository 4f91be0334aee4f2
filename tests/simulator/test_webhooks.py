"""Webhooks: what they say, how they are signed, and how they get lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.simulator import WEBHOOK_EVENTS, Webhook, WebhookTraffic
from tests.simulator.test_jobs_api import begin, read, stop

pytestmark = pytest.mark.looptime

SECRET = "webhook-secret"


@dataclass
class Receiver:
    """A server that hears webhooks; `statuses` are what it answers, then 200."""

    url: str = ""
    heard: list[tuple[dict, bytes, str | None]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def types(self) -> list[str]:
        return [event["Type"] for event, _, _ in self.heard]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.heard.append((json.loads(body), body, request.headers.get("X-UiPath-Signature")))
        self.more.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def until(self, count: int) -> list[str]:
        """Wait until so many events were heard; return their types."""
        while len(self.heard) < count:
            self.more.clear()
            await self.more.wait()
        return self.types


@pytest.fixture
async def receiver():
    """Run a receiver."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
        receiver.url = str(server.make_url("/hook"))
        yield receiver


def good(body: bytes, header: str, secret: str = SECRET) -> bool:
    """Whether a signature is right, in any of its forms."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return header.removeprefix("sha256=") in {base64.b64encode(digest).decode(), digest.hex()}


async def test_events_of_a_job(tenant, receiver):
    """A job is told of as it is created, starts and completes; the output is an object."""
    t = await tenant(webhooks=(Webhook(url=receiver.url, secret=SECRET, name="mine"),), duration=10)
    await t.start("orders", n=1)
    assert set(await receiver.until(2)) == {"job.created", "job.started"}
    assert (await receiver.until(3))[2] == "job.completed"
    created, started = (receiver.heard[receiver.types.index(f"job.{kind}")][0] for kind in ("created", "started"))
    completed, body, signed = receiver.heard[2]
    (job,) = created["Jobs"]
    assert (job["State"], job["SourceType"], job["ReleaseName"]) == ("Pending", "HttpTrigger", "orders")
    assert started["Job"]["State"] == "Running"
    assert (completed["Type"], completed["Name"]) == ("job.completed", "mine")
    assert (completed["Job"]["Key"], completed["Job"]["Id"]) == (job["Key"], job["Id"])
    assert (completed["Job"]["State"], completed["Job"]["OutputArguments"]) == ("Successful", {"n": 1})
    assert completed["Timestamp"] == completed["EventTime"] == completed["Job"]["EndTime"]
    assert len({event["EventId"] for event, _, _ in receiver.heard}) == 3
    assert {"TenantId", "OrganizationUnitId", "UserId"} <= completed.keys()
    assert good(body, signed)


async def test_faulted_and_stopped(tenant, receiver):
    """A fault and a stop have events of their own; the latter is a list, as the creation is."""
    t = await tenant(webhooks=(Webhook(url=receiver.url, events=frozenset({"job.faulted", "job.stopped"})),))
    await t.start(fail="Selector not found", duration=0)
    await receiver.until(1)
    (job,) = await begin(t, arguments={"duration": 600})
    await stop(t, "Kill", job)
    assert await receiver.until(2) == ["job.faulted", "job.stopped"]
    faulted, stopped = receiver.heard[0][0]["Job"], receiver.heard[1][0]["Jobs"][0]
    assert (faulted["Info"], faulted["ErrorCode"], faulted["OutputArguments"]) == ("Selector not found", "Robot", None)
    assert (stopped["State"], stopped["Key"]) == ("Stopped", job["Key"])
    assert receiver.heard[0][2] is None


async def test_pending_job_starts_later(tenant, receiver):
    """The start of a job that was pending is told of when it comes, and not at all where it was stopped before."""
    t = await tenant(webhooks=(Webhook(url=receiver.url),))
    _, second = await begin(t, arguments={"pending": 30, "duration": 5}, JobsCount=2)
    await receiver.until(2)
    await stop(t, "SoftStop", second)
    await asyncio.sleep(40)
    assert sorted(await receiver.until(5)) == [
        "job.completed", "job.created", "job.created", "job.started", "job.stopped",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "prefix", "length"), [("base64", "", 44), ("sha256=base64", "sha256=", 51), ("sha256=hex", "sha256=", 71)]
)
async def test_forms_of_the_signature(tenant, receiver, form, prefix, length):
    """The signature comes in each form that is known of."""
    hook = Webhook(url=receiver.url, secret=SECRET, events=frozenset({"job.completed"}))
    t = await tenant(webhooks=(hook,), webhook_traffic=WebhookTraffic(signature=form), duration=0)
    await t.start(n=1)
    await receiver.until(1)
    _, body, signed = receiver.heard[0]
    assert good(body, signed)
    assert (signed.startswith(prefix), len(signed)) == (True, length)


async def test_breaker(tenant, receiver):
    """A delivery that is not answered 2xx disables the webhook: its events are lost, and nothing is tried again."""
    receiver.statuses = [503]
    hook = Webhook(url=receiver.url, events=frozenset({"job.completed"}))
    t = await tenant(webhooks=(hook,), webhook_traffic=WebhookTraffic(breaker=100), duration=0)
    await t.start(n=1)
    await receiver.until(1)
    await asyncio.sleep(1)
    await t.start(n=2)
    await asyncio.sleep(100)
    await t.start(n=3)
    await receiver.until(2)
    assert [event["Job"]["OutputArguments"]["n"] for event, _, _ in receiver.heard] == [1, 3]
    counters = t.simulator.counters
    assert (counters.webhooks, counters.webhooks_failed, counters.webhooks_skipped) == (2, 1, 1)


async def test_admin_closes_the_breaker(tenant, receiver):
    """A webhook without a listener is disabled for an hour, unless it is enabled again."""
    hook = Webhook(url="http://127.0.0.1:1/", events=frozenset({"job.completed"}))
    t = await tenant(webhooks=(hook,), duration=0)
    await t.start(n=1)
    await asyncio.sleep(1)
    (shown,) = await t.admin("GET", "webhooks")
    assert shown["disabled_for"] == pytest.approx(3599, abs=1)
    assert (shown["sent"], shown["failed"], shown["signed"]) == (1, 1, False)
    await t.admin("POST", "webhooks/enable")
    assert (await t.admin("GET", "webhooks"))[0]["disabled_for"] == 0


async def test_receiver_that_hangs(tenant):
    """A delivery that is not answered in time has failed."""

    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with TestServer(app, host="127.0.0.1") as server:
        t = await tenant(
            webhooks=(Webhook(url=str(server.make_url("/")), events=frozenset({"job.completed"})),), duration=0
        )
        await t.start(n=1)
        await asyncio.sleep(11)
        assert t.simulator.counters.webhooks_failed == 1


@pytest.mark.parametrize(
    ("trouble", "heard", "signed"),
    [
        ({"lose_every": 2}, [1, 3, 5], [True] * 3),
        ({"double_every": 3}, [1, 2, 3, 3, 4, 5, 6, 6], [True] * 8),
        ({"delay_every": 2, "delay": 1.5}, [1, 3, 2, 5, 4, 6], [True] * 6),
        ({"forge_every": 3}, [1, 2, 3, 4, 5, 6], [True, True, False] * 2),
    ],
)
async def test_troubles(tenant, receiver, trouble, heard, signed):
    """Every n-th event may get lost, come twice, late, or with a signature that is not the tenant's."""
    hook = Webhook(url=receiver.url, secret=SECRET, events=frozenset({"job.completed"}))
    t = await tenant(webhooks=(hook,), webhook_traffic=WebhookTraffic(**trouble), duration=0)
    for n in range(1, 7):
        await t.start(n=n)
        await asyncio.sleep(1)
    await receiver.until(len(heard))
    assert [event["Job"]["OutputArguments"]["n"] for event, _, _ in receiver.heard] == heard
    assert [good(body, header) for _, body, header in receiver.heard] == signed
    ids = {(event["EventId"], event["Job"]["OutputArguments"]["n"]) for event, _, _ in receiver.heard}
    assert len(ids) == len(set(heard))
    assert t.simulator.counters.webhooks_lost == (3 if "lose_every" in trouble else 0)


async def test_registered_while_running(tenant, receiver):
    """A webhook can be registered, looked at and removed at run time; the reset forgets it."""
    t = await tenant(duration=0)
    await t.start(n=0)
    given = {"url": receiver.url, "secret": SECRET, "events": ["job.completed"], "name": "late"}
    shown = await t.admin("POST", "webhooks", json=given)
    assert (shown["name"], shown["signed"], shown["events"]) == ("late", True, ["job.completed"])
    assert SECRET not in json.dumps(await t.admin("GET", "webhooks"))
    await t.start(n=1)
    await receiver.until(1)
    await t.admin("DELETE", "webhooks")
    await t.start(n=2)
    await t.admin("POST", "webhooks", json=given)
    await t.admin("POST", "reset")
    assert await t.admin("GET", "webhooks") == []
    await t.start(n=3)
    await asyncio.sleep(1)
    assert [event["Job"]["OutputArguments"]["n"] for event, _, _ in receiver.heard] == [1]


@pytest.mark.parametrize(
    "given",
    [[], {}, {"url": 1}, {"url": "ftp://x"}, {"url": "http://x", "events": ["job.new"]}, {"url": "http://x", "a": 1}],
)
async def test_webhook_that_makes_no_sense(tenant, given):
    """What is no webhook is 400, and is not registered."""
    t = await tenant()
    assert (await t.call("POST", "/_sim/webhooks", {}, json=given)).status == 400
    assert await t.admin("GET", "webhooks") == []


async def test_admin_names_the_events(tenant):
    """The admin's page lists the events that there are."""
    t = await tenant()
    assert set((await t.call("GET", "/_sim", {})).json["events"]) == WEBHOOK_EVENTS


async def test_webhook_of_a_long_output(tenant, receiver):
    """An output that is a file, or no object, is told of all the same."""
    hook = Webhook(url=receiver.url, events=frozenset({"job.completed"}))
    t = await tenant(webhooks=(hook,), duration=0, max_inline_output=10)
    (text,) = await begin(t, arguments={"output": [1]})
    (long,) = await begin(t, arguments={"output_size": 100})
    await receiver.until(2)
    told = {event["Job"]["Key"]: event["Job"] for event, _, _ in receiver.heard}
    assert told[text["Key"]]["OutputArguments"] is None
    assert told[long["Key"]]["OutputFile"] == (await read(t, long))["OutputFile"]


async def test_stopping_ends_deliveries(tenant):
    """A tenant that stops does not wait for deliveries, and leaves none behind."""
    begun = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(600)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with TestServer(app, host="127.0.0.1") as server:
        t = await tenant(webhooks=(Webhook(url=str(server.make_url("/"))),), duration=0)
        await t.start(n=1)
        await begun.wait()
        began = asyncio.get_running_loop().time()
        await t.server.close()
        assert asyncio.get_running_loop().time() - began < 5
        assert t.simulator.counters.webhooks_failed == 0
