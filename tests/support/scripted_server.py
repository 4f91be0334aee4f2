r"""A server that speaks RESP as badly as it is told to.

async with scripted(lambda command: b"+OK\r\n") as server:
    ... server.url, server.commands
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import hiredis

Answer = Callable[[list[bytes]], bytes | None]
"""What is sent for a command; None closes the connection."""


class ScriptedServer:
    """One for all connections: what they sent, and the transports that are open."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.port = 0
        self.commands: list[list[bytes]] = []
        """What has been asked, in order."""
        self.chunks = 0
        """How many reads it took to get that: commands that were sent together come in one."""
        self.connections: list[asyncio.Transport] = []
        """All that there have been."""

    @property
    def url(self) -> str:
        """The store's URL for it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def asked(self, transport: asyncio.Transport, command: list[bytes]) -> None:
        """Answer one command."""
        self.commands.append(command)
        answer = self._answer(command)
        if answer is None:
            transport.close()
        else:
            transport.write(answer)


class _Connection(asyncio.Protocol):
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._reader = hiredis.Reader()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        self._server.chunks += 1
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self._server.asked(self._transport, command)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


@contextlib.asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[ScriptedServer]:
    """Run such a server; at the end all its connections are closed."""
    script = ScriptedServer(answer)
    protocols: list[_Connection] = []

    def connected() -> _Connection:
        protocols.append(_Connection(script))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for transport in script.connections:
            transport.abort()
        for protocol in protocols:
            await protocol.ended
        await server.wait_closed()
