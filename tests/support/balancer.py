"""A load balancer of the plainest kind: connections go to one backend after another, only connecting is tried again.

What happens on a connection once it is made is between client and backend: a reset or an early end is passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

Backend = tuple[str, int]


class Balancer:
    """Spreads connections over `backends`. Counts those that no backend took in `refused`."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends
        self._next = itertools.count()
        self._handlers: set[asyncio.Task[None]] = set()
        self.url = ""
        self.refused = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self._handlers.discard(handler)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = await self._connect()
        if backend is None:
            self.refused += 1
            return
        upstream_reader, upstream_writer = backend
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, upstream_writer))
                group.create_task(_pump(upstream_reader, writer))
        except* ConnectionError:
            pass
        finally:
            upstream_writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._next)
        for turn in range(len(self._backends)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*self._backends[(first + turn) % len(self._backends)])
        return None

    async def close(self) -> None:
        """Cut everything."""
        for handler in tuple(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the sender ends; then the other side hears no more from it."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def balanced(backends: Sequence[Backend]) -> AsyncIterator[Balancer]:
    """Listen on a free loopback port in front of `backends`."""
    balancer = Balancer(backends)
    server = await asyncio.start_server(balancer._serve, "127.0.0.1", 0, backlog=1024)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield balancer
    finally:
        server.close()
        await balancer.close()
