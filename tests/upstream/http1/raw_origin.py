"""An origin that plays scripts: what bytes it sends for each request, and how it ends the connection."""

import asyncio
import contextlib
import re
import socket
import struct

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
FIN = "fin"
"""Close in order."""
RST = "rst"
"""Reset."""
HOLD = "hold"
"""Send nothing more; wait until the client has gone, and say so in `left`."""


class RawOrigin:
    """A loopback server. `scripts[n]` answers the n-th request, the last one all that follow.

    A script is a sequence of bytes to send, `asyncio.Event`s to wait for, FIN, RST or HOLD.
    """

    def __init__(self, *scripts, tls=None):
        self.scripts = scripts or ([OK],)
        self.requests = []
        self.connections = 0
        self.arrived = asyncio.Queue()
        """One entry for each request received."""
        self.left = asyncio.Event()
        self._tls = tls
        self._handlers = {}
        """The connections, by the task that serves each."""

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        # What has just connected is handed to `_accept` within a few turns of the loop; asyncio would lose it, and
        # leave its socket open, if the server were closed in between.
        for _ in range(5):
            await asyncio.sleep(0)
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        for writer in self._handlers.values():
            # One that was canceled before its first step has closed nothing.
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _accept(self, reader, writer):
        self.connections += 1
        self._handlers[asyncio.get_running_loop().create_task(self._serve(reader, writer))] = writer

    async def _serve(self, reader, writer):
        try:
            while True:
                await self._receive(reader)
                for step in self.scripts[min(len(self.requests), len(self.scripts)) - 1]:
                    if not await self._play(step, reader, writer):
                        return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    async def _receive(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.requests.append(head + body)
        self.arrived.put_nowait(None)

    async def _play(self, step, reader, writer):
        if step == FIN:
            return False
        if step == RST:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            return False
        if step == HOLD:
            try:
                await reader.read()
            finally:
                self.left.set()
            return False
        if isinstance(step, asyncio.Event):
            await step.wait()
        else:
            writer.write(step)
            await writer.drain()
        return True
