"""`PUT /-/jobs/{id}?route=…`: jobs whose callers choose their ids."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.simulator import Simulator
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, fronting
from tests.support.rig import BASE_PATH, TOKEN, policy, simulated, with_store

UNTRACKED = policy(
    track=False,
    caller_mode=CallerMode.FORGET,
    allowed_modes=frozenset({CallerMode.FORGET}),
    upstream_mode=UpstreamMode.FORGET,
)
ROUTES = (
    Route("add", "/add", "/t/folder/async"),
    Route("other", "/other", "/t/folder/async"),
    Route("look", "/look", "/t/folder/async", methods=frozenset({"GET"})),
    Route("tell", "/tell", "/t/folder/async", policy=UNTRACKED),
)
ARGUMENTS = {"id": "a", "duration": 0.2}


@contextlib.asynccontextmanager
async def gateway(redis_url: str, **settings: object) -> AsyncIterator[tuple[Simulator, Caller]]:
    """Give a simulator and a client of a gateway before it."""
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), **settings) as caller,
    ):
        yield simulator, caller


async def put(caller: Caller, chosen: str, route: str = "add", more: str = "", **kwargs: object) -> Answer:
    """Start the job of a chosen id."""
    kwargs.setdefault("json", ARGUMENTS)
    return await caller("PUT", f"/-/jobs/{quote(chosen, safe='')}?route={quote(route, safe='')}{more}", **kwargs)


async def test_a_call_in_any_mode(redis_url):
    """The first one starts the job; every other one of the same id attaches to it, in the mode that it asks for."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        started = await put(caller, "order-7", headers={"Call-Mode": "async"})
        assert (started.status, started.headers.get("Idempotent-Replayed")) == (202, None)
        answers = [
            await put(caller, "order-7", headers={"Call-Mode": mode}) for mode in CallerMode if mode != "callback"
        ]
        assert [answer.status for answer in answers] == [200, 202, 200, 200, 200]
        assert {answer.headers["Idempotent-Replayed"] for answer in answers} == {"true"}
        assert {answer.headers["Job-Id"] for answer in answers} == {started.headers["Job-Id"]}
        assert json.loads(answers[0].body) == {"id": "a"}
        assert simulator.counters.starts == 1


async def test_its_links_have_an_id_of_their_own(redis_url):
    """The chosen one is only a name for it: it may be guessed, and is a call's to know."""
    async with gateway(redis_url, routes=ROUTES) as (_, caller):
        started = await put(caller, "order-7", headers={"Call-Mode": "async"})
        assert "order-7" not in str(started.headers)
        assert "order-7" not in started.body.decode()
        assert started.headers["Location"].startswith(f"{caller.url}/-/jobs/{started.headers['Job-Id']}/poll")
        check_problem(await caller("GET", "/-/jobs/order-7"), 404, "not-found")


async def test_fifty_at_once(redis_url):
    """Start one job."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(put(caller, "order-7")) for _ in range(50)]
        assert {(task.result().status, task.result().body) for task in tasks} == {(200, b'{"id":"a"}')}
        assert simulator.counters.starts == 1


@pytest.mark.parametrize(
    "change",
    [{"json": {"id": "a", "duration": 0.3}}, {"route": "other"}, {"more": "&x=1"}, {"data": b"text", "json": None}],
)
async def test_another_call_of_the_same_id(redis_url, change):
    """422: other arguments, or another route, are another call."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        await put(caller, "order-7")
        check_problem(await put(caller, "order-7", **change), 422, "idempotency-key-reused")
        assert simulator.counters.starts == 1


async def test_ids_belong_to_their_callers(redis_url):
    """The same one of somebody else is another job, as is an idempotency key of the same text."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller), calling(caller.url, token="other") as other:
        answers = [
            await put(caller, "order-7"), await put(other, "order-7"),
            await caller(path="/add", json=ARGUMENTS, headers={"Idempotency-Key": "order-7"}),
        ]  # fmt: skip
        assert len({answer.headers["Job-Id"] for answer in answers}) == 3
        assert simulator.counters.starts == 3


async def test_an_erased_one_is_not_begun_again(redis_url):
    """410, for as long as its tombstone stands."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        ended = await put(caller, "order-7")
        assert (await caller("DELETE", f"/-/jobs/{ended.headers['Job-Id']}")).status == 204
        check_problem(await put(caller, "order-7"), 410, "job-expired")
        assert simulator.counters.starts == 1


@pytest.mark.parametrize("chosen", ["!", "a/b?c=d&e#f", "~" * 255, "%41", 'ab"\\;'])
async def test_ids_of_any_visible_characters(redis_url, chosen):
    """Percent-encoded as a path wants it, up to 255 of them."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        path = "".join(f"%{ord(each):02X}" for each in chosen)
        for replayed in (None, "true"):
            answer = await caller("PUT", f"/-/jobs/{path}?route=add", json=ARGUMENTS)
            assert (answer.status, answer.headers.get("Idempotent-Replayed")) == (200, replayed)
        assert simulator.counters.starts == 1


@pytest.mark.parametrize("path", ["a%20b", "%C3%A9", "%00", "%FF", "a" * 256])
async def test_ids_that_are_none(redis_url, path):
    """400, and nothing is started."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        check_problem(await caller("PUT", f"/-/jobs/{path}?route=add", json=ARGUMENTS), 400, "bad-request")
        assert simulator.counters.starts == 0


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "bad-request"), ("?route=", 400, "bad-request"), ("?route=add&route=add", 400, "bad-request"),
        ("?route=nothing", 404, "not-a-trigger"), ("?route=/add", 404, "not-a-trigger"),
        ("?route=/t/folder/async", 404, "not-a-trigger"), ("?route=add&method=TRACE", 405, "method-not-allowed"),
        ("?route=look&method=POST", 405, "method-not-allowed"), ("?route=tell", 400, "bad-request"),
    ],
)  # fmt: skip
async def test_what_cannot_be_started(redis_url, query, status, code):
    """Said before anything is."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        check_problem(await caller("PUT", f"/-/jobs/order-7{query}", json=ARGUMENTS), status, code)
        assert simulator.counters.starts == 0


async def test_with_a_key_as_well(redis_url):
    """400: it is not clear which of the two would tell a repetition."""
    async with gateway(redis_url, routes=ROUTES) as (_, caller):
        check_problem(await put(caller, "order-7", headers={"Idempotency-Key": "k"}), 400, "bad-request")


async def test_arguments_in_the_query(redis_url):
    """For a route that is called by GET, all but the gateway's own parameters."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        answer = await put(caller, "order-7", "look", "&id=b&duration=0.1&n=%2F", json=None)
        assert (answer.status, answer.json) == (200, {"id": "b", "n": "/"})
        (job,) = simulator.jobs.values()
        assert "route" not in job.arguments.values


async def test_a_verb_of_ones_own(redis_url):
    """Where a trigger has several, the caller says which one is meant; PUT is only how a job is named."""
    async with gateway(redis_url, routes=ROUTES) as (simulator, caller):
        answer = await put(caller, "order-7", more="&method=put")
        assert answer.status == 200
        assert simulator.counters.starts == 1


async def test_under_pass_through(redis_url):
    """The route is the trigger's own path, alone or behind the upstream's base."""
    async with gateway(redis_url) as (simulator, caller):
        first = await put(caller, "order-7", "/t/folder/async")
        again = await put(caller, "order-7", f"{BASE_PATH}/t/folder/async")
        assert (first.status, again.headers["Idempotent-Replayed"]) == (200, "true")
        check_problem(await put(caller, "order-8", "/odata/Jobs"), 404, "not-a-trigger")
        check_problem(await put(caller, "order-8", "/t/../odata"), 400, "bad-request")
        assert simulator.counters.starts == 1


async def test_under_the_gateways_own_credential(redis_url):
    """All callers are one, and so are their ids."""
    async with (
        gateway(redis_url, routes=ROUTES, bearer=TOKEN) as (simulator, caller),
        calling(caller.url, token=None) as nobody,
    ):
        answers = [await put(each, "order-7") for each in (caller, nobody)]
        assert len({answer.headers["Job-Id"] for answer in answers}) == 1
        assert simulator.counters.starts == 1
