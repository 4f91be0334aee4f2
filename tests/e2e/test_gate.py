"""Nothing leads out of the triggers' prefix: request targets as raw bytes, and what of them reaches the upstream."""

from __future__ import annotations

import json

import pytest

from gateway.web.settings import Route
from tests.e2e.support import Answer, exchange, fronting
from tests.support.rig import TOKEN, rig, with_store
from tests.upstream.http1.raw_origin import OK, RawOrigin

BASE = "/acme/prod/orchestrator_"

ESCAPES = [
    "/t/../odata/Jobs", "/t/f/../../odata/Jobs", "/t/./f/s", "/t/..", "/../odata/Jobs",
    "/t/%2e%2e/odata/Jobs", "/t/.%2e/odata", "/t/%2E%2E%2Fodata", "/t/f/%2e",
    "/t/..%2fodata", "/t/f%2fs", "/t/f%2Fs", "/t/..%5codata", "/t/..\\odata", "/t/f%5Cs",
    "/t/..;/odata", "/t/..%3b/odata", "/t/f;x=1/s", "//t/f/s", "/t//odata", "/t//../../odata", "//evil.test/t/f/s",
    "/t/f/s%00", "/t/f%00/s", "/t/f/s%0d%0aX-Evil:1", "/t/%ff", "/t/%c0%ae%c0%ae/odata", "/t/%zz", "/t/%",
    "/odata/Jobs", "/T/f/s", "/%74/f/s", "/api/..%2ft/f/s",
    f"{BASE}/odata/Jobs", f"{BASE}/t/../odata/Jobs", f"{BASE}/t/%2e%2e/odata", f"{BASE}/../t/../x", f"{BASE}t/f/s",
    "http://evil.test/t/../odata", "http://evil.test//t/f/s", "http://evil.test", "http://user@evil.test/t/f/s",
    "http://evil.test\\/t/f/s", "ftp://evil.test/t/f/s", "*", "t/f/s", "?x", "@evil.test/t/f/s",
    "/-/call/sync/../../odata", "/-/call/sync/odata/Jobs", "/-/call/sync//t/f/s", "/-/call/t/f/s", "/-/jobs/../t/f/s",
    "/-/jobs/%2e%2e/poll", "/t/f/s#fragment", "/t/f /s",
]  # fmt: skip
"""Targets of which nothing may reach the upstream."""

RAW_ESCAPES = [b"/t/f/s\x00", b"/t/f\x00/s", b"/t/\xc3\xa9", b"/t/f\x7f", b"/t/f\ts", b"/t/..\x00/odata"]

PASSING = {
    "/t/f/s": f"{BASE}/t/f/s",
    f"{BASE}/t/f/s": f"{BASE}/t/f/s",
    "/t/f/s?next=/../..//%2e%2e;%2f": f"{BASE}/t/f/s?next=/../..//%2e%2e;%2f",
    "/t/f/Caf%C3%A9%20%7e/...": f"{BASE}/t/f/Caf%C3%A9%20%7e/...",
    "/t/f/%252e%252e": f"{BASE}/t/f/%252e%252e",
    "http://evil.test/t/f/s?x": f"{BASE}/t/f/s?x",
    "/-/call/sync/t/f/s": f"{BASE}/t/f/s",
}
"""Targets that pass, and how they go upstream: byte for byte, below the upstream's base."""


def request(target: bytes, method: bytes = b"POST") -> bytes:
    """Return a request whose target is exactly these bytes."""
    return (
        method + b" " + target + b" HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer " + TOKEN.encode()
        + b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )  # fmt: skip


@pytest.fixture
async def gate(redis_url):
    """Give an origin, and a gateway that passes through to it."""
    async with RawOrigin([OK]) as origin, fronting(origin.url + BASE, shared=with_store(redis_url)) as caller:
        yield origin, caller.url


def check_refused(target: object, answer: Answer | None) -> None:
    """See that a target was refused: by a problem where it was read, by the parser's plain 400 where it was not."""
    assert answer is not None, target
    if answer.problem is None:
        assert answer.status == 400, target
    else:
        assert (answer.status, answer.problem) in {
            (400, "bad-request"),
            (400, "unknown-mode"),
            (404, "not-a-trigger"),
            (404, "not-found"),
        }, target


@pytest.mark.parametrize("method", [b"POST", b"GET"])
async def test_no_target_leads_out_of_the_prefix(gate, method):
    """Dot segments, escaped or not, separators in disguise, parameters, empty segments, other forms: nothing passes."""
    origin, url = gate
    for target in [target.encode() for target in ESCAPES] + RAW_ESCAPES:
        check_refused(target, await exchange(url, request(target, method)))
    assert origin.requests == []


async def test_what_passes_goes_on_as_it_was_sent(gate):
    """Path and query byte for byte; the host is the upstream's, whatever the target or the Host field says."""
    origin, url = gate
    for target in PASSING:
        answer = await exchange(url, request(target.encode()))
        assert answer is not None, target
        assert answer.status == 200, target
    lines = [head.split(b"\r\n")[0].decode() for head in origin.requests]
    assert lines == [f"POST {path} HTTP/1.1" for path in PASSING.values()]
    assert all(f"\r\nHost: {origin.url.removeprefix('http://')}\r\n".encode() in head for head in origin.requests)


async def test_a_route_is_matched_by_its_exact_path(redis_url):
    """With routes configured there is no prefix at all: only their paths, and only to their triggers."""
    route = Route(name="invoices", path="/invoices", trigger="/t/f/s")
    async with (
        RawOrigin([OK]) as origin,
        fronting(origin.url + BASE, shared=with_store(redis_url), routes=(route,)) as caller,
    ):
        for target in (
            "/invoices/",
            "/invoices/x",
            "/Invoices",
            "/%69nvoices",
            "/t/f/s",
            "/x/../invoices",
            f"{BASE}/t/f/s",
        ):
            check_refused(target, await exchange(caller.url, request(target.encode())))
        assert origin.requests == []
        answer = await exchange(caller.url, request(b"/invoices?a=%2F"))
        assert answer is not None
        assert answer.status == 200
        assert origin.requests[0].startswith(f"POST {BASE}/t/f/s?a=%2F HTTP/1.1\r\n".encode())


async def test_many_fields_that_are_each_within_the_limit(redis_url):
    """Together they are not: 431, the connection closed, nothing started."""
    async with rig(shared=with_store(redis_url)) as running:
        many = {f"X-Field-{number}": "a" * 3_000 for number in range(20)}
        status, headers, body = await running.call(data=b"{}", headers=many)
        assert (status, json.loads(body)["type"]) == (431, "urn:callmode:problem:headers-too-large")
        assert headers["Connection"] == "close"
        status, _, _ = await running.call(data=b'{"duration":0.05}', headers=dict(list(many.items())[:8]))
        assert status == 200
        assert running.simulator.counters.starts == 1
