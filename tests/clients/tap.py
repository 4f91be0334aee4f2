"""A tap on the wire: relays bytes between a caller and the gateway, and shows the heads of the caller's requests.

What a caller really sends on each hop (its method, whether Authorization is still there) is in no log of the gateway.
The caller's Host names the tap, so the job's URLs, which the gateway makes from Host, lead through it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_HEAD = re.compile(rb"(?<![^\n}])([A-Z]+) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
"""A request's head: first in its connection, or after another head or a body, which ends in `}` or a last chunk.

No parser of HTTP's: those that there are stop at the `Upgrade: h2c` that java.net.http sends.
"""


@dataclass(frozen=True)
class Request:
    """The head of one request; field names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


class Tap:
    """A running tap. `url` is what callers call."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sent: list[bytearray] = []
        self._grown = asyncio.Event()

    @property
    def requests(self) -> list[Request]:
        """The requests so far, connection by connection."""
        return [_request(*head.groups()) for sent in self._sent for head in _HEAD.finditer(sent)]

    @property
    def hops(self) -> list[Request]:
        """The requests to a wait URI: one for each redirect that a long-poll caller followed."""
        return [request for request in self.requests if "/wait?" in request.target]

    async def followed(self, hops: int, *, within: float = 10) -> None:
        """Wait until so many redirects were followed. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.hops) < hops:
                self._grown.clear()
                await self._grown.wait()

    def connection(self) -> Callable[[bytes], None]:
        """Return what to call with the bytes that one more connection sends."""
        sent = bytearray()
        self._sent.append(sent)

        def record(data: bytes) -> None:
            sent.extend(data)
            self._grown.set()

        return record


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[Tap]:
    """Relay to the server at `url` from a free port, until the block ends; connections still open are then cut."""
    origin = urlsplit(url)
    relays: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(origin.hostname, origin.port)
        await asyncio.gather(_pump(reader, upstream_writer, tap.connection()), _pump(upstream_reader, writer))

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(asyncio.create_task(relay(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    tap = Tap(f"http://{host}:{port}")
    try:
        yield tap
    finally:
        server.close()
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


def _unread(_: bytes) -> None:
    """What the gateway answers is for the caller alone."""


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Callable[[bytes], None] = _unread
) -> None:
    # A caller that has its answer may reset the connection: not the tap's business.
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            record(data)
            writer.write(data)
            await writer.drain()


def _request(method: bytes, target: bytes, fields: bytes) -> Request:
    lines = (line.partition(":") for line in fields.decode("latin-1").splitlines())
    headers = {name.lower(): value.strip() for name, _, value in lines}
    return Request(method.decode(), target.decode(), headers)
