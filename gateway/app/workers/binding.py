"""The ports' sockets, bound by the parent before there is a worker: so a port that is taken is told at once."""

from __future__ import annotations

import contextlib
import socket

from gateway.web.settings import Address, WebSettings


def bind(settings: WebSettings) -> dict[str, list[socket.socket]]:
    """Return bound sockets by the name of their port, `data` and, if there is one, `admin`. None of them listens yet.

    Raises `OSError`, which names the address.
    """
    with contextlib.ExitStack() as undo:
        ports = {"data": settings.listen} | ({"admin": settings.admin} if settings.admin else {})
        bound = {name: _bind(address, undo) for name, address in ports.items()}
        undo.pop_all()
    return bound


def address_of(bound: list[socket.socket]) -> Address:
    """Return what the first of a port's sockets is bound to."""
    return Address(*bound[0].getsockname()[:2])


def _bind(address: Address, undo: contextlib.ExitStack) -> list[socket.socket]:
    """Bind to all that a host's name stands for, under one port: the first socket's, where any will do."""
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, host in _resolved(address):
            one = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # `::` beside `0.0.0.0`, not instead of it
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((host, port))
            port = one.getsockname()[1]
            sockets.append(one)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    return sockets


def _resolved(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(to[0])) for family, _, _, _, to in found))
