"""Bad input gets a problem document that names the cause, and starts nothing."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.core.modes import CallerMode
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, exchange, fronting
from tests.support.rig import BASE_PATH, TOKEN, policy, simulated, with_store

JSON = "application/json"


@dataclass(frozen=True)
class Bad:
    """A request that is refused, with what is said of it: status, problem, and words of the detail."""

    status: int
    code: str
    words: tuple[str, ...] = ()
    method: str = "POST"
    path: str = "/t/folder/async"
    body: bytes = b'{"n":1}'
    headers: tuple[tuple[str, str], ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


def body(
    data: bytes, *words: str, label: str = JSON, path: str = "/t/folder/async", code: str = "bad-arguments"
) -> Bad:
    """Return a request with a body that is refused."""
    return Bad(400, code, words, path=path, body=data, headers=(("Content-Type", label),))


def header(status: int, code: str, *words: str, **fields: str) -> Bad:
    """Return a request with a header that is refused."""
    return Bad(status, code, words, headers=tuple((name.replace("_", "-"), value) for name, value in fields.items()))


def twice(name: str, first: str, second: str) -> Bad:
    """Return a request with a header that comes twice."""
    return Bad(400, "ambiguous-header", (name,), headers=((name, first), (name, second)))


BAD = {
    "not a trigger": Bad(404, "not-a-trigger", path="/invoices"),
    "the root": Bad(404, "not-a-trigger", path="/"),
    "no folder": Bad(404, "not-a-trigger", path="/t/"),
    "a look-alike": Bad(404, "not-a-trigger", path="/tx/folder/async"),
    "below the reserved prefix": Bad(404, "not-a-trigger", path="/-/nothing"),
    "a job by POST": Bad(405, "method-not-allowed", path="/-/jobs/x"),
    "not json": body(b'{"n":', "labelled JSON"),
    "not json by suffix": body(b"n=1", "labelled JSON", label="application/vnd.x+json; charset=utf-8"),
    "not utf-8": body(b'{"n":"\xff"}', "UTF-8"),
    "two values": body(b'{"n":1}{"n":2}', "labelled JSON"),
    "not a number": body(b'{"n":NaN}', "NaN"),
    "too deep": body(b'{"n":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    "mode twice in the body": body(b'{"$callMode":"Sync","$callMode":"Sync"}', "twice"),
    "mode twice, once escaped": body(b'{"$callMode":"Sync","$call\\u004dode":"Sync"}', "twice"),
    "mode twice, another label": body(b'{"$callMode":"Sync","$callMode":"Sync"}', "twice", label="text/plain"),
    "mode twice in the query": body(b"{}", "twice", path="/t/folder/async?$callMode=Sync&%24callMode=Sync"),
    "mode in body and query": body(b'{"$callMode":"Sync"}', "$callMode", path="/t/folder/async?$callMode=Sync"),
    "mode in another case": body(b'{"$CallMode":"Sync"}', "$callMode"),
    "mode in another case in the query": body(b"{}", "$callMode", path="/t/folder/async?$CALLMODE=Sync"),
    "mode that is no string": body(b'{"$callMode":1}', "$callMode"),
    "unknown mode in the body": body(b'{"$callMode":"Soon"}', "LongPolling", "long-poll", code="unknown-mode"),
    "unknown mode in the query": Bad(
        400, "unknown-mode", ("LongPolling",), method="GET", path="/t/folder/async?$callMode=Soon", body=b""
    ),
    "unknown mode in the header": header(400, "unknown-mode", "long-poll", Call_Mode="soon"),
    "unknown mode in the path": Bad(400, "unknown-mode", ("long-poll",), path="/-/call/soon/t/folder/async"),
    "the inert fourth mode": body(b'{"$callMode":"AsyncCallback"}', code="unknown-mode"),
    "a body over the limit": Bad(413, "body-too-large", ("limits.body",), body=b" " * (1 << 20) + b"{}"),
    "HEAD": Bad(405, "method-not-allowed", method="HEAD", body=b""),
    "TRACE": Bad(405, "method-not-allowed", ("POST",), method="TRACE", body=b""),
    "prefetch": header(403, "prefetch-refused", Sec_Purpose="prefetch;prerender"),
    "prefetch, older": header(403, "prefetch-refused", Purpose="prefetch"),
    "no bearer": header(401, "credential-missing", "Bearer", Authorization="Basic dTpw"),
    "an empty bearer": header(401, "credential-missing", "Bearer", Authorization="Bearer "),
    "two bearers": twice("Authorization", f"Bearer {TOKEN}", "Bearer other"),
    "one bearer twice": twice("Authorization", f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
    "two modes": twice("Call-Mode", "sync", "async"),
    "two keys": twice("Idempotency-Key", "a", "b"),
    "unknown time-out": header(400, "bad-request", "Call-On-Timeout", "redirect", Call_On_Timeout="explode"),
    "unknown departure": header(400, "bad-request", "Call-On-Disconnect", "leave", Call_On_Disconnect="explode"),
    "no number of seconds": header(400, "bad-request", "Cancel-After", "seconds", Cancel_After="soon"),
    "a cancel that nothing could": header(400, "cancel-unavailable", Cancel_After="5"),
    "two departures": twice("Call-On-Disconnect", "leave", "cancel"),
    "two ends": twice("Cancel-After", "5", "6"),
    "an empty key": header(400, "bad-request", "Idempotency-Key", Idempotency_Key='""'),
    "a long key": header(400, "bad-request", "255", Idempotency_Key="k" * 256),
    "a key that is not ASCII": header(400, "bad-request", "ASCII", Idempotency_Key="sch\u00f6n"),
    "no place to call back": header(400, "bad-callback-url", "Callback-Url", Call_Mode="callback"),
    "callbacks are off": header(400, "bad-callback-url", "callbacks.allow", Callback_Url="https://hooks.example.com/"),
}  # fmt: skip


@pytest.fixture
async def gateway(redis_url):
    """Give a simulator and a client of a gateway before it."""
    async with simulated() as (simulator, origin), fronting(origin + BASE_PATH, shared=with_store(redis_url)) as caller:
        yield simulator, caller


async def send(caller: Caller, bad: Bad) -> Answer:
    """Send one request of the table."""
    return await caller(bad.method, bad.path, data=io.BytesIO(bad.body), headers=CIMultiDict(bad.headers))


async def test_bad_input_is_named_and_starts_nothing(gateway):
    """One problem document for each request of the table, and no call upstream for any."""
    simulator, caller = gateway
    seen = {name: await send(caller, bad) for name, bad in BAD.items()}
    assert {name: (answer.status, answer.problem) for name, answer in seen.items()} == {
        name: (bad.status, None if bad.method == "HEAD" else bad.code) for name, bad in BAD.items()
    }
    details = {name: check_problem(seen[name], b.status, b.code) for name, b in BAD.items() if b.method != "HEAD"}
    unnamed = {name: detail for name, detail in details.items() if any(word not in detail for word in BAD[name].words)}
    assert unnamed == {}
    assert not any("Job-Id" in answer.headers for answer in seen.values())
    assert simulator.counters.starts == 0
    assert (await caller(json={"id": "a", "duration": 0.1})).status == 200  # and none of it keeps the next from working


async def test_a_missing_credential_is_asked_for(gateway):
    """A 401 names the scheme (RFC 9110 15.5.2)."""
    simulator, caller = gateway
    async with calling(caller.url, token=None) as nobody:
        answer = await nobody(json={"n": 1})
    check_problem(answer, 401, "credential-missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert simulator.counters.starts == 0


@pytest.mark.parametrize(
    "fields",
    [("Content-Type: application/json", "Content-Type: text/plain"), ("Host: other.test",), ("Content-Length: 3",)],
)
async def test_what_no_parser_may_read_is_refused_by_the_first(gateway, fields):
    """Fields whose repetition makes the message itself ambiguous never reach a handler."""
    simulator, caller = gateway
    head = ("POST /t/folder/async HTTP/1.1", "Host: gw.test", f"Authorization: Bearer {TOKEN}", "Content-Length: 2")
    answer = await exchange(caller.url, "\r\n".join((*head, *fields, "", "{}")).encode())
    assert answer is not None
    assert answer.status == 400
    assert simulator.counters.starts == 0


UNCLEAR = {
    "a host with a user": ("HTTP/1.1", "Host: user@gw.test"),
    "a host with a space": ("HTTP/1.1", "Host: gw test"),
    "two hosts in one": ("HTTP/1.1", "Host: gw.test, evil.test"),
    "a host with a path": ("HTTP/1.1", "Host: gw.test/x"),
    "a host with a bad port": ("HTTP/1.1", "Host: gw.test:80a"),
    "an escaped host": ("HTTP/1.1", "Host: gw%2etest"),
    "no host": ("HTTP/1.1", "Host: "),
    "another coding": ("HTTP/1.1", "Host: gw.test", "Transfer-Encoding: gzip, chunked"),
    "a later version": ("HTTP/2.0", "Host: gw.test"),
    "an earlier version": ("HTTP/0.9", "Host: gw.test"),
}
"""Requests that another server could read otherwise: their version and fields."""


@pytest.mark.parametrize("name", UNCLEAR)
async def test_what_has_two_readings_is_refused(gateway, name):
    """A problem, and nothing started: whoever is behind must not read it in the other way."""
    simulator, caller = gateway
    version, *fields = UNCLEAR[name]
    body = "2\r\n{}\r\n0\r\n\r\n" if "coding" in name else "{}"
    framing = [] if "coding" in name else ["Content-Length: 2"]
    lines = (f"POST /t/folder/async {version}", *fields, f"Authorization: Bearer {TOKEN}", *framing, "", body)
    answer = await exchange(caller.url, "\r\n".join(lines).encode())
    assert answer is not None
    check_problem(answer, 400, "bad-request")
    assert simulator.counters.starts == 0


async def test_a_body_over_the_limit_is_refused_though_it_says_no_length(gateway):
    """The limit counts what comes, and the connection is not used again."""
    simulator, caller = gateway

    async def endless():
        for _ in range(17):
            yield b" " * 65_536

    answer = await caller(data=endless(), headers={"Content-Type": JSON})
    check_problem(answer, 413, "body-too-large")
    assert answer.headers["Connection"] == "close"
    assert simulator.counters.starts == 0


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}])
async def test_options_starts_nothing(gateway, headers):
    """A preflight asks what may be sent; it is no call."""
    simulator, caller = gateway
    answer = await caller("OPTIONS", headers={**headers, "Authorization": ""})
    assert answer.status == 204
    assert "POST" in answer.headers["Allow"]
    assert simulator.counters.starts == 0


async def test_a_route_says_which_modes_and_methods_it_takes(redis_url):
    """A demand for another mode is 400, an Accept for another 406, a wish for another is not heard."""
    route = Route(
        name="r",
        path="/r",
        trigger="/t/folder/async",
        methods=frozenset({"POST"}),
        policy=policy(allowed_modes=frozenset({CallerMode.SYNC, CallerMode.LONG_POLL})),
    )
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=(route,)) as caller,
    ):
        refused = await caller(path="/r", json={"n": 1}, headers={"Call-Mode": "stream"})
        assert "long-poll, sync" in check_problem(refused, 400, "mode-not-allowed")
        refused = await caller(path="/r", json={"n": 1, "$callMode": "FireAndForget"})
        check_problem(refused, 400, "mode-not-allowed")
        refused = await caller(path="/r", json={"n": 1}, headers={"Accept": "text/event-stream"})
        check_problem(refused, 406, "not-acceptable")
        refused = await caller("PUT", "/r", json={"n": 1})
        assert "POST" in check_problem(refused, 405, "method-not-allowed")
        assert refused.headers["Allow"] == "OPTIONS, POST"
        check_problem(await caller(json={"n": 1}), 404, "not-a-trigger")  # routes are configured: /t/ is none
        assert simulator.counters.starts == 0
        wished = await caller(path="/r", json={"id": "a", "duration": 0.1}, headers={"Prefer": "respond-async"})
        assert (wished.status, wished.json) == (200, {"id": "a"})


async def test_an_unusable_wish_is_not_held_against_the_caller(gateway):
    """`Prefer` is a wish (RFC 7240): nonsense in it is ignored."""
    _, caller = gateway
    answer = await caller(json={"id": "a", "duration": 0.1}, headers={"Prefer": "wait=soon, ;;, respond-quickly"})
    assert (answer.status, answer.json) == (200, {"id": "a"})
    assert "Preference-Applied" not in answer.headers
