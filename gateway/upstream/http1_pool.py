"""The connections to one origin: a bounded number of leases, idle connections reused last in first out.

A lease is the right to have one connection. It is taken with or without an idle connection, belongs to one exchange,
and is given back once. Waiters are served in order of arrival.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from gateway.upstream.http1_connection import Connection


class Pool:
    """Connections to one origin. `leases + idle` never exceeds `limit`; while anyone waits, nothing is idle."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, keep_alive: float) -> None:
        self.loop = loop
        """The one that the connections belong to."""
        self._limit = limit
        self._keep_alive = keep_alive
        self._used = 0
        """Leases under way, and idle connections."""
        # Ordered dicts: both need removal from the middle as well as from one end, without a scan.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def take(self, max_idle: float | None = None) -> Connection | None:
        """Lease the most recently used idle connection that has idled at most `max_idle` seconds, or return None."""
        oldest = self.loop.time() - min(math.inf if max_idle is None else max_idle, self._keep_alive)
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.idle_since < oldest:
                # All others have idled for longer still.
                self._idle[connection] = None
                return None
            if connection.is_quiet():
                return connection
            connection.abort()
            self._used -= 1
        return None

    async def lease(self) -> Connection | None:
        """Wait for a lease. None: the lease is had, the connection is still to be made."""
        if self._used < self._limit:
            self._used += 1
            return None
        if self._idle:
            # Too old for whoever asks (`take` came first): its lease goes on to a new connection.
            connection, _ = self._idle.popitem(last=False)
            connection.abort()
            return None
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters[waiter] = None
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back(waiter.result())
            else:
                self._waiters.pop(waiter, None)
            raise

    def give_back(self, connection: Connection | None) -> None:
        """End a lease: hand it to the longest waiting exchange, with the connection if that is still usable."""
        if connection is not None and not connection.usable:
            connection = None
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._used -= 1
            return
        connection.idle_since = self.loop.time()
        self._idle[connection] = None
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self._keep_alive, self._sweep)

    def opened(self, connection: Connection) -> None:
        """Take note of a connection that is to be told of as `lost`; one that has been told of already is not."""
        if connection.usable:
            self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection whose transport has closed."""
        self._open.discard(connection)
        if connection in self._idle:
            del self._idle[connection]
            self._used -= 1
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    async def close(self) -> None:
        """Abort every connection and return when their sockets are closed. Exchanges on them end as failures."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._open:
            self._emptied = self.loop.create_future()
            for connection in self._open:
                connection.abort()
            await self._emptied

    def _sweep(self) -> None:
        """Close what has idled for the whole limit; come again when the next one will have."""
        self._sweeper = None
        now = self.loop.time()
        while self._idle:
            connection = next(iter(self._idle))
            due = connection.idle_since + self._keep_alive
            if due > now:
                self._sweeper = self.loop.call_at(due, self._sweep)
                return
            del self._idle[connection]
            self._used -= 1
            connection.abort()
