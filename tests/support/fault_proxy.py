"""A TCP proxy on loopback that does to a connection what networks do, switched at run time.

    async with FaultProxy(redis_port) as proxy:
        ...                                    # speak to 127.0.0.1:{proxy.port}
        await proxy.put(Fault.BLACK_HOLE)
        ...
        await proxy.put(Fault.PASS)

It knows bytes only: a reply is whatever the target sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from types import TracebackType
from typing import Self

from tests.support.listening import free_port

_CHUNK = 64 * 1024


class Fault(enum.StrEnum):
    """What happens to every connection while it is put, those that are open included."""

    PASS = "pass"
    LATENCY = "latency"
    """Every chunk, either way, comes later."""
    CUT_BEFORE_REPLY = "cut-before-reply"
    """Requests arrive; where a reply would begin, the connection is reset."""
    CUT_MID_REPLY = "cut-mid-reply"
    """Half of the next reply's bytes, then an orderly end."""
    BLACK_HOLE = "black-hole"
    """Connections are taken and every byte is lost; what has lost bytes is reset when the fault is taken away."""
    STALL = "stall"
    """Bytes are held back, and go on as if nothing had been when the fault is taken away."""
    PARTITION = "partition"
    """Open connections are reset, and new ones refused."""


class FaultProxy:
    """Forwards connections to a port of loopback, under whatever fault is put. Its own `port` stays the same."""

    def __init__(self, target: int, *, port: int = 0) -> None:
        self.port = port or free_port()
        self.connections = 0
        """Taken so far."""
        self._target = target
        self._fault = Fault.PASS
        self._latency = 0.0
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        self._deafen()
        await self.put(Fault.LATENCY)  # Nothing is held any more, nor listened for again.
        self.reset()
        if tasks := {link.task for link in self._links}:
            await asyncio.wait(tasks)

    @property
    def fault(self) -> Fault:
        """What is put now."""
        return self._fault

    @property
    def latency(self) -> float:
        """Seconds that a chunk waits under `Fault.LATENCY`."""
        return self._latency

    async def put(self, fault: Fault, *, latency: float = 0.0) -> None:
        """Do `fault` to all connections from now on, in place of what was done before."""
        before, self._fault, self._latency = self._fault, fault, latency
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is Fault.PARTITION:
            self._deafen()
            self.reset()
        elif before is Fault.PARTITION:
            await self._listen()
        for link in [link for link in self._links if link.lossy and fault is not Fault.BLACK_HOLE]:
            link.reset()

    def reset(self) -> None:
        """Reset every open connection, on both of its sides."""
        for link in tuple(self._links):
            link.reset()

    async def until_other(self, fault: Fault) -> None:
        """Wait while `fault` is put."""
        while self._fault is fault:
            await self._changed.wait()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, reuse_address=True)

    def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        link = _Link(self, reader, writer, task)
        self._links.add(link)
        try:
            await link.run(self._target)
        finally:
            self._links.discard(link)
            link.reset()


class _Link:
    """One connection through the proxy: the client's side and the target's."""

    def __init__(
        self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        self.lossy = False
        """Whether bytes of it are lost: it can only be reset."""
        self.task = task
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]

    async def run(self, target: int) -> None:
        if self._proxy.fault is Fault.BLACK_HOLE:
            self.lossy = True
            await self._proxy.until_other(Fault.BLACK_HOLE)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            return
        self._writers.append(far_writer)
        with contextlib.suppress(OSError):
            async with asyncio.TaskGroup() as group:
                group.create_task(_quietly(self._pump(self._reader, far_writer, reply=False)))
                group.create_task(_quietly(self._pump(far_reader, self._writers[0], reply=True)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool) -> None:
        going_on = True
        while going_on:
            data = await reader.read(_CHUNK)
            if not await self._let_through(data, writer, reply=reply):
                return
            going_on = bool(data)

    async def _let_through(self, data: bytes, writer: asyncio.StreamWriter, *, reply: bool) -> bool:
        """Do to a chunk (empty: the end) what is put; return whether the connection goes on."""
        await self._proxy.until_other(Fault.STALL)
        match self._proxy.fault:
            case Fault.BLACK_HOLE:
                self.lossy = True
                return True
            case Fault.CUT_BEFORE_REPLY if reply and data:
                self.reset()
                return False
            case Fault.CUT_MID_REPLY if reply and data:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                self._end()
                return False
            case Fault.LATENCY:
                await asyncio.sleep(self._proxy.latency)
        if not data:
            writer.write_eof()
            return True
        writer.write(data)
        await writer.drain()
        return True

    def _end(self) -> None:
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            peer = writer.transport.get_extra_info("socket")
            if peer is not None and not writer.transport.is_closing():
                with contextlib.suppress(OSError):
                    # Linger of zero seconds: close(2) sends RST instead of FIN.
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


async def _quietly(pump) -> None:
    """A side that has gone ends its connection; that is no failure of the proxy."""
    with contextlib.suppress(OSError, RuntimeError):
        await pump
