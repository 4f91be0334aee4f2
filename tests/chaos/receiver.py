"""The receiver of callbacks: writes each down, looks into the store at that moment, and now and then misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

from aiohttp import web

from tests.chaos.history import Delivered, History
from tests.support.listening import listening

_MISBEHAVES = 0.25
"""How often the first delivery of a job goes wrong here; the second never does, the third would take minutes."""


class Receiver:
    """Takes deliveries at `url(call)`. `state_of` reads a job's state from the store."""

    def __init__(self, history: History, random: Random, state_of: Callable[[str], Awaitable[str | None]]) -> None:
        self._history = history
        self._random = random
        self._state_of = state_of
        self._origin = ""
        self._arrived: dict[str, asyncio.Event] = {}

    def url(self, call: str) -> str:
        """Return where the outcome of a call is to be delivered."""
        return f"{self._origin}/{call}"

    def arrived(self, call: str) -> asyncio.Event:
        """Return what is set once a delivery for the call has arrived."""
        return self._arrived.setdefault(call, asyncio.Event())

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Receiver]:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_post("/{call}", self._take)
        async with listening(app) as self._origin:
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        call, job = request.match_info["call"], request.headers.get("Job-Id", "")
        body = await request.read()
        stored = await self._state_of(job)
        first = not self.arrived(call).is_set()
        status = self._random.choice((0, 500, 503)) if first and self._random.random() < _MISBEHAVES else 204
        self._history.add(
            Delivered(
                at=self._history.now(),
                call=call,
                job=job,
                webhook_id=request.headers.get("webhook-id", ""),
                status=int(request.headers.get("Outcome-Status", "0")),
                body=body.decode("latin-1"),
                stored=stored,
                answered=status,
            )
        )
        self.arrived(call).set()
        if status == 0:
            _reset(request)
        return web.Response(status=status or 500)


def _reset(request: web.Request) -> None:
    """Cut the connection without an answer: the delivery has arrived, and the sender cannot know."""
    if request.transport is not None:
        peer = request.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
