"""One connection of a caller: aiohttp's parser and flow control, with a loop of our own between request and answer.

What aiohttp's `RequestHandler` does besides costs most of a relayed request's CPU time: a second task and two wake-ups
a request, a router, header maps that are copied, a timer a connection. Here the bytes that complete a head begin the
handler's task, and the answer is one write. It is the only place that touches what aiohttp does not promise to keep:
`BaseProtocol` and the C parser; `tests/web/test_connection.py` is pinned to the version that it was read in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDictProxy

from gateway.core.exchange import Headers
from gateway.web import replies, wire
from gateway.web.request import Request
from gateway.web.response import Response, Sent

if TYPE_CHECKING:
    from gateway.web.server import Server

_READ_LIMIT = 256 * 1024
"""Bytes of a body that are read ahead of its handler; twice that stops the socket being read."""

_MOST_BEHIND = 64 * 1024
"""Bytes kept behind the request in hand (pipelining, RFC 9112 9.3.2); more stop the socket being read."""

_LINGER = 10.0
"""Seconds for which a body that nobody wants is read: closed at once, its sender might never see the answer."""

_TOO_SLOW = 408
_SHORT_LINGER = 1.0
"""The same for a body that was waited for in vain."""

_HEAD_END = b"\r\n\r\n"


class Connection(BaseProtocol):
    """A connection, one request in hand at a time. `server` says what handles it.

    The parser stops behind every request, and what follows is looked at once that one is answered: so it is answered
    whatever follows, and nothing but what follows is refused for it.
    """

    __slots__ = ("_behind", "_came", "_deaf", "_in_hand", "_local", "_payload", "_peer", "_task", "gateway", "server")

    def __init__(self, server: Server) -> None:
        super().__init__(server.loop, None)
        self._parser: HttpRequestParser | None = None
        """Made when something comes: idle and blocked callers need none."""
        self._came = b""
        """What came last, as far as its place in the request in hand is known."""
        self._behind = b""
        """What came behind the request in hand; more of it may be with the parser."""
        self._payload: StreamReader = EMPTY_PAYLOAD
        """The body that is read, or was read last."""
        self.server = server
        """What it knows of the other connections of its port."""
        self.gateway = server.gateway
        """The gateway that is called."""
        self._in_hand: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._deaf = False
        """Nothing more is read: what came made no sense, or the connection ends with the answer."""
        self._peer: str | None = None
        self._local: tuple[str, int] | None = None

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return self._loop.time()

    @property
    def peer(self) -> str | None:
        """The caller's address; None once the connection is gone, unless somebody asked before."""
        if self._peer is None and self.transport is not None:
            name = self.transport.get_extra_info("peername")
            self._peer = None if not name else str(name[0])
        return self._peer

    @property
    def local(self) -> tuple[str, int] | None:
        """The address and port that it called."""
        if self._local is None and self.transport is not None:
            name = self.transport.get_extra_info("sockname")
            self._local = None if not name else (name[0], name[1])
        return self._local

    @property
    def busy(self) -> bool:
        """Whether anybody is being answered."""
        return self._in_hand is not None or self._task is not None or self._paused

    # -- what the transport tells ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. The loop has set TCP_NODELAY, and SO_KEEPALIVE comes from the listening socket."""
        self.transport = cast("asyncio.Transport", transport)
        self.server.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End: whoever is answered has gone."""
        super().connection_lost(exc)
        self._deaf = True
        self._behind = b""
        self.server.lost(self)
        if self._in_hand is not None:
            self._in_hand.payload.set_exception(ConnectionResetError("the caller has gone"))
        if self._task is not None:
            self._interrupt(self._task)

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        kept = None if self._in_hand is None else self._in_hand.keeping
        if kept is not None and kept.entered:
            kept.deferred = True
            self.server.keep(task)
        else:
            task.cancel()

    def eof_received(self) -> None:
        """Close: who sends no more is taken to have gone, as by aiohttp itself."""

    def data_received(self, data: bytes) -> None:
        """Read what came; begin with a request that it completes the head of."""
        if self._deaf:
            return
        if self.busy and self._payload.is_eof():
            self._hold(data)
        else:
            self._came = data or self._came  # Without any, the parser is asked for what it has kept.
            self._read(data)

    def _hold(self, data: bytes) -> None:
        self._behind += data
        if len(self._behind) > _MOST_BEHIND and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def _read(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = self._new_parser()
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._misread(error)
            return
        if messages:
            self._begin(*messages[0])
        elif data:
            self._came = b""  # Part of a request: what else is in it only the parser knows.
            if not self.busy:
                self.server.idle.end(self)
                self.server.heads.begin(self)

    def _misread(self, error: HttpProcessingError) -> None:
        """Read no more: where a request ends is not known."""
        if self._payload.is_eof():
            self._refuse(replies.unreadable())
        else:
            self._deaf = True
            self._payload.set_exception(web.RequestPayloadError(str(error)))

    def refuse_head(self) -> None:
        """Have done with a caller that began a head and does not come to its end."""
        self._refuse(replies.head_too_slow())

    def _refuse(self, response: Response) -> None:
        self._write(response, head_only=False, http10=False, keeps=False)
        self._end()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, where a body that nobody took had stopped it: aiohttp asks at the end of every body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)
            self._read_on()

    def resume_writing(self) -> None:
        """Go on: what was written has gone far enough."""
        super().resume_writing()
        if not (self.busy or self._deaf):
            self._next()

    # -- a request and its answer ----------------------------------------------------------------------------------

    def _begin(self, message: RawRequestMessage, payload: StreamReader) -> None:
        self._payload = payload
        request = self._in_hand = Request(self, message, payload)
        if message.upgrade and (message.method == "CONNECT" or not self._let_go(message.headers)):
            # No protocol is switched to here. What follows might be meant for another: nobody reads it.
            request.keeps = False
        if not self.server.idle.end(self):
            self.server.heads.end(self)
        self._task = self._loop.create_task(self.server.handle(request))

    def answer(self, request: Request, response: Response) -> None:
        """Write the answer of the request in hand, and go on. Raises ValueError for one that cannot be written."""
        whole = request.payload.is_eof()
        unsent = not whole and request.wants_continue
        keeps = request.keeps and not (response.close or self.server.closes or self._deaf or unsent)
        if request.headed and not isinstance(response, Sent):
            # It broke off: another head would be read as more of its body. So it ends as what is incomplete does.
            keeps = False
            if self.transport is not None:
                self.transport.abort()
        elif not isinstance(response, Sent):
            self._write(response, head_only=request.method == "HEAD", http10=request.http10, keeps=keeps)
        self._in_hand = self._task = None
        self.server.ended(request, response.status)
        if not (whole or unsent):
            self._linger(request.payload, _LINGER if response.status != _TOO_SLOW else _SHORT_LINGER, keeps=keeps)
        elif keeps:
            self._next(known=self._take_back(request.headers))
        else:
            self._end()

    def unanswered(self, request: Request) -> None:
        """Take note that nobody is left to answer, or nobody to do it."""
        self._in_hand = self._task = None
        self.server.ended(request, None)
        self._end()

    def _write(self, response: Response, *, head_only: bool, http10: bool, keeps: bool) -> None:
        framing = wire.framing_of(keeps=keeps, http10=http10)
        encoded = wire.encode_answer(
            response.status, response.fields, response.body, framing,
            head_only=head_only, second=int(self._loop.time()),
        )  # fmt: skip
        if self.transport is not None:
            self.transport.write(encoded)

    def _linger(self, payload: StreamReader, seconds: float, *, keeps: bool) -> None:
        self._task = task = self._loop.create_task(_discard(payload, seconds))

        def over(_task: asyncio.Task[None]) -> None:
            self._task = None
            if keeps and payload.is_eof():
                self._next()
            else:
                self._end()

        task.add_done_callback(over)

    def _take_back(self, fields: CIMultiDictProxy[str]) -> bool:
        """Take from the parser what came behind a request with these fields; return whether that is known."""
        left = self._left(fields)
        if left:
            self._behind = self._came[-left:] + self._behind
            self._parser = None
        return left is not None

    def _left(self, fields: CIMultiDictProxy[str]) -> int | None:
        """Return how many bytes came behind the request in hand, of these fields; None where only the parser knows."""
        # What begins in the middle of a head's end would have it found in a body.
        head = -1 if self._came[:1] in {b"\r", b"\n"} else self._came.find(_HEAD_END)
        length = fields.get("Content-Length", "0")
        if head < 0 or not length.isdigit() or "Transfer-Encoding" in fields:
            return None
        return len(self._came) - head - len(_HEAD_END) - int(length)

    def _next(self, *, known: bool = False) -> None:
        """Go on with what came behind the last request, if anything did. `known`: the parser has nothing of it."""
        if self._paused or self.transport is None:
            return  # The answers before have to leave first; `resume_writing` comes back here.
        behind, self._behind = self._behind, b""
        known = known or self._parser is None
        self._came = behind if known else b""  # What the parser has kept would come before it.
        if behind or not known:
            self._read(behind)
        self._read_on()
        if self.busy:
            return
        if self._deaf or self.server.closes:
            self._end()
        elif not behind:
            self.server.idle.begin(self)

    def _read_on(self) -> None:
        """Have the socket read again, once what came before it was paused is used up.

        A request whose end has come may have all the rest behind it, with the parser: more would be put on top of that.
        """
        if self._buffer_paused and not (self._reading_paused or (self.busy and self._payload.is_eof())):
            self._resume_reading_for_buffer()

    def _end(self) -> None:
        """Close, once what was written has left."""
        self._deaf = True
        self._behind = b""
        if self.transport is not None:
            self.transport.close()

    # -- the server's side -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close an idle connection; a busy one closes as it answers."""
        if not self.busy:
            self._end()

    def abort(self) -> None:
        """End now, whoever is being answered."""
        if self._task is not None:
            self._interrupt(self._task)
        if self.transport is not None:
            self.transport.abort()

    def slim(self, fields: CIMultiDictProxy[str]) -> None:
        """Let go of body and parser while the request in hand, with these fields, is being waited for.

        The parser holds all of the request's head until another comes.
        """
        self._payload = EMPTY_PAYLOAD
        self._let_go(fields)

    def _let_go(self, fields: CIMultiDictProxy[str]) -> bool:
        """Let go of the parser, where it is certain that it has read nothing behind the request in hand."""
        clean = self._left(fields) == 0
        if clean:
            self._parser = None
        self._came = b""
        return clean

    def _new_parser(self) -> HttpRequestParser:
        return HttpRequestParser(
            self,
            self._loop,
            _READ_LIMIT,
            payload_exception=web.RequestPayloadError,
            max_msg_queue_size=1,  # It is never told that one was consumed: it stops behind each, and keeps the rest.
        )

    # -- a handler's side ------------------------------------------------------------------------------------------

    def tell_to_continue(self) -> None:
        """Tell a caller that waits for it to send the body."""
        if self.transport is not None:
            self.transport.write(wire.CONTINUE)

    def write_head(self, request: Request, status: int, fields: Headers) -> None:
        """Begin an answer of unknown length: in chunks, or to HTTP/1.0 until the connection ends."""
        request.keeps = not request.http10 and request.keeps and not self.server.closes
        framing = wire.framing_of(keeps=request.keeps, http10=request.http10)
        if not request.http10:
            framing += "Transfer-Encoding: chunked\r\n"
        self._transport_for_writing().write(wire.encode_head(status, fields, framing, int(self._loop.time())))
        request.headed = True

    async def write_chunk(self, request: Request, data: bytes) -> None:
        """Write some of the body, and wait until there is room for more. Raises `ConnectionResetError`."""
        self._transport_for_writing().write(data if request.http10 else wire.chunk(data))
        await self._drain_helper()

    def write_end(self, request: Request) -> None:
        """End the body."""
        if not request.http10:
            self._transport_for_writing().write(wire.LAST_CHUNK)

    def _transport_for_writing(self) -> asyncio.Transport:
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the caller has gone")
        return self.transport


async def _discard(payload: StreamReader, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not payload.is_eof():
                await payload.readany()
    except (TimeoutError, web.RequestPayloadError, ConnectionError):
        return
