"""One connection: writes a request, reads the answer with llhttp's parser, and judges how the answer ended.

A connection carries one exchange at a time and never pipelines. `asyncio.Protocol` instead of streams, because the
callbacks then build the answer where the bytes arrive: no reader task, no buffer and no lock per connection, and a
parked long-poll costs one future and one timer.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn, cast

import httptools

from gateway.core.exchange import Answer, Exchanged, Failure, Framing, Reason

_JOIN_LIMIT = 64 * 1024
"""Bodies up to this size are copied behind the head, so that both leave in one system call."""


@lru_cache(maxsize=1024)
def _field_name(name: bytes) -> tuple[str, str]:
    """Return a field's name as text, and in lower case: an upstream says the same few again and again."""
    text = name.decode("latin-1")
    return text, text.lower()


class _Refused(Exception):  # noqa: N818 - control flow out of a parser callback, never seen outside this module
    """Leaves a parser callback; the connection's own fields say why."""


class Connection(asyncio.Protocol):
    """A connection to one origin. Made by `loop.create_connection`, owned by one exchange or idle in the pool."""

    __slots__ = (
        "_body", "_body_size", "_coded", "_deadline", "_declared", "_framing", "_head_only", "_head_size", "_headers",
        "_keep", "_loop", "_max_body", "_max_head", "_on_lost", "_parser", "_poll", "_result",
        "_since_progress", "_started", "_status", "_timer", "_transport", "_waiter", "idle_since", "usable",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_lost: Callable[[Connection], None],
        *,
        max_head: int,
        max_body: int,
    ) -> None:
        self.usable = False
        """No byte, end or error has come that no exchange asked for."""
        self.idle_since = 0.0
        """`loop.time()` at which the pool took it back."""
        self._loop = loop
        self._on_lost = on_lost
        self._max_head = max_head
        self._max_body = max_body
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._waiter: asyncio.Future[Exchanged] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        """When the exchange under way has to be over."""
        self._reset(head_only=False)

    def _reset(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_size = self._head_size = self._since_progress = self._status = 0
        self._coded: str | None = None
        self._declared: int | None = None
        self._framing = Framing.LENGTH
        self._keep = self._started = False
        self._result: Exchanged | None = None

    # -- the owner's side ------------------------------------------------------------------------------------------

    async def exchange(self, head: bytes, body: bytes, *, head_only: bool, deadline: float) -> Exchanged:
        """Write one request and return its answer or failure. `deadline` is on `loop.time()`'s scale.

        Afterwards `usable` says whether the connection may carry another request. Cancellation aborts it.
        """
        if not self.usable or self._transport.is_closing():
            return Failure(Reason.RESET, sent=False, detail="the connection was closed before the request")
        self._reset(head_only=head_only)
        waiter: asyncio.Future[Exchanged] = self._loop.create_future()
        self._waiter = waiter
        if len(body) <= _JOIN_LIMIT:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._watch_until(deadline)
        try:
            return await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None

    def is_quiet(self) -> bool:
        """Say whether the idle connection may carry a request, asking the kernel for what the loop has not read yet.

        Under load a close can wait in the socket for a whole turn of the loop. A start written then would be
        ambiguous for nothing; poll(2) costs half a microsecond.
        """
        return self.usable and not self._poll.poll(0)

    def abort(self) -> None:
        """Close at once, without flushing. The pool hears of it through `on_lost`."""
        self.usable = False
        self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and become usable."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Feed the parser, or drop the connection where no exchange waits for anything."""
        if self._waiter is None or self._waiter.done() or self._parser is None:
            self.abort()
            return
        if not self._started:
            self._started = True
            # llhttp also takes RTSP and ICE, and skips empty lines before the status line.
            if data[:1] != b"H":
                self._conclude(Failure(Reason.MALFORMED, sent=True, detail="the answer is not HTTP"))
                return
        self._since_progress += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # After a complete answer this means bytes behind its end: it counts, its connection does not.
            self._keep = False
            if self._result is None:
                self._result = Failure(Reason.MALFORMED, sent=True, detail=f"the answer is not HTTP/1.1: {error}")
        if self._result is not None:
            self._conclude(self._result)
        elif self._since_progress > self._max_head:
            self._conclude(Failure(Reason.TOO_LARGE, sent=True, detail="the answer's head is over the limit"))

    def eof_received(self) -> bool:
        """Judge the answer by where the peer ended it; False lets the transport close."""
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge the answer by where the connection broke, and tell the pool."""
        self._ended(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._parser = None  # the parser holds this object's methods: a cycle
        self._on_lost(self)

    # -- llhttp's callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second answer behind the first."""
        if self._result is not None:
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field line; note the two that frame the body."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._max_head:
            self._refuse(Reason.TOO_LARGE, "the answer's head is over the limit")
        if self._status:
            return  # a trailer: counted, not kept
        text = value.rstrip(b" \t").decode("latin-1")
        said, lowered = _field_name(name)
        if lowered == "content-length":
            self._declared = int(text)  # llhttp has checked: digits only, one line only, 64 bits
        elif lowered == "transfer-encoding":
            self._coded = text if self._coded is None else f"{self._coded}, {text}"
        self._headers.append((said, text))

    def on_headers_complete(self) -> None:
        """Decide how the body ends. RFC 9112 section 6.3."""
        parser = self._parser
        assert parser is not None, "it calls"
        status = parser.get_status_code()
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._refuse(Reason.MALFORMED, "the answer is not HTTP/1.1")
        if status < 200:
            # 101 would hand the connection to a protocol that was never asked for; a body has no place in a 1xx.
            if status < 100 or status == 101 or self._declared is not None or self._coded is not None:
                self._refuse(Reason.MALFORMED, "the answer has an impossible interim status")
            return
        self._status = status
        self._since_progress = 0
        if self._head_only:
            # llhttp cannot be told that an answer to HEAD has no body: stop it here, at the price of the connection.
            self._complete()
            raise _Refused
        if status in {204, 304}:
            return
        if self._coded is not None:
            # Only the coding that the client can undo, and not from HTTP/1.0, where it means a careless middlebox.
            if self._coded.lower() != "chunked" or version == "1.0":
                self._refuse(Reason.MALFORMED, "the answer has an unexpected Transfer-Encoding")
            self._framing = Framing.CHUNKED
        elif self._declared is None:
            self._framing = Framing.CLOSE
        elif self._declared > self._max_body:
            self._refuse(Reason.TOO_LARGE, "the answer's body is over the limit")

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._since_progress = 0
        self._body_size += len(data)
        if self._body_size > self._max_body:
            self._refuse(Reason.TOO_LARGE, "the answer's body is over the limit")
        self._body.append(data)

    def on_message_complete(self) -> None:
        """End an interim answer, or the answer."""
        if self._status:
            assert self._parser is not None, "it calls"
            self._keep = self._parser.should_keep_alive()
            self._complete()
        else:
            self._headers = []

    # -- endings ---------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._result = Answer(self._status, tuple(self._headers), body, self._framing)

    def _refuse(self, reason: Reason, detail: str) -> NoReturn:
        self._result = Failure(reason, sent=True, detail=detail)
        raise _Refused

    def _conclude(self, result: Exchanged) -> None:
        """Give the exchange its result; close unless another request may follow on this connection."""
        # An answer that came before its request was written out leaves bytes that the peer may never read.
        if not self._keep or self._transport.get_write_buffer_size():
            self.abort()
        self._headers, self._body, self._result = [], [], None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(result)

    def _watch_until(self, deadline: float) -> None:
        """See that the exchange ends by `deadline`. The timer outlives it: the next one is nearly always due later."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline > self._loop.time():
            self._watch_until(self._deadline)
            return
        self._keep = False
        self._conclude(Failure(Reason.TIMEOUT, sent=True, detail="no complete answer in time"))

    def _ended(self, error: Exception | None) -> None:
        clean = error is None and self.usable  # an end that this side made (`abort`) completes no answer
        self.usable = self._keep = False
        if self._waiter is None or self._waiter.done():
            return
        if not self._status:
            detail = "the connection ended before the answer's head"
            self._conclude(Failure(Reason.RESET, sent=True, detail=detail))
        elif self._framing is Framing.CLOSE and clean:
            self._complete()
            self._conclude(cast("Answer", self._result))
        else:
            self._conclude(Failure(Reason.TRUNCATED, sent=True, detail="the connection ended inside the body"))
