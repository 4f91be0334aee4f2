"""Callers as they come: HTTP/1.0, compressed bodies, requests in a row, HEAD, and those that do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.web.settings import Route
from tests.e2e.support import check_problem, eventually, exchange, fronting
from tests.support.rig import BASE_PATH, TOKEN, policy, simulated, with_store


@pytest.fixture
async def gateway(redis_url):
    """A simulator and a client of a gateway before it."""
    untracked = policy(
        track=False,
        caller_mode=CallerMode.FORGET,
        allowed_modes=frozenset({CallerMode.FORGET}),
        upstream_mode=UpstreamMode.FORGET,
    )
    routes = (Route("add", "/add", "/t/folder/async"), Route("tell", "/tell", "/t/folder/async", policy=untracked))
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=routes) as caller,
    ):
        yield simulator, caller


def raw(line: str, *fields: str, body: str = "") -> bytes:
    """Return a request as bytes."""
    head = (line, f"Authorization: Bearer {TOKEN}", *fields, f"Content-Length: {len(body)}", "", body)
    return "\r\n".join(head).encode()


async def test_http_1_0_without_a_host(gateway):
    """Its job URLs name the address that was called."""
    _, caller = gateway
    answer = await exchange(caller.url, raw("POST /add HTTP/1.0", "Call-Mode: async", body='{"id":"a","duration":0.1}'))
    assert answer is not None
    assert answer.status == 202
    assert answer.headers["Location"].startswith(f"{caller.url}/-/jobs/")


async def test_a_compressed_body(gateway):
    """Its arguments reach the job, and nothing upstream calls them compressed any more."""
    simulator, caller = gateway
    body = gzip.compress(json.dumps({"id": "a", "n": 1, "duration": 0.1}).encode())
    answer = await caller(
        path="/add", data=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
    )
    assert (answer.status, answer.json) == (200, {"id": "a", "n": 1})
    assert simulator.starts_by_argument == {"a": 1}


async def test_a_body_that_is_not_in_its_coding(gateway):
    """Is the caller's error, not the gateway's, and starts nothing."""
    simulator, caller = gateway
    answer = await caller(path="/add", data=b"{}", headers={"Content-Encoding": "gzip"})
    check_problem(answer, 400, "bad-request")
    assert simulator.counters.starts == 0


async def test_events_of_a_job_by_head_and_post(gateway):
    """HEAD has a head, at once and without a body; only GET streams."""
    _, caller = gateway
    started = await caller(path="/add", json={"id": "a", "duration": 5}, headers={"Call-Mode": "async"})
    events = f"/-/jobs/{started.headers['Job-Id']}/events"
    async with asyncio.timeout(2):
        answer = await caller("HEAD", started.headers["Location"].replace("/poll", "/events"))
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "text/event-stream", b"")
    refused = await caller("POST", events)
    check_problem(refused, 405, "method-not-allowed")
    assert refused.headers["Allow"] == "GET, HEAD"


async def test_requests_in_a_row_on_one_connection(gateway):
    """Are answered in their order, though a later one's job ends sooner."""
    simulator, caller = gateway
    host, _, port = caller.url.removeprefix("http://").partition(":")
    bodies = [json.dumps({"id": name, "duration": duration}) for name, duration in (("a", 0.4), ("b", 0.1))]
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(raw("POST /add HTTP/1.1", "Host: gw.test", body=bodies[0]))
        writer.write(raw("POST /add HTTP/1.1", "Host: gw.test", "Connection: close", body=bodies[1]))
        async with asyncio.timeout(10):
            answers = (await reader.read()).decode()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert answers.count("HTTP/1.1 200 OK") == 2
    assert answers.index('{"id":"a"}') < answers.index('{"id":"b"}')
    assert simulator.starts_by_argument == {"a": 1, "b": 1}


@pytest.mark.parametrize("path", ["/add", "/tell"])
async def test_a_caller_that_goes_at_once(gateway, path):
    """Its call was complete, so its job is started, once, whether or not there is a record of it."""
    simulator, caller = gateway
    host, _, port = caller.url.removeprefix("http://").partition(":")
    for number in range(20):
        body = json.dumps({"id": str(number), "duration": 0.1})
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw(f"POST {path} HTTP/1.1", "Host: gw.test", body=body))
        await writer.drain()
        await asyncio.sleep(number * 0.0002)
        writer.close()

    async def begun() -> bool:
        return len(simulator.starts_by_argument) == 20

    await eventually(begun)
    assert set(simulator.starts_by_argument.values()) == {1}


async def test_nothing_is_said_of_a_type_that_nobody_gave(gateway):
    """An empty answer has no Content-Type that the server would make up."""
    _, caller = gateway
    answer = await caller(path="/add", json={"id": "a", "duration": 0.1}, headers={"Call-Mode": "forget"})
    assert (answer.status, answer.body) == (200, b"")
    assert "Content-Type" not in answer.headers


async def test_a_connection_that_is_not_used_again_is_announced(gateway):
    """After a chunked request, whose framing a server between may have read otherwise."""
    _, caller = gateway
    chunked = (
        f"POST /add HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        '10\r\n{"duration":0.1}\r\n0\r\n\r\n'
    )
    answer = await exchange(caller.url, chunked.encode())
    assert answer is not None
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
