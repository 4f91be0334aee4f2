"""A caller's connection, byte for byte: framing, keeping, going; and that aiohttp's parts are those it was made for."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import itertools
import random
import socket
import types
from collections.abc import AsyncIterator
from unittest import mock

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader

from gateway.core.errors import BadRequest
from gateway.web.bodies import read_body
from gateway.web.drain import Drain
from gateway.web.request import Request
from gateway.web.response import Response, Sent
from gateway.web.server import Server
from gateway.web.servers import listen
from gateway.web.settings import Address
from gateway.web.streaming import Writer
from gateway.worker.tasks import Tasks
from tests.web.support import served

POST = b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"


class Handlers:
    """A handler by the request's path, and what became of it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.go = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        """Answer as the path says."""
        try:
            return await getattr(self, request.path.strip("/") or "echo")(request)
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise

    async def echo(self, request: Request) -> Response:
        """Answer with the body."""
        self.told.append("echo")
        return Response(200, (("X-Method", request.method),), await read_body(request))

    async def unread(self, _request: Request) -> Response:
        """Answer without having read the body."""
        return Response(200, (), b"no")

    async def close(self, _request: Request) -> Response:
        """Answer, and want no more."""
        return Response(200, (), b"bye", close=True)

    async def wait(self, request: Request) -> Response:
        """Answer once it is time to."""
        self.connection = request.connection
        self.entered.set()
        await self.go.wait()
        return Response(200, (), b"waited")

    async def slim(self, request: Request) -> Response:
        """Read the body, let go of the rest, and wait: what is answered with is still there."""
        await read_body(request)
        request.slim()
        assert (request.path, request.headers["Host"], request.method) == ("/slim", "x", "POST")
        assert "Content-Length" not in request.headers
        return await self.wait(request)

    async def probed(self, request: Request) -> Response:
        """Answer whether keep-alive probes are sent, and small answers at once."""
        own = request.connection.transport.get_extra_info("socket")
        asked = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return Response(200, (), " ".join(str(own.getsockopt(*option)) for option in asked).encode())

    async def keep(self, request: Request) -> Response:
        """Do what may not be left halfway."""
        with request.kept():
            await self.wait(request)
            self.told.append("finished")
        self.told.append("went on")
        return Response(200)

    async def endless(self, request: Request) -> Response:
        """Answer as much as anybody takes."""
        writer = Writer(request, 200, ())
        self.entered.set()
        with contextlib.suppress(ConnectionError):
            while True:
                await writer.write(bytes(65536))
        self.told.append("gone")
        return Sent(200)

    async def said(self, request: Request) -> Response:
        """Answer with the query."""
        return Response(200, (), request.raw_query.encode())

    async def measured(self, request: Request) -> Response:
        """Answer how much has come that is not handled yet, once there was time to read more."""
        await read_body(request)
        await asyncio.sleep(0.002)
        connection = request.connection
        return Response(200, (), b"%d" % (len(connection._came) + len(connection._behind)))

    async def slimmed(self, request: Request) -> Response:
        """Answer whether the parser was let go of."""
        body = await read_body(request)
        request.slim()
        return Response(200, (), b"held" if request.connection._parser else body)

    async def streamed(self, request: Request) -> Response:
        """Answer in pieces, and break off where the query says so."""
        writer = Writer(request, 200, ())
        await writer.write(b"abc")
        if request.raw_query == "refused":
            raise BadRequest("no")
        if request.raw_query == "bug":
            raise ZeroDivisionError
        writer.end()
        return Sent(200)

    async def bug(self, _request: Request) -> Response:
        """Fail."""
        raise ZeroDivisionError

    async def bad(self, _request: Request) -> Response:
        """Refuse."""
        raise BadRequest("no")

    async def unwritable(self, _request: Request) -> Response:
        """Answer what cannot be written."""
        return Response(200, (("X-A", "a\r\nX-B: b"),))


class Rig:
    """A server of these handlers, and its address."""

    def __init__(self, url: str, handlers: Handlers, drain: Drain) -> None:
        self.handlers, self.drain = handlers, drain
        host, _, port = url.rpartition("//")[2].rpartition(":")
        self.address = (host, int(port))

    async def connect(self) -> Peer:
        """Open a connection."""
        return Peer(*await asyncio.open_connection(*self.address))


class Peer:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send `data` and read one answer."""
        self._writer.write(data)
        return await self.answer()

    def send(self, data: bytes) -> None:
        """Send it."""
        self._writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, fields, body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await self._reader.readexactly(int(fields.get("Content-Length", "0")))
        return int(head[0].split()[1]), fields, body

    async def rest(self) -> bytes:
        """Read until the other side closes."""
        try:
            return await self._reader.read()
        finally:
            await self.close()

    def cut(self) -> None:
        """Go, whatever is still to be sent."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Go."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def rig(*, max_body: int = 1000, keep_alive: float = 75.0) -> AsyncIterator[Rig]:
    """Serve."""
    failed: list[BaseException] = []
    handlers, drain, tasks = Handlers(), Drain(), Tasks(failed.append)
    gateway = types.SimpleNamespace(drain=drain, tasks=tasks, settings=types.SimpleNamespace(max_body=max_body))
    async with served(gateway, handlers, keep_alive=keep_alive) as url:
        yield Rig(url, handlers, drain)
    await tasks.close()
    assert failed == []


def test_aiohttp_is_the_one_that_this_was_written_for():
    """What the connection builds on is not promised to stay: read it again before this line is changed."""
    assert aiohttp.__version__.startswith("3.14.")
    assert {"_loop", "_paused", "_parser", "_buffer_paused", "transport"} <= set(BaseProtocol.__slots__)
    inherited = ("pause_writing", "resume_writing", "resume_reading", "_drain_helper", "_pause_reading_for_buffer")
    assert all(inspect.isfunction(getattr(BaseProtocol, name)) for name in inherited)
    assert HttpRequestParser.__module__ == "aiohttp._http_parser"
    assert hasattr(HttpRequestParser, "feed_data")
    assert all(hasattr(StreamReader, name) for name in ("is_eof", "read_nowait", "readany", "set_exception"))


async def test_one_request_after_another():
    """On one connection, kept."""
    async with rig() as it:
        peer = await it.connect()
        for body in (b"one", b"", b"x" * 1000):
            status, fields, got = await peer.ask(POST % (b"echo", len(body), body))
            assert (status, got, "Connection" in fields) == (200, body, False)
        await peer.close()


async def test_a_request_that_comes_in_pieces():
    """Is one all the same."""
    async with rig() as it:
        peer = await it.connect()
        for piece in (b"POST /ec", b"ho HTTP/1.1\r\nHost: x\r\nConte", b"nt-Length: 4\r\n\r\nbo", b"dy"):
            peer.send(piece)
            await asyncio.sleep(0.02)
        assert (await peer.answer())[2] == b"body"
        await peer.close()


@pytest.mark.parametrize("number", [2, 40, 200])
async def test_pipelined_requests_are_answered_in_order(number: int):
    """However many are sent at once (RFC 9112 9.3.2)."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"".join(POST % (b"echo", 3, b"%03d" % each) for each in range(number)))
        assert [(await peer.answer())[2] for _ in range(number)] == [b"%03d" % each for each in range(number)]
        await peer.close()


@pytest.mark.parametrize("number", [5, 6, 40, 200])
@pytest.mark.parametrize("apart", [False, True], ids=["whole", "behind one in pieces"])
async def test_pipelined_requests_without_a_body_are_answered_in_order(number: int, apart: bool):
    """Nobody reads a body, so nothing but an answer has the next ones parsed."""
    async with rig() as it:
        peer = await it.connect()
        if apart:
            peer.send(b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
            await it.handlers.entered.wait()
        it.handlers.go.set()
        head = b"GET /said?%03d HTTP/1.1\r\nHost: x\r\n\r\n"
        peer.send((b"abc" if apart else b"") + b"".join(head % each for each in range(number)))
        async with asyncio.timeout(5):
            assert not apart or (await peer.answer())[2] == b"waited"
            assert [(await peer.answer())[2] for _ in range(number)] == [b"%03d" % each for each in range(number)]
        await peer.close()


@pytest.mark.parametrize("why", ["refused", "bug"])
async def test_a_stream_that_breaks_off(why: str):
    """Is cut: another answer in its middle would be read as its body."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"GET /streamed?%b HTTP/1.1\r\nHost: x\r\n\r\n" % why.encode())
        got = b""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                got = await peer.rest()
        assert b"HTTP/1.1" not in got[8:]
        assert not got.endswith(b"0\r\n\r\n")


async def test_a_stream_to_http_1_0_ends_with_its_connection():
    """There is no other end to it, whatever the caller would like to keep (RFC 9112 6.3)."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"GET /streamed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await peer.rest()).endswith(b"\r\n\r\nabc")


async def test_a_connection_that_opens_while_its_server_closes():
    """Is closed: the server waits until none is left."""
    server = Server(types.SimpleNamespace(drain=Drain()), None, keep_alive=75.0, logs=False)
    listening = await listen(server, Address("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    listening.close()
    await server.close(0.1)
    transport = mock.Mock()
    server().connection_made(transport)
    transport.close.assert_called_once_with()
    assert await reader.read() == b""
    writer.close()


async def test_a_chunked_request_ends_its_connection():
    """Another server may have framed it otherwise."""
    async with rig() as it:
        peer = await it.connect()
        chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        peer.send(chunked + POST % (b"echo", 3, b"two"))
        status, fields, body = await peer.answer()
        assert (status, fields["Connection"], body) == (200, "close", b"abc")
        assert await peer.rest() == b""


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
     b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 9000)],
)  # fmt: skip
async def test_what_is_no_request(garbage: bytes):
    """Is told so, and nothing after it is read."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(garbage + b"\r\n\r\n" + POST % (b"echo", 3, b"two"))
        status, fields, _ = await peer.answer()
        assert (status, fields["Content-Type"], fields["Connection"]) == (400, "application/problem+json", "close")
        assert await peer.rest() == b""
        assert it.handlers.told == []


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\nA B: c\r\n\r\n"])
@pytest.mark.parametrize("pieces", [1, 2], ids=["whole", "in pieces"])
@pytest.mark.parametrize("path", [b"echo", b"slim"])
async def test_a_request_with_garbage_behind_it(path: bytes, pieces: int, garbage: bytes):
    """Is handled, once, and answered; then the garbage is, and nothing after it is read."""
    async with rig() as it:
        it.handlers.go.set()
        peer = await it.connect()
        for piece in _cut(POST % (path, 3, b"one") + garbage + POST % (b"echo", 3, b"two"), 70 if pieces == 2 else 0):
            peer.send(piece)
            await asyncio.sleep(0.02)
        assert (await peer.answer())[::2] == (200, b"one" if path == b"echo" else b"waited")
        status, fields, _ = await peer.answer()
        assert (status, fields["Content-Type"], fields["Connection"]) == (400, "application/problem+json", "close")
        assert await peer.rest() == b""
        assert it.handlers.told == ["echo"] * (path == b"echo")


async def test_garbage_behind_requests_in_line():
    """Is answered in its turn."""
    async with rig() as it:
        peer = await it.connect()
        get = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
        peer.send(get + POST % (b"echo", 3, b"two") + b"\xff\r\n\r\n" + get)
        await it.handlers.entered.wait()
        peer.send(b"more of it")
        it.handlers.go.set()
        assert [(await peer.answer())[0] for _ in range(3)] == [200, 200, 400]
        assert await peer.rest() == b""


@pytest.mark.parametrize("seed", range(40))
async def test_requests_cut_anywhere(seed: int):
    """Are answered once each and in order, whatever is in their bodies, and however many come at once."""
    dice = random.Random(seed)
    bodies = [
        dice.choice((b"", b"\r\n\r\n", POST % (b"echo", 2, b"no"), b"x" * dice.randrange(900))) for _ in range(30)
    ]
    paths = [dice.choice((b"echo", b"slimmed", b"unread")) for _ in bodies]
    sent = b"".join(POST % (path, len(body), body) for path, body in zip(paths, bodies, strict=True)) + b"\0\r\n"
    async with rig() as it, asyncio.timeout(10):
        peer = await it.connect()
        for piece in _cut(sent, *(dice.randrange(len(sent)) for _ in range(dice.randrange(60)))):
            peer.send(piece)
            await asyncio.sleep(dice.choice((0, 0, 0.001)))
        for path, body in zip(paths, bodies, strict=True):
            status, _, got = await peer.answer()
            assert status == 200
            assert got in {b"echo": {body}, b"slimmed": {body, b"held"}, b"unread": {b"no"}}[path]
        assert (await peer.answer())[0] == 400
        assert await peer.rest() == b""


async def test_much_behind_a_request():
    """Waits with its sender, until there is room for it."""
    async with rig() as it, asyncio.timeout(10):
        peer = await it.connect()
        peer.send(POST % (b"wait", 0, b""))
        await it.handlers.entered.wait()
        peer.send(b"".join(POST % (b"echo", 900, b"x" * 900) for _ in range(300)))
        while not it.handlers.connection._buffer_paused:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
        it.handlers.go.set()
        assert [len((await peer.answer())[2]) for _ in range(301)] == [6, *[900] * 300]
        await peer.close()


@pytest.mark.parametrize("packed", [False, True], ids=["short", "packed"])
async def test_what_is_behind_a_request_does_not_grow_with_each(packed: bool):
    """However many requests come in line: more is read once what came before is used up."""
    body = gzip.compress(bytes(700_000)) if packed else b"x"
    fields = b"Content-Encoding: gzip\r\n" if packed else b""
    one = b"POST /measured HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)
    block = one * (2**20 // len(one))
    async with rig(max_body=2**20) as it, asyncio.timeout(20):
        peer = await it.connect()
        peer.send(block * 20)
        assert max([int((await peer.answer())[2]) for _ in range(60)]) < 2**20
        peer.cut()


def _cut(data: bytes, *places: int) -> list[bytes]:
    marks = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


_HALF = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("before", [b"", POST % (b"echo", 3, b"one")], ids=["first", "later"])
@pytest.mark.parametrize("half", [b"\r\n", b"P", _HALF, _HALF + b"Content-Length: 1\r\n\r"])
@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in pieces"])
async def test_a_head_that_does_not_end(monkeypatch: pytest.MonkeyPatch, before: bytes, half: bytes, together: bool):
    """408, though idle connections are kept for longer."""
    monkeypatch.setattr("gateway.web.server._HEAD", 0.2)
    async with rig() as it, asyncio.timeout(5):
        peer = await it.connect()
        for piece in (before + half,) if together else (before, half):
            peer.send(piece)
            await asyncio.sleep(0.02)
        assert not before or (await peer.answer())[2] == b"one"
        status, fields, _ = await peer.answer()
        assert (status, fields["Content-Type"], fields["Connection"]) == (408, "application/problem+json", "close")
        assert await peer.rest() == b""


async def test_a_head_that_drips(monkeypatch: pytest.MonkeyPatch):
    """408 after the same time, however steadily it comes."""
    monkeypatch.setattr("gateway.web.server._HEAD", 0.3)
    async with rig() as it, asyncio.timeout(5):
        peer = await it.connect()
        peer.send(_HALF)
        answer = asyncio.ensure_future(peer.answer())
        drops = 0
        while not answer.done():
            peer.send(b"X-A: b\r\n")
            drops += 1
            await asyncio.sleep(0.02)
        assert ((await answer)[0], 5 < drops < 25) == (408, True)
        await peer.close()


async def test_a_head_that_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    """Leaves its request all the time that it needs, and its connection the time that idle ones have."""
    monkeypatch.setattr("gateway.web.server._HEAD", 0.2)
    async with rig() as it, asyncio.timeout(5):
        peer = await it.connect()
        for _ in range(2):
            for piece in _cut(POST % (b"wait", 3, b"one"), 5, 70):
                peer.send(piece)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.4)
            it.handlers.go.set()
            assert (await peer.answer())[2] == b"waited"
            await asyncio.sleep(0.4)
        await peer.close()


async def test_a_body_whose_framing_breaks():
    """400 to whoever reads it, and the end of the connection."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
        await asyncio.sleep(0.05)
        peer.send(b"cXX\r\n")
        assert (await peer.answer())[0] == 400
        await peer.rest()


async def test_a_body_that_is_too_large():
    """413; its sender may finish sending before the connection ends, and so sees it."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + b"x" * 500)
        await asyncio.sleep(0.02)
        peer.send(b"x" * 501)
        status, fields, _ = await peer.answer()
        assert (status, fields["Connection"]) == (413, "close")
        assert await peer.rest() == b""


async def test_a_body_that_says_it_is_too_large():
    """413 at once, however little of it comes."""
    async with rig() as it, asyncio.timeout(5):
        peer = await it.connect()
        peer.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % 2**63)
        assert (await peer.answer())[0] == 413
        await peer.close()


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch):
    """408, however steadily it drips; one that comes fast enough has longer."""
    monkeypatch.setattr("gateway.web.bodies._PATIENCE", 0.2)
    monkeypatch.setattr("gateway.web.bodies._SLOWEST", 500)
    monkeypatch.setattr("gateway.web.connection._SHORT_LINGER", 0.3)
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n"
    async with rig() as it, asyncio.timeout(5):
        steady, drip = await it.connect(), await it.connect()
        for peer in (steady, drip):
            peer.send(head)
        for _ in range(8):
            steady.send(b"x" * 50)
            drip.send(b"x")
            await asyncio.sleep(0.05)
        assert (await steady.answer())[0] == 200
        status, fields, _ = await drip.answer()
        assert (status, fields["Connection"]) == (408, "close")
        async with asyncio.timeout(1):
            assert await drip.rest() == b""
        await steady.close()


async def test_a_body_that_nobody_reads():
    """Is read past, and the connection is kept."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        assert (await peer.answer())[2] == b"no"
        peer.send(b"def" + POST % (b"echo", 3, b"two"))
        assert (await peer.answer())[2] == b"two"
        await peer.close()


async def test_who_asks_whether_to_go_on():
    """Is told to once somebody reads the body (RFC 9110 10.1.1)."""
    async with rig() as it:
        peer = await it.connect()
        status, _, _ = await peer.ask(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        assert status == 100
        assert (await peer.ask(b"body"))[2] == b"body"
        await peer.close()


async def test_who_is_refused_before_it_sends():
    """Need not send, and the connection ends, because it may be sending all the same."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"POST /bad HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        status, fields, _ = await peer.answer()
        assert (status, fields["Connection"]) == (400, "close")
        assert await peer.rest() == b""


async def test_an_expectation_that_is_none():
    """417 (RFC 9110 15.5.18)."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: the-best\r\nContent-Length: 0\r\n\r\n")
        assert (await peer.answer())[0] == 417
        assert await peer.rest() == b""


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"HTTP/1.0\r\n", "close"), (b"HTTP/1.0\r\nConnection: keep-alive\r\n", "keep-alive"),
     (b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", "close"), (b"HTTP/1.1\r\nHost: x\r\n", None)],
)  # fmt: skip
async def test_who_keeps_the_connection(head: bytes, said: str | None):
    """The version's default, unless the caller says otherwise."""
    async with rig() as it:
        peer = await it.connect()
        _, fields, _ = await peer.ask(b"GET /echo " + head + b"\r\n")
        assert fields.get("Connection") == said
        if said == "close":
            assert await peer.rest() == b""
        await peer.close()


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
@pytest.mark.parametrize("path", [b"echo", b"slimmed"])
async def test_no_other_protocol_is_spoken(upgrade: bytes, path: bytes):
    """The request is answered as if it had not asked, and so is the next."""
    async with rig() as it:
        peer = await it.connect()
        fields = b"Host: x\r\nConnection: upgrade\r\nUpgrade: %b\r\nContent-Length: 3" % upgrade
        for _ in range(2):
            status, got, body = await peer.ask(b"POST /%b HTTP/1.1\r\n%b\r\n\r\none" % (path, fields))
            assert (status, {"Upgrade", "Connection"} & got.keys(), body) == (200, set(), b"one")
        await peer.close()


@pytest.mark.parametrize("asked", [b"GET /echo", b"CONNECT x:80"])
async def test_what_follows_where_another_protocol_is_asked_for(asked: bytes):
    """May be in that one: nobody reads it."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(
            asked + b" HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + POST % (b"echo", 0, b"")
        )
        assert (await peer.answer())[1]["Connection"] == "close"
        assert await peer.rest() == b""
        assert it.handlers.told == ["echo"]


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_a_chunked_body_where_another_protocol_is_asked_for(upgrade: bytes):
    """Is read, though it comes after its head: Java's client asks for HTTP/2 and sends it so."""
    async with rig() as it, asyncio.timeout(5):
        peer = await it.connect()
        fields = b"Host: x\r\nConnection: upgrade\r\nUpgrade: %b\r\nTransfer-Encoding: chunked" % upgrade
        peer.send(b"POST /echo HTTP/1.1\r\n%b\r\n\r\n" % fields)
        while not it.handlers.told:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
        assert (await peer.ask(b"3\r\none\r\n0\r\n\r\n"))[::2] == (200, b"one")
        assert await peer.rest() == b""


async def test_head_is_answered_with_a_head():
    """And the next answer is found behind it."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n" + POST % (b"echo", 3, b"two"))
        assert (await peer.answer())[1]["X-Method"] == "HEAD"
        assert (await peer.answer())[2] == b"two"
        await peer.close()


async def test_an_answer_that_ends_the_connection():
    """Says so."""
    async with rig() as it:
        peer = await it.connect()
        assert (await peer.ask(POST % (b"close", 0, b"")))[1]["Connection"] == "close"
        assert await peer.rest() == b""


@pytest.mark.parametrize("path", [b"bug", b"unwritable"])
async def test_a_defect(path: bytes):
    """500, and whoever comes next is answered."""
    async with rig() as it:
        peer = await it.connect()
        status, fields, _ = await peer.ask(POST % (path, 0, b""))
        assert (status, "X-B" in fields) == (500, False)
        assert (await peer.ask(POST % (b"echo", 3, b"two")))[2] == b"two"
        await peer.close()


async def test_a_caller_that_goes_ends_its_handler():
    """At once."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(POST % (b"wait", 0, b""))
        await it.handlers.entered.wait()
        await peer.close()
        async with asyncio.timeout(1):
            while not it.handlers.told:  # noqa: ASYNC110 - the handler's end is nobody's event
                await asyncio.sleep(0.01)
        assert it.handlers.told == ["cancelled"]


async def test_what_may_not_be_left_halfway_is_finished():
    """Though its caller goes; the handler ends behind it."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(POST % (b"keep", 0, b""))
        await it.handlers.entered.wait()
        await peer.close()
        await asyncio.sleep(0.05)
        assert it.handlers.told == []
        it.handlers.go.set()
        await asyncio.sleep(0.05)
        assert it.handlers.told == ["finished", "cancelled"]


async def test_an_idle_connection_is_closed():
    """Once it has been so for as long as connections are kept; one that never said a thing too."""
    async with rig(keep_alive=0.2) as it:
        used, silent = await it.connect(), await it.connect()
        await used.ask(POST % (b"echo", 3, b"one"))
        async with asyncio.timeout(2):
            assert [await used.rest(), await silent.rest()] == [b"", b""]


async def test_a_connection_in_use_is_not():
    """However long its answer takes."""
    async with rig(keep_alive=0.1) as it:
        peer = await it.connect()
        peer.send(POST % (b"wait", 0, b""))
        await asyncio.sleep(0.4)
        it.handlers.go.set()
        assert (await peer.answer())[2] == b"waited"
        await peer.close()


async def test_a_replica_that_goes_closes_as_it_answers():
    """So that the next request goes elsewhere."""
    async with rig() as it:
        peer = await it.connect()
        await peer.ask(POST % (b"echo", 3, b"one"))
        it.drain.begin(10)
        assert (await peer.ask(POST % (b"echo", 3, b"two")))[1]["Connection"] == "close"
        assert await peer.rest() == b""


async def test_at_the_end_who_waits_still_is_cut_off():
    """After the time that answers have to leave."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(POST % (b"wait", 0, b""))
        await it.handlers.entered.wait()
    assert it.handlers.told == ["cancelled"]
    with contextlib.suppress(ConnectionError):
        assert await peer.rest() == b""
    await peer.close()


@pytest.mark.parametrize("pieces", [1, 2], ids=["whole", "in pieces"])
async def test_what_comes_while_a_caller_is_blocked_is_not_lost(pieces: int):
    """Its connection keeps next to nothing, and takes the next request all the same."""
    async with rig() as it:
        peer = await it.connect()
        request = POST % (b"slim", 3, b"one")
        for piece in (request[:20], request[20:]) if pieces == 2 else (request,):
            peer.send(piece)
            await asyncio.sleep(0.02)
        await it.handlers.entered.wait()
        peer.send((POST % (b"echo", 3, b"two"))[:-1])
        await asyncio.sleep(0.02)
        peer.send(b"o")
        it.handlers.go.set()
        assert (await peer.answer())[2] == b"waited"
        assert (await peer.answer())[2] == b"two"
        await peer.close()


@pytest.mark.parametrize("before_the_end", [10, 21], ids=["in its body", "in the end of its head"])
async def test_what_looks_like_the_end_of_a_head_in_a_body_is_none(before_the_end: int):
    """The request came in two pieces; what came behind it is still with the parser."""
    async with rig() as it:
        peer = await it.connect()
        request, behind = POST % (b"slim", 20, b"x" * 16 + b"\r\n\r\n"), POST % (b"echo", 3, b"two")
        peer.send(request[:-before_the_end])
        await asyncio.sleep(0.05)
        peer.send(request[-before_the_end:] + behind[:20])
        await it.handlers.entered.wait()
        await asyncio.sleep(0.02)
        peer.send(behind[20:])
        it.handlers.go.set()
        assert [(await peer.answer())[2], (await peer.answer())[2]] == [b"waited", b"two"]
        await peer.close()


async def test_what_came_along_with_a_blocked_callers_request_is_not_lost():
    """Though it was not complete."""
    async with rig() as it:
        peer = await it.connect()
        behind = POST % (b"echo", 3, b"two")
        peer.send(POST % (b"slim", 3, b"one") + behind[:15])
        await it.handlers.entered.wait()
        peer.send(behind[15:])
        it.handlers.go.set()
        assert [(await peer.answer())[2], (await peer.answer())[2]] == [b"waited", b"two"]
        await peer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
async def test_a_caller_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    """In time: it holds a connection, and what was to be sent."""
    monkeypatch.setattr("gateway.web.servers._UNREAD", 300)
    async with rig() as it:
        loop = asyncio.get_running_loop()
        with socket.socket() as peer:
            peer.setblocking(False)
            await loop.sock_connect(peer, it.address)
            await loop.sock_sendall(peer, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(10):
                while not it.handlers.told:  # noqa: ASYNC110 - the handler's end is nobody's event
                    await asyncio.sleep(0.05)


async def test_a_blocked_caller_costs_no_parser():
    """It holds all of the head, and no more is to come before the answer."""
    async with rig() as it:
        peer = await it.connect()
        assert (await peer.ask(POST % (b"slimmed", 3, b"one")))[2] == b"one"
        await peer.close()


async def test_vanished_callers_are_found_out():
    """The system asks after silent peers, because the listening socket says so."""
    async with rig() as it:
        peer = await it.connect()
        peer.send(POST % (b"probed", 0, b""))
        assert (await peer.answer())[2] == b"1 1"
        await peer.close()
