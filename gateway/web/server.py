"""What the connections of one port have in common: who handles their requests, and how they come to an end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from gateway.observability.frequent import Frequent
from gateway.web.connection import Connection
from gateway.web.front import Front
from gateway.web.gateway import Gateway
from gateway.web.log import access
from gateway.web.patience import Patience
from gateway.web.request import Request

_HEAD = 8.0
"""Seconds from a head's first byte to its last: who never comes to its end holds a connection as well."""


class Server:
    """Makes the connections of a port and knows them. `keep_alive`: seconds that an idle one is kept."""

    def __init__(self, gateway: Gateway, handle: Front, *, keep_alive: float, logs: bool) -> None:
        self.gateway = gateway
        self.handle = handle
        self.loop = asyncio.get_running_loop()
        self._logs = logs
        """Whether its requests are logged, and waited for by a replica that goes."""
        self.began = gateway.drain.enter if logs else _nothing
        """Takes note that a request is handled: of one whose caller goes before that, nothing is heard."""
        self._connections: set[Connection] = set()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.idle = Patience(self.loop, keep_alive, Connection.close)
        """The connections on which a request is waited for."""
        self.heads = Patience(self.loop, _HEAD, Connection.refuse_head)
        """The connections on which part of a head has come."""
        self._closing = False
        self._log = Frequent("request", access)

    def __call__(self) -> Connection:
        """Make a connection: what `create_server` asks for."""
        return Connection(self)

    @property
    def closes(self) -> bool:
        """Whether connections end with the answer under way."""
        return self._closing or self.gateway.drain.begun

    def opened(self, connection: Connection) -> None:
        """Take note of a connection; who says nothing on it for long is not kept either."""
        self._connections.add(connection)
        self._emptied.clear()
        if self._closing:  # It was accepted just before the port was closed: nobody looks for it any more.
            connection.close()
        else:
            self.idle.begin(connection)

    def lost(self, connection: Connection) -> None:
        """Forget one that is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()
        self.idle.end(connection)
        self.heads.end(connection)

    def ended(self, request: Request, status: int | None) -> None:
        """Take note of its answer; None: its caller went before."""
        if self._logs:
            self.gateway.drain.leave()
            if self._log.wanted:
                self._log(request, status, self.loop.time() - request.begun)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Let a handler finish what it may not leave halfway, though its caller has gone."""
        self.gateway.tasks.adopt(task)

    async def close(self, linger: float) -> None:
        """End all connections: idle ones now, busy ones as they answer, what is left after `linger` seconds."""
        self._closing = True
        self.idle.close()
        self.heads.close()
        for connection in [*self._connections]:
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(linger):
                await self._emptied.wait()
        for connection in [*self._connections]:
            connection.abort()
        await self._emptied.wait()


def _nothing() -> None:
    """Take note of nothing."""
