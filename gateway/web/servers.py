"""Both ports, served, and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from gateway.web.front import Front
from gateway.web.gateway import Gateway
from gateway.web.parser import require_c_parser
from gateway.web.server import Server
from gateway.web.settings import Address, WebSettings
from gateway.web.tables import admin_port, data_port

BACKLOG = 4096
"""Connections that may wait to be accepted: thousands of callers may come at once, or come back."""

_LINGER = 2.0
"""Seconds that the last answers may take to leave, once nobody waits any more."""

_UNREAD = 60_000
"""Milliseconds that what was sent to a caller may wait to be taken."""

Protocols = Mapping[str, Callable[[], asyncio.BaseProtocol]]
"""What serves a connection, by the name of the port that it came in on: `data`, `admin`."""

Ports = Callable[[Protocols], AbstractAsyncContextManager[dict[str, Address]]]
"""Where connections come from: entered, it gives the addresses and serves; left, it takes no more."""


@asynccontextmanager
async def serving(gateway: Gateway, ports: Ports | None = None) -> AsyncIterator[dict[str, Address]]:
    """Serve both ports; give the addresses they listen on (`data`, and `admin` if there is one).

    `ports`: where connections come from, if not from sockets of this process's own. Raises `WeakParserError`, and
    `OSError` if an address is taken.
    """
    require_c_parser()
    async with contextlib.AsyncExitStack() as stack:
        settings = gateway.settings
        protocols = {"data": _server(stack, gateway, data_port(), logs=True)}
        if settings.admin is not None:
            protocols["admin"] = _server(stack, gateway, admin_port(), logs=False)
        yield await stack.enter_async_context((ports or own_ports(settings))(protocols))


def _server(stack: contextlib.AsyncExitStack, gateway: Gateway, handle: Front, *, logs: bool) -> Server:
    server = Server(gateway, handle, keep_alive=gateway.settings.keep_alive / 1000, logs=logs)
    stack.push_async_callback(server.close, _LINGER)
    return server


def own_ports(settings: WebSettings) -> Ports:
    """Return what listens on the addresses of `settings` by itself. Entering raises `OSError` if one is taken."""
    addresses = {"data": settings.listen, "admin": settings.admin}

    @asynccontextmanager
    async def ports(protocols: Protocols) -> AsyncIterator[dict[str, Address]]:
        with contextlib.ExitStack() as stack:
            bound = {}
            for name, protocol in protocols.items():
                address = addresses[name]
                assert address is not None, "what is served has an address"
                server = await listen(protocol, address)
                stack.callback(server.close)
                bound[name] = Address(*server.sockets[0].getsockname()[:2])
            yield bound

    return ports


def watch_callers(listening: socket.socket) -> None:
    """Have the system end connections, accepted on this socket, of callers who have vanished or read nothing any more.

    What is accepted inherits it: callers who are blocked for long and vanish are found out, and who takes none of an
    answer for so long holds it, and its connection, no longer (tcp(7); where there is no such option, as ever).
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if listening.family != socket.AF_UNIX and (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, _UNREAD)


async def listen(protocol: Callable[[], asyncio.BaseProtocol], address: Address) -> asyncio.Server:
    """Have connections to `address` served by what `protocol` makes. Raises `OSError` if it is taken."""
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(protocol, address.host, address.port, backlog=BACKLOG, reuse_address=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    for listening in server.sockets:
        watch_callers(listening)
    return server
