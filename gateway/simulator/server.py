"""Runs a simulated tenant on a socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable

from aiohttp import web

from gateway.simulator.settings import Settings
from gateway.simulator.simulator import Simulator

_BACKLOG = 4096
"""Ten thousand clients may come at once; the kernel's own limit (net.core.somaxconn) still holds."""


async def serve(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8090,
    *,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve a tenant on `host:port` until cancelled.

    `on_ready` is called with the address once it takes connections (the port as bound, where 0 was asked for).
    Raises OSError where the address cannot be bound, ValueError where the settings name an unknown fault.
    """
    _raise_file_limit()
    app = Simulator(settings).app()
    # A caller that hangs up ends its handler and its hold with it; the job is the table's, and goes on.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        if on_ready is not None:
            on_ready(*runner.addresses[0][:2])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _raise_file_limit() -> None:
    """Take every file descriptor that the hard limit grants: a held call needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls its hard limit unlimited and then refuses it: the soft one has to do there.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
