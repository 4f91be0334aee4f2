"""The worker's side of its channel: takes the connections that the parent gives, and tells of their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from gateway.app.workers.channel import PORTS
from gateway.web.servers import Protocols
from gateway.web.settings import Address
from gateway.worker.tasks import Tasks

_log = structlog.get_logger("gateway")


class Connection(socket.socket):
    """A caller's connection. It says when the event loop is done with it: asyncio closes it, uvloop detaches it."""

    ended: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it."""
        super().close()
        self._end()

    def detach(self) -> int:
        """Leave it to whoever closes its file descriptor, which is returned."""
        descriptor = super().detach()
        self._end()
        return descriptor

    def _end(self) -> None:
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


class Inbox:
    """Connections from the parent. `taking` and `telling` are the inherited ends of the channel's socket and pipe."""

    def __init__(self, taking: int, telling: int, addresses: Mapping[str, Address], tasks: Tasks) -> None:
        self._socket = socket.socket(fileno=taking)
        self._socket.setblocking(False)
        os.set_blocking(telling, False)
        self._telling = telling
        self._addresses = addresses
        self._tasks = tasks
        self._open = 0
        self._untold = 0
        """Ends that the parent has not been told of."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._protocols: Protocols = {}

    @asynccontextmanager
    async def ports(self, protocols: Protocols) -> AsyncIterator[dict[str, Address]]:
        """Serve what the parent gives; give the addresses that it listens on."""
        self._protocols = protocols
        asyncio.get_running_loop().add_reader(self._socket, self._take)
        try:
            yield dict(self._addresses)
        finally:
            # From here on the parent finds that it cannot give; what it has given is still to be taken.
            with contextlib.suppress(OSError):  # the parent is gone
                self._socket.shutdown(socket.SHUT_RD)
            self._take()
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    async def emptied(self, timeout: float) -> None:
        """Wait until no connection is open, for `timeout` seconds at most; of those given so far none is left out."""
        self._take()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()

    def _take(self) -> None:
        while True:
            try:
                named, descriptors, _flags, _address = socket.recv_fds(self._socket, 1, 1)
            except (BlockingIOError, InterruptedError):
                return
            if not named:  # the parent is gone, which its other pipe tells of
                asyncio.get_running_loop().remove_reader(self._socket)
                return
            if not descriptors:  # This process has no room for it (EMFILE): the kernel has closed it (unix(7)).
                _log.error("no room for a connection")
                self._tell()
                continue
            connection = Connection(fileno=descriptors[0])
            connection.setblocking(False)
            connection.ended = self._ended
            self._open += 1
            self._empty.clear()
            self._tasks.spawn(_serve(self._protocols[PORTS[named[0]]], connection), name="connection")

    def _ended(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._empty.set()
        self._tell()

    def _tell(self) -> None:
        self._untold += 1
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            self._untold -= os.write(self._telling, bytes(self._untold))


async def _serve(protocol: Callable[[], Any], connection: Connection) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
    except OSError:  # its caller is gone already
        connection.close()
