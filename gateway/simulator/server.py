"""Runs a simulated tenant on a socket of its own."""

from __future__ import annotations

import asyncio
import resource

from aiohttp import web

from gateway.simulator.settings import Settings
from gateway.simulator.simulator import Simulator

_BACKLOG = 4096


async def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8090) -> None:
    """Serve a tenant on `host:port` until cancelled. Raises OSError where the address cannot be bound."""
    _raise_file_limit()
    runner = web.AppRunner(Simulator(settings).app(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _raise_file_limit() -> None:
    """Take every file descriptor that the hard limit grants: held calls need one each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
