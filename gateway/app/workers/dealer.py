"""Takes callers' connections and deals them out, each to the worker that has the fewest.

Why one process accepts for all: where several accept from one socket, whoever wakes first takes most; where each has a
socket of its own (SO_REUSEPORT), the kernel draws lots, and what waits in a dead worker's queue waits for the next one.
The price is 0.06 ms of CPU time for each connection, none for a call.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from random import SystemRandom

import structlog

from gateway.app.workers.channel import Channel
from gateway.web.servers import watch_callers

_BACKLOG = 4096
_AT_ONCE = 64
"""Connections taken before anything else has its turn."""

_REST = 1.0
"""Seconds until it is tried again where that failed; asyncio's own servers rest as long."""

_lots = SystemRandom()
_log = structlog.get_logger("gateway")


class Dealer:
    """Deals connections of listening sockets (by the name of their port) out to workers' channels."""

    def __init__(self, listeners: Mapping[str, Sequence[socket.socket]]) -> None:
        self._listeners = [(name, listener) for name, several in listeners.items() for listener in several]
        self._channels: list[Channel] = []
        self._held: tuple[str, socket.socket] | None = None
        """A connection that no worker had room for."""
        self._closed = False

    def listen(self) -> None:
        """Begin. Until now, who connects is refused."""
        for _, listener in self._listeners:
            watch_callers(listener)
            listener.listen(_BACKLOG)
        self._resume()

    def add(self, channel: Channel) -> None:
        """Deal to one more worker."""
        self._channels.append(channel)
        self._deal_held()

    def remove(self, channel: Channel) -> None:
        """Deal to that worker no more."""
        if channel in self._channels:
            self._channels.remove(channel)
            self._loop.remove_writer(channel.fileno())

    def close(self) -> None:
        """Take no more connections."""
        self._pause()
        self._closed = True
        for channel in tuple(self._channels):
            self.remove(channel)
        for _, listener in self._listeners:
            listener.close()
        if self._held is not None:
            self._held[1].close()
            self._held = None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _resume(self) -> None:
        if self._closed or self._held is not None:
            return
        for name, listener in self._listeners:
            self._loop.add_reader(listener, self._accept, name, listener)

    def _pause(self) -> None:
        for _, listener in self._listeners:
            self._loop.remove_reader(listener)

    def _accept(self, name: str, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if self._held is not None:  # by the other port, a moment ago
                return
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No room in the system, or what became of this one connection meanwhile (accept(2)): whatever it is,
                # the next may be a good one.
                self._pause()
                _log.error("a connection cannot be accepted", error=str(error))
                self._loop.call_later(_REST, self._resume)
                return
            if not self._deal(name, connection):
                self._hold(name, connection)
                return

    def _deal(self, name: str, connection: socket.socket) -> bool:
        # Lots among equals: taking turns would give every call to one worker where each second comer is a probe.
        for channel in sorted(self._channels, key=lambda each: (each.open(), _lots.random())):
            if channel.give(name, connection):
                connection.close()
                return True
            if channel.gone:
                self.remove(channel)
        return False

    def _hold(self, name: str, connection: socket.socket) -> None:
        """Wait with this one and all that come after it for a worker that has room."""
        self._held = (name, connection)
        self._pause()
        for channel in self._channels:
            self._loop.add_writer(channel.fileno(), self._deal_held)

    def _deal_held(self) -> None:
        if self._held is None or not self._deal(*self._held):
            return
        self._held = None
        for channel in self._channels:
            self._loop.remove_writer(channel.fileno())
        self._resume()
