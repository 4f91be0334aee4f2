"""A client of one server: its connection is made when there is something to send, by the first who has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.store.port import StoreDown
from gateway.store.wire.client import Argument, Command, pack
from gateway.store.wire.connection import Connection
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.errors import Lost
from gateway.store.wire.subscription import Subscription

Locate = Callable[[], Awaitable[Endpoint]]
"""Says where the server is now. May raise `Lost`."""


class Server:
    """One server, one connection. `timeout`: seconds for connecting, and for each reply."""

    def __init__(self, locate: Endpoint | Locate, timeout: float) -> None:
        self._locate = locate
        self._timeout = timeout
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._connections: list[Connection] = []
        """The one there is, those that are being left, and those that only listen."""
        self._closed = False

    async def execute(self, *command: Argument) -> Any:
        """See `Client`."""
        packed = pack(command)
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected()
        answer = await connection.send(packed)
        if isinstance(answer, StoreDown):
            raise answer
        return answer

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`. All go over one connection, one after the other."""
        packed = [pack(tuple(command)) for command in commands]
        try:
            connection = await self._connected()
            futures = connection.send_each(packed)
        except StoreDown as error:
            return [type(error)(str(error), perhaps=False) for _ in commands]
        return [await future for future in futures]

    async def listen(self, channels: Sequence[str]) -> Subscription:
        """Listen to channels, on a connection of its own. Raises `Lost`."""
        subscription = await (await self._located()).connect(self._timeout, Subscription)
        if self._closed:
            await subscription.close()
            raise Lost("the store was closed", perhaps=False)
        self._keep(subscription)
        subscription.subscribe(channels)
        return subscription

    def leave(self) -> None:
        """Make a new connection for what comes; what is under way is answered on the one there is."""
        for connection in self._connections:
            connection.retire()

    async def close(self) -> None:
        """See `Client`."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        for connection in self._connections:
            connection.fail("the store was closed")
            await connection.ended()

    async def _connected(self) -> Connection:
        """Return a connection that takes commands; all who ask at the same time wait for the same one."""
        connection = self._connection
        if connection is not None and connection.usable:
            return connection
        if self._closed:
            raise Lost("the store was closed", perhaps=False)
        if self._opening is None:
            # The one task of the store's clients: who wants the connection first may give up, and others wait for it.
            self._opening = asyncio.create_task(self._open())  # noqa: TID251 - held until its callback
            self._opening.add_done_callback(self._opened)
        try:
            return await asyncio.shield(self._opening)
        except Lost as error:
            raise Lost(str(error), perhaps=False) from None  # each caller has an error of its own

    async def _open(self) -> Connection:
        try:
            return await (await self._located()).connect(self._timeout, Connection)
        except asyncio.CancelledError:
            if self._closed:
                raise Lost("the store was closed", perhaps=False) from None
            raise

    def _opened(self, opening: asyncio.Task[Connection]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._connection = opening.result()
            self._keep(self._connection)

    def _keep(self, connection: Connection) -> None:
        self._connections = [kept for kept in self._connections if not kept.is_over] + [connection]

    async def _located(self) -> Endpoint:
        locate = self._locate
        return locate if isinstance(locate, Endpoint) else await locate()
