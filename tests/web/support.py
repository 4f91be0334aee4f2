"""Requests as handlers see them, made without a server; and a server of handlers, made without a gateway."""

from __future__ import annotations

import contextlib
import types
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader

from gateway.web.front import Handler, front
from gateway.web.request import Request
from gateway.web.server import Server
from gateway.web.servers import listen
from gateway.web.settings import Address


class Wire:
    """A connection's place in a request: whom it is from, and whether that one is still there."""

    def __init__(self, gateway: Any = None, peer: str | None = "127.0.0.1") -> None:
        self.gateway = gateway or types.SimpleNamespace()
        self.peer = peer
        self.local = ("127.0.0.1", 8080)
        self.transport: object | None = object()

    def now(self) -> float:
        """Return a time."""
        return 0.0


def made(method: str = "GET", target: str = "/", headers: dict[str, str] | None = None, *, wire: Any = None) -> Request:
    """Return a request as aiohttp's parser reads it."""
    fields = {"Host": "gate.example", **(headers or {})}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    ((message, payload),), _, _ = _parser().feed_data(f"{head}\r\n".encode())
    assert isinstance(payload, StreamReader)
    return Request(wire or Wire(), message, payload)


@contextlib.asynccontextmanager
async def served(gateway: Any, handler: Handler, *, keep_alive: float = 75.0, logs: bool = False) -> AsyncIterator[str]:
    """Serve `handler` on a port of its own; give its URL."""
    server = Server(gateway, front(handler), keep_alive=keep_alive, logs=logs)
    listening = await listen(server, Address("127.0.0.1", 0))
    host, port = listening.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    listening.close()
    await server.close(1.0)


def _parser() -> HttpRequestParser:
    return HttpRequestParser(mock.Mock(), mock.Mock(), 2**16)
