"""The three call modes on the wire, and who may call."""

from __future__ import annotations

import asyncio

import pytest

from gateway.simulator import Trigger

pytestmark = pytest.mark.looptime


def now() -> float:
    """Return the running loop's (virtual) time."""
    return asyncio.get_running_loop().time()


async def test_async_polling(tenant):
    """202 + status URI, 200 while running, 303 + output URI, the output: the page's own order."""
    t = await tenant(duration=600)
    started = await t.start(n=1)
    assert (started.status, started.body) == (202, b"")
    running = await t.get(started.location)
    assert (running.status, running.json) == (200, {"status": "Running"})
    await asyncio.sleep(601)
    ended = await t.get(started.location)
    assert ended.status == 303
    output = await t.get(ended.location)
    assert (output.status, output.body) == (200, b'{"n":1}')
    assert (await t.get(ended.location)).body == output.body
    counters = t.simulator.counters
    assert (counters.starts, counters.jobs, counters.polls, counters.outputs, counters.legs) == (1, 1, 2, 2, 0)


async def test_long_polling_within_the_first_leg(tenant):
    """A job shorter than a leg answers its own start, at the moment it ends."""
    t = await tenant(mode="LongPolling")
    began = now()
    reply = await t.start(n=1, duration=24)
    assert (reply.status, reply.json) == (200, {"n": 1})
    assert now() - began == pytest.approx(24, abs=0.5)


@pytest.mark.parametrize("unique", [True, False])
async def test_long_polling_redirect_loop(tenant, unique):
    """Each leg is held 25 s, then redirected to a status URI, until one of them gives the output itself."""
    t = await tenant(unique_legs=unique)
    began = now()
    reply = await t.start(**{"$callMode": "LongPolling", "duration": 60, "n": 1})
    seen = []
    while reply.status == 303:
        seen.append(reply.location)
        reply = await t.get(reply.location)
    assert (reply.status, reply.json) == (200, {"n": 1})
    assert len(seen) == 2
    assert len(set(seen)) == (2 if unique else 1)
    assert now() - began == pytest.approx(60, abs=0.5)
    assert t.simulator.counters.legs == 3


async def test_long_polling_ends_after_the_limit(tenant):
    """After 15 minutes the caller gets 504 with error code 4803; the job itself goes on."""
    t = await tenant(mode="LongPolling", duration=1000)
    began = now()
    reply = await t.start()
    hops = 0
    while reply.status == 303:
        hops += 1
        last = reply.location
        reply = await t.get(last)
    assert (reply.status, reply.json["errorCode"], hops) == (504, 4803, 35)
    assert now() - began == pytest.approx(900, abs=1)
    await asyncio.sleep(101)
    assert (await t.get(last)).status == 200


async def test_fire_and_forget(tenant):
    """200 and nothing else; the job runs."""
    t = await tenant(mode="FireAndForget", duration=5)
    reply = await t.start(id="a")
    assert (reply.status, reply.body) == (200, b"")
    assert not {"Location", "Content-Type"} & set(reply.headers)
    assert "a" not in t.simulator.ended_at
    began = now()
    await asyncio.sleep(6)
    assert t.simulator.ended_at["a"] == pytest.approx(began + 5, abs=0.1)


@pytest.mark.parametrize(
    ("slug", "call_mode", "status"),
    [
        ("job", None, 202),
        ("job", "FireAndForget", 200),
        ("async-1", None, 202),
        ("longpoll-1", None, 303),
        ("longpoll-1", "AsyncRequestReply", 202),
        ("forget-1", None, 200),
        ("forget-1", "LongPolling", 303),
        ("fixed-longpoll", "AsyncRequestReply", 303),
        ("fixed-async", "FireAndForget", 202),
        ("own", None, 303),
        ("own", "AsyncRequestReply", 303),
    ],
)
async def test_mode_of_a_start(tenant, slug, call_mode, status):
    """The mode is the trigger's own, unless `$callMode` says another and the trigger honours it."""
    t = await tenant(duration=60, triggers={"own": Trigger(mode="LongPolling", honour_call_mode=False)})
    arguments = {} if call_mode is None else {"$callMode": call_mode}
    assert (await t.start(slug, **arguments)).status == status


async def test_call_mode_in_the_query(tenant):
    """A GET has all its arguments, `$callMode` too, in the query; their values stay strings."""
    t = await tenant()
    reply = await t.get(t.path() + "?%24callMode=LongPolling&duration=0.5&n=007&s=a%20b")
    assert (reply.status, reply.json) == (200, {"n": "007", "s": "a b"})


async def test_unknown_call_mode_is_refused(tenant):
    """A mode that Orchestrator does not have starts nothing."""
    t = await tenant()
    reply = await t.start(**{"$callMode": "Sync"})
    assert (reply.status, reply.json["errorCode"], t.simulator.counters.jobs) == (400, 4804, 0)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_every_verb_starts(tenant, method):
    """A trigger is started by whichever verb it was given."""
    t = await tenant()
    target = t.path() + ("?n=1" if method == "GET" else "")
    reply = await t.call(method, target, **({} if method == "GET" else {"json": {"n": "1"}}))
    assert reply.status == 202
    assert [job.arguments.own for job in t.simulator.jobs.values()] == [{"n": "1"}]


async def test_wrong_verb_is_no_trigger(tenant):
    """A trigger answers to its own verbs only; HEAD never starts anything."""
    t = await tenant(triggers={"put-only": Trigger(methods=frozenset({"PUT"}))})
    assert (await t.start("put-only", method="PUT")).status == 202
    refused = await t.start("put-only")
    assert (refused.status, refused.json["errorCode"]) == (404, 1623)
    assert (await t.call("HEAD", t.path())).status == 404
    assert t.simulator.counters.jobs == 1


@pytest.mark.parametrize(
    "base", ["", "/orchestrator_", "/acme/prod/orchestrator_", "/o/t/orchestrator_", "/a%20b/%2Fx"]
)
async def test_any_base_path(tenant, base):
    """Triggers live under `/t/` below any base, and a job's URIs under the same base."""
    t = await tenant(duration=0)
    started = await t.call("POST", f"{base}/t/folder/job/route/deeper?x=%2Ft%2F", json={})
    assert started.status == 202
    assert started.location.startswith(f"{t.origin}{base}/api%2Dcalls/")
    assert [job.slug for job in t.simulator.jobs.values()] == ["job"]
    assert (await t.get((await t.get(started.location)).location)).json == {"x": "/t/"}


async def test_not_a_trigger(tenant):
    """Unknown slugs are 404 with error code 1623; other paths are just 404."""
    t = await tenant(unknown_slugs=frozenset({"nope"}))
    missing = await t.start("nope")
    assert (missing.status, missing.json["errorCode"]) == (404, 1623)
    assert (await t.get("/elsewhere")).status == 404


async def test_bearer_tokens(tenant):
    """Every call needs a token that the tenant accepts; one without the scope is forbidden; nothing starts."""
    t = await tenant(tokens=frozenset({"good"}), forbidden_tokens=frozenset({"weak"}))
    target = t.path()
    for header, status in [
        (None, 401),
        ("Bearer bad", 401),
        ("Basic good", 401),
        ("Bearer ", 401),
        ("Bearer weak", 403),
    ]:
        reply = await t.call("POST", target, {} if header is None else {"Authorization": header}, json={})
        assert reply.status == status
        assert reply.json["message"]
    assert (t.simulator.counters.jobs, t.simulator.counters.refused) == (0, 5)
    good = {"Authorization": "Bearer good"}
    started = await t.call("POST", target, good, json={})
    assert started.status == 202
    assert (await t.get(started.location, {})).status == 401
    assert (await t.get(started.location, good)).status == 200


@pytest.mark.parametrize(("required", "status"), [(True, 401), (False, 200)])
async def test_token_on_redirects(tenant, required, status):
    """The tenant's setting frees the redirects of long polls, and nothing else."""
    t = await tenant(require_auth_on_redirects=required, leg=1, duration=1.5)
    held = await t.start("longpoll")
    assert (await t.get(held.location, {})).status == status
    started = await t.start("async")
    assert (await t.get(started.location, {})).status == 401
    assert (await t.call("POST", t.path("longpoll"), {}, json={})).status == 401


async def test_edge_fields(tenant):
    """Every answer carries what the edge adds, a cookie of its own included."""
    t = await tenant()
    for reply in (await t.start(), await t.start(fault="502-after"), await t.get("/elsewhere")):
        assert reply.headers["Server"] == "cloudflare"
        assert {"CF-RAY", "Set-Cookie", "Cache-Control"} <= set(reply.headers)


async def test_no_token_needed(tenant):
    """A tenant can be open altogether."""
    t = await tenant(require_auth=False)
    assert (await t.call("POST", t.path(), {}, json={})).status == 202


async def test_read_once(tenant):
    """Where results can be read once only, the second read is 404."""
    t = await tenant(read_once=True, duration=0)
    output = (await t.get((await t.start()).location)).location
    assert [(await t.get(output)).status for _ in range(2)] == [200, 404]


async def test_only_get_reads(tenant):
    """Status URIs take GET; another verb is 405 and changes nothing."""
    t = await tenant(duration=0)
    started = await t.start()
    assert (await t.call("POST", started.location)).status == 405


async def test_retry_after_while_running(tenant):
    """Retry-After is sent with 202 and with 200 while running, where the tenant does so."""
    t = await tenant(retry_after_on_running=7)
    started = await t.start()
    running = await t.get(started.location)
    assert started.headers["Retry-After"] == running.headers["Retry-After"] == "7"


async def test_counts_by_argument(tenant):
    """The argument `id` tags a start: starts, jobs and the job's end are counted by it."""
    t = await tenant(duration=3)
    began = now()
    await asyncio.gather(t.start(id="a"), t.start(id="a"), t.start(id=7))
    assert dict(t.simulator.starts_by_argument) == {"a": 2, "7": 1}
    assert dict(t.simulator.jobs_by_argument) == {"a": 2, "7": 1}
    await asyncio.sleep(4)
    assert set(t.simulator.ended_at) == {"a", "7"}
    assert t.simulator.ended_at["a"] == pytest.approx(began + 3, abs=0.1)


async def test_open_connections(tenant):
    """Connections are counted while they are open."""
    t = await tenant(mode="LongPolling", leg=5)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(t.start(duration=2))
        await asyncio.sleep(1)
        assert t.simulator.counters.open_connections == 3
    await t.session.close()
    await asyncio.sleep(1)
    assert t.simulator.counters.open_connections == 0


async def test_stopping_releases_held_calls(tenant):
    """A tenant that stops lets go of its held calls instead of waiting for them."""
    t = await tenant(mode="LongPolling", duration=100)
    began = now()
    async with asyncio.TaskGroup() as group:
        held = group.create_task(t.start())
        await asyncio.sleep(1)
        await t.server.close()
    assert held.result().status == 303
    assert now() - began < 5
