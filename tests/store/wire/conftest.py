"""Clients of a scripted server, closed at the end of each test."""

from __future__ import annotations

import pytest

from gateway.store.wire.client import Repeating
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.server import Server


@pytest.fixture
async def opened():
    """Open clients of one server, that repeat nothing unless told to."""
    clients = []

    def connected(port, *, timeout=2.0, repeating=False, **options):
        client = Server(Endpoint(("127.0.0.1", port), **options), timeout)
        clients.append(client)
        return Repeating(client) if repeating else client

    yield connected
    for client in clients:
        await client.close()
