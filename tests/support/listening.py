"""Servers of the tests' own, on loopback: an aiohttp application for the length of a block, and a free port."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import AsyncIterator

from aiohttp import web


@contextlib.asynccontextmanager
async def listening(app: web.Application, *, port: int = 0, handler_cancellation: bool = False) -> AsyncIterator[str]:
    """Serve `app`; give its origin, `http://127.0.0.1:PORT`. Leaving cuts what is still being answered."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=handler_cancellation)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    """Return a port for a server that is to come back on the same one.

    Below those that the system hands out by itself, so that nobody else is given it in between.
    """
    for _ in range(100):
        port = secrets.randbelow(10_000) + 20_000
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("a hundred ports in a row were taken")
