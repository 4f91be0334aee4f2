"""Answers that break HTTP: sent as raw bytes on the connection's own transport, cut where a script says.

aiohttp will only send whole, well-framed answers, so a `BrokenResponse` takes its place in `prepare`, plays its script
and leaves no connection to reuse.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import Iterable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from gateway.simulator.answers import EDGE_FIELDS, Answer


class Cut(enum.Enum):
    """How a script leaves its connection."""

    CLOSE = "close"
    """FIN: what was sent arrives, then the end of the stream."""
    RESET = "reset"
    """RST."""
    STALL = "stall"
    """Nothing more for a long while, then RST."""


Script = tuple[bytes, Cut]
"""Bytes to send, and what happens after them."""


def head(answer: Answer, *framing: tuple[str, str]) -> bytes:
    """Return an answer's status line and fields, with `framing` in place of a length of its own."""
    fields = (*EDGE_FIELDS, *answer.headers, *framing)
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"


class Stalls:
    """The calls that are stalled now."""

    def __init__(self) -> None:
        self._held: set[asyncio.Event] = set()

    async def hold(self, seconds: float) -> None:
        """Return after `seconds`, or when all are let go."""
        gone = asyncio.Event()
        self._held.add(gone)
        timer = asyncio.get_running_loop().call_later(seconds, gone.set)
        try:
            await gone.wait()
        finally:
            timer.cancel()
            self._held.discard(gone)

    def let_go(self) -> None:
        """Release every stalled call."""
        release: Iterable[asyncio.Event] = tuple(self._held)
        for gone in release:
            gone.set()


class BrokenResponse(web.StreamResponse):
    """Plays `script` on the connection instead of sending a response."""

    def __init__(self, script: Script, stalls: Stalls, stall: float) -> None:
        super().__init__()
        self.force_close()
        self._script = script
        self._stalls = stalls
        self._stall = stall

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the script's bytes and leave as it says."""
        data, cut = self._script
        transport = request.transport
        if transport is None:
            return None
        if data:
            transport.write(data)
        if cut is Cut.STALL:
            await self._stalls.hold(self._stall)
        if cut is Cut.CLOSE:
            transport.close()
        else:
            # uvloop writes at the end of a loop iteration: let what was sent go out before the reset.
            await asyncio.sleep(0)
            _reset(transport)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing: the script has said all."""


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST: a socket that lingers for zero seconds drops its connection instead of ending it."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
