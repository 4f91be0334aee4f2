"""Both ports, served: aiohttp's runners with their limits, and the orderly end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import http_parser, web

from gateway.web.application import admin_application, data_application
from gateway.web.gateway import Gateway
from gateway.web.settings import Address

_LINGER = 2.0
"""Seconds that the last answers may take to leave, once nobody waits any more."""


class WeakParserError(RuntimeError):
    """aiohttp runs on its pure-Python parser, which lets pass what its C parser refuses."""


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[dict[str, Address]]:
    """Serve both ports; give the addresses they listen on (`data`, and `admin` if there is one).

    Raises `WeakParserError`, and `OSError` if an address is taken.
    """
    if http_parser.HttpRequestParser.__module__ == "aiohttp.http_parser":
        raise WeakParserError("aiohttp's C extension is missing: install aiohttp with its binary wheel")
    async with contextlib.AsyncExitStack() as stack:
        settings = gateway.settings
        addresses = {"data": await _serve(stack, data_application(gateway), settings.listen, settings.keep_alive)}
        if settings.admin is not None:
            addresses["admin"] = await _serve(stack, admin_application(gateway), settings.admin, settings.keep_alive)
        yield addresses


async def _serve(stack: contextlib.AsyncExitStack, app: web.Application, address: Address, keep_alive: int) -> Address:
    runner = web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=keep_alive / 1000,
        handler_cancellation=True,
        shutdown_timeout=_LINGER,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, address.host, address.port, backlog=1024, reuse_address=True)
    try:
        await site.start()
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    host, port = runner.addresses[0][:2]
    return Address(host, port)
