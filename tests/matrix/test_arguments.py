"""What arrives upstream: the caller's arguments byte for byte, but for `$callMode`, which is the gateway's own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.app.lifecycle import running
from gateway.core.modes import UpstreamMode
from tests.matrix.client import open_session
from tests.support.listening import listening
from tests.support.rig import BASE_PATH, TOKEN, config, policy, with_store

METHODS = ("POST", "PUT", "DELETE")
"""The verbs whose arguments are in the body."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
"""What `curl -d` says of every body."""


@dataclass(frozen=True)
class Start:
    """A start as it came over the wire."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass
class Recorder:
    """A gateway in front of an upstream that takes note of every start and answers each with its outcome at once."""

    session: aiohttp.ClientSession
    url: str = ""
    starts: list[Start] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Take a start."""
        self.starts.append(Start(request.method, request.raw_path, request.headers, await request.read()))
        return web.json_response({"taken": True})

    async def call(
        self, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Start:
        """Call the gateway; return what came of it upstream."""
        async with self.session.request(
            method,
            URL(self.url + target, encoded=True),
            data=body,
            headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})},
            skip_auto_headers=("Content-Type",),
        ) as response:
            assert (response.status, await response.json()) == (200, {"taken": True})
        start = self.starts.pop()
        assert self.starts == []
        return start


@contextlib.asynccontextmanager
async def recording(redis_url: str, asks: UpstreamMode | None) -> AsyncIterator[Recorder]:
    """Run a gateway that asks for a mode, or for none, in front of a recorder."""
    async with open_session() as session:
        recorder = Recorder(session)
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{target:.*}", recorder.take)
        async with listening(app) as origin:
            settings = config(origin + BASE_PATH, shared=with_store(redis_url), policy=policy(upstream_mode=asks))
            async with running(settings) as addresses:
                recorder.url = f"http://{addresses['data']}"
                yield recorder


@pytest.fixture
async def recorder(redis_url):
    """A gateway that asks for AsyncRequestReply."""
    async with recording(redis_url, UpstreamMode.ASYNC) as each:
        yield each


@pytest.fixture
async def unasking(redis_url):
    """A gateway that asks for nothing."""
    async with recording(redis_url, None) as each:
        yield each


ASKING = b'"$callMode":"AsyncRequestReply"'

OBJECTS: dict[str, tuple[bytes, bytes]] = {
    "odd-spacing": (b' {\n "z" : 1.10 ,"a":1 } ', b" {" + ASKING + b',\n "z" : 1.10 ,"a":1 } '),
    "numbers": (
        b'{"i":123456789012345678901234567890,"f":1.10,"e":1E+2,"n":-0.0}',
        b"{" + ASKING + b',"i":123456789012345678901234567890,"f":1.10,"e":1E+2,"n":-0.0}',
    ),
    "escapes": (b'{"\\u0061":"\\u00e4\xc3\xa4\\/"}', b"{" + ASKING + b',"\\u0061":"\\u00e4\xc3\xa4\\/"}'),
    "empty-object": (b"{ }", b"{" + ASKING + b" }"),
    "nothing": (b"", b"{" + ASKING + b"}"),
    "its-own-mode": (b'{"a":1, "$callMode" : "Sync" ,"b":2}', b"{" + ASKING + b',"a":1, "b":2}'),
    "nested-mode": (b'{"a":{"$callMode":"Sync"}}', b"{" + ASKING + b',"a":{"$callMode":"Sync"}}'),
    "large": (b'{"a":"' + b"x" * 500_000 + b'"}', b"{" + ASKING + b',"a":"' + b"x" * 500_000 + b'"}'),
}
"""JSON objects: as the caller sends them, and as they are to arrive."""

OPAQUE: dict[str, tuple[bytes, str | None]] = {
    "array": (b"[ 1.10, {} ]", JSON),
    "string": (b' "a" ', JSON),
    "form": (b"a=1&b=%20+&%24callMode=Sync", FORM),
    "xml": (b"<?xml version='1.0'?><a/>", "text/xml; charset=utf-8"),
    "binary": (bytes(range(256)), "application/octet-stream"),
    "unlabelled": (b"\x00{not json", None),
    "almost-json": (b'{"a":1,}', "text/plain"),
}
"""Bodies without room for `$callMode`, each with its label: they arrive as they are."""


@pytest.mark.parametrize(("sent", "arrives"), OBJECTS.values(), ids=OBJECTS.keys())
async def test_an_object_arrives_byte_for_byte_with_the_mode_spliced_in(recorder, sent, arrives):
    """Whatever its label says, it goes as JSON."""
    for method, label in itertools.product(METHODS, (JSON, FORM, "text/plain; charset=utf-8", None)):
        start = await recorder.call(method, "/t/folder/slug", sent, {} if label is None else {"Content-Type": label})
        assert (start.method, start.target) == (method, f"{BASE_PATH}/t/folder/slug")
        assert start.body == arrives
        assert start.headers["Content-Type"] == JSON
        assert start.headers["Content-Length"] == str(len(arrives))


@pytest.mark.parametrize("method", METHODS)
async def test_without_a_mode_to_ask_for_nothing_is_added(unasking, method):
    """An object arrives as it was sent; the caller's own `$callMode` is cut out, with the one comma that is its own."""
    start = await unasking.call(method, "/t/f/s", b' {"a" : 1.10} ')
    assert start.body == b' {"a" : 1.10} '
    start = await unasking.call(method, "/t/f/s", b'{"a" : 1.10 , "$callMode":"Sync", "b":2}')
    assert start.body == b'{"a" : 1.10 ,  "b":2}'


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("body", "label"), OPAQUE.values(), ids=OPAQUE.keys())
async def test_any_other_body_arrives_untouched(recorder, method, body, label):
    """Bytes and label, and no `$callMode` anywhere."""
    start = await recorder.call(method, "/t/f/s", body, {} if label is None else {"Content-Type": label})
    assert (start.method, start.body, start.headers.get("Content-Type")) == (method, body, label)
    assert start.target == f"{BASE_PATH}/t/f/s"


@pytest.mark.parametrize(
    ("query", "arrives"),
    [
        ("", "?$callMode=AsyncRequestReply"),
        ("?a=1&b=%20+%C3%A4&a=2&c", "?a=1&b=%20+%C3%A4&a=2&c&$callMode=AsyncRequestReply"),
        ("?a=1&%24callMode=Sync&b=2", "?a=1&b=2&$callMode=AsyncRequestReply"),
        ("?a=%7B%22n%22%3A1.10%7D", "?a=%7B%22n%22%3A1.10%7D&$callMode=AsyncRequestReply"),
    ],
)
async def test_the_arguments_of_a_get_arrive_byte_for_byte_in_its_query(recorder, query, arrives):
    """With the mode as one more parameter, and no body."""
    start = await recorder.call("GET", f"/t/folder/slug{query}")
    assert (start.method, start.body) == ("GET", b"")
    assert start.target == f"{BASE_PATH}/t/folder/slug{arrives}"


async def test_a_get_without_a_mode_to_ask_for_keeps_its_query(unasking):
    """But for the caller's own `$callMode`."""
    start = await unasking.call("GET", "/t/f/s?a=%20+&b")
    assert start.target == f"{BASE_PATH}/t/f/s?a=%20+&b"
    start = await unasking.call("GET", "/t/f/s?a=%20+&$callMode=Sync&b")
    assert start.target == f"{BASE_PATH}/t/f/s?a=%20+&b"


@pytest.mark.parametrize("method", METHODS)
async def test_a_chunked_upload_arrives_whole_with_its_length(recorder, method):
    """Incoming chunks are framed anew."""

    async def chunks() -> AsyncIterator[bytes]:
        for part in (b'{"a":', b"[1.10,", b" 2]", b"}"):
            yield part

    start = await recorder.call(method, "/t/f/s", chunks())
    assert start.body == b"{" + ASKING + b',"a":[1.10, 2]}'
    assert start.headers["Content-Length"] == str(len(start.body))
    assert "Transfer-Encoding" not in start.headers


@pytest.mark.parametrize("path", ["/t/folder/a%20b", "/t/My%20Folder/Gr%C3%B6%c3%9fe", "/t/f/s/more/x=1,2@:!"])
async def test_the_path_arrives_byte_for_byte(recorder, path):
    """Its escapes as they were sent, upper case or lower."""
    assert (await recorder.call("POST", path, b"{}")).target == BASE_PATH + path
    assert (await recorder.call("POST", BASE_PATH + path, b"{}")).target == BASE_PATH + path


async def test_the_callers_own_fields_arrive_and_the_gateways_do_not(recorder):
    """Jobs may read headers; what speaks to the gateway is for the gateway alone."""
    for_the_gateway = {
        "Call-Mode": "sync",
        "Prefer": "wait=10",
        "Call-On-Timeout": "fail",
        "Idempotency-Key": "k",
        "Cookie": "a=b",
        "X-Forwarded-For": "192.0.2.1",
    }
    own = {"X-Order": "a  b", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    start = await recorder.call("POST", "/t/f/s", b"{}", {**for_the_gateway, **own})
    assert {name: start.headers[name] for name in own} == own
    assert not any(name in start.headers for name in for_the_gateway)
    assert start.headers["Authorization"] == f"Bearer {TOKEN}"
    assert start.headers["Accept-Encoding"] == "identity"
