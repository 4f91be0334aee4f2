"""A request as handlers see it: what aiohttp's parser read, the connection it came on, and what is noted of it."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, HttpVersion11, StreamReader
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping
from yarl import URL

from gateway.web.names import names_of

if TYPE_CHECKING:
    from gateway.web.connection import Connection
    from gateway.web.gateway import Gateway


_NEEDED = frozenset({"host", "last-event-id", "origin", "x-forwarded-host", "x-forwarded-proto"})
"""Fields that an answer depends on: where job URLs lead, who may read it, and where a stream goes on."""

_EMPTY: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
_NOTHING = RawRequestMessage("", "/", HttpVersion11, _EMPTY, (), False, None, False, False, URL("/"))


@lru_cache(maxsize=256)
def _few(fields: tuple[tuple[str, str], ...]) -> CIMultiDictProxy[str]:
    """Return these fields: one and the same for all callers that have the same."""
    return CIMultiDictProxy(CIMultiDict(fields))


class Request:
    """One request. Times are seconds of the loop's clock."""

    __slots__ = (
        "_message",
        "_path",
        "begun",
        "connection",
        "gateway",
        "headed",
        "headers",
        "http10",
        "id",
        "keeping",
        "keeps",
        "method",
        "names",
        "notes",
        "origins",
        "payload",
        "raw_path",
        "wants_continue",
    )  # fmt: skip

    def __init__(self, connection: Connection, message: RawRequestMessage, payload: StreamReader) -> None:
        self.connection = connection
        """What it came on, for who writes the answer piece by piece."""
        self._message = message
        self.payload = payload
        """The body as it comes in, its coding taken off."""
        self.gateway: Gateway = connection.gateway
        self._path: str | None = None
        self.method = message.method
        self.headers: CIMultiDictProxy[str] = message.headers
        names = self.names = names_of(message.raw_headers)
        self.raw_path = message.path
        """The request target, as it came over the wire."""
        self.http10: bool = message.version == HttpVersion10
        """Whether the caller speaks HTTP/1.0, and so takes no chunks."""
        # A peer may have framed a request in chunks otherwise than we did: nothing more is read after one.
        self.keeps: bool = not (message.should_close or message.chunked or "transfer-encoding" in names.present)
        """Whether the connection may be used for another request, as far as this one is concerned."""
        self.begun = connection.now()
        self.headed = False
        """The head of the answer is written, by a handler that writes it piece by piece."""
        self.id = ""
        """The `{id}` in the path of the route that was taken."""
        self.keeping: Kept | None = None
        """What its handler does whether or not its caller goes, if anything."""
        self.notes: dict[str, object] | None = None
        """What the access log is to say of it; see `log.note`."""
        self.origins: frozenset[str] | None = None
        """Whose pages may read the answer; see `cors.belongs_to`."""
        self.wants_continue = "expect" in names.present
        """The caller waits to be told to send the body (RFC 9110 10.1.1)."""

    def slim(self) -> None:
        """Let go of what no answer is made with: a blocked caller is to cost little.

        Gone are the query and most fields; and what its connection's parser keeps of them.
        """
        if self._path is not None or not self.payload.is_eof():
            return
        self.connection.slim(self.headers)
        self._path = self.raw_path = self.path
        self._message = _NOTHING
        self.payload = EMPTY_PAYLOAD
        self.headers = _few(tuple([(name, value) for name, value in self.headers.items() if name.lower() in _NEEDED]))

    @property
    def path(self) -> str:
        """The path, its escapes decoded."""
        if self._path is not None:
            return self._path
        raw = self.raw_path.partition("?")[0]
        return raw if raw.startswith("/") and "%" not in raw and "#" not in raw else self._message.url.path

    @property
    def escaped_path(self) -> str:
        """The path as it came over the wire, of a target in absolute form too."""
        raw = self.raw_path.partition("?")[0]
        return raw if raw.startswith("/") and "#" not in raw else self._message.url.raw_path

    @property
    def raw_query(self) -> str:
        """The query as it came over the wire; "" for none."""
        return self._message.url.raw_query_string

    @property
    def query(self) -> MultiMapping[str]:
        """The query's parameters, decoded."""
        return self._message.url.query

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The fields in wire order, as bytes."""
        return self._message.raw_headers

    @property
    def version(self) -> tuple[int, int]:
        """The HTTP version that the caller says it speaks."""
        return self._message.version

    @property
    def remote(self) -> str | None:
        """The address of the peer; None where its connection is gone."""
        return self.connection.peer

    @property
    def local(self) -> tuple[str, int] | None:
        """The address that the request came in on; None where its connection is gone."""
        return self.connection.local

    @property
    def gone(self) -> bool:
        """Whether the caller's connection is lost."""
        return self.connection.transport is None

    def tell_to_continue(self) -> None:
        """Tell the caller to send the body, if that is what it waits for."""
        if self.wants_continue:
            self.wants_continue = False
            self.connection.tell_to_continue()

    def kept(self) -> Kept:
        """Return a block in which the handler goes on though its caller goes."""
        self.keeping = Kept()
        return self.keeping


class Kept:
    """While this is entered, the handler of a request goes on though its caller goes: `with request.kept():`.

    Whoever has gone meanwhile is known at the end of the block, as the cancellation that it was.
    """

    __slots__ = ("deferred", "entered")

    def __init__(self) -> None:
        self.entered = False
        self.deferred = False
        """The caller went within the block."""

    def __enter__(self) -> None:
        self.entered = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.entered = False
        if self.deferred:
            raise asyncio.CancelledError
