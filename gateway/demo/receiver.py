"""A receiver of callbacks: takes deliveries and verifies their signatures (Standard Webhooks, symmetric `v1`)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from gateway.demo.outcome import Outcome

_TOLERANCE = 300
"""Seconds by which a delivery's timestamp may differ from now, as the standard's own libraries have it."""


@dataclass(frozen=True)
class Delivery:
    """One delivery. `forged` says what is wrong with its signature, None where it is good."""

    outcome: Outcome
    job_id: str
    forged: str | None


class Receiver:
    """Takes deliveries at `url(name)`; who waits for `name` gets it, `on_other` whatever nobody waits for."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self.on_other: Callable[[Delivery], None] | None = None
        self._secret = secret
        self._now = now
        self._origin = ""
        self._awaited: dict[str, asyncio.Future[Delivery]] = {}

    def url(self, name: str) -> str:
        """Return the URL under which a delivery is known by `name`."""
        return f"{self._origin}/{name}"

    def expected(self, name: str) -> asyncio.Future[Delivery]:
        """Return what will be the first delivery to `url(name)`. To be called before anything can be delivered."""
        return self._awaited.setdefault(name, asyncio.get_running_loop().create_future())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Receiver]:
        """Listen on a free port of the loopback."""
        app = web.Application()
        app.router.add_post("/{name}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._origin = "http://{}:{}".format(*runner.addresses[0][:2])
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = request.headers
        delivery = Delivery(
            Outcome(int(headers.get("Outcome-Status", "0")), headers, body),
            headers.get("Job-Id", ""),
            forged(dict(headers.items()), body, secret=self._secret, now=self._now()),
        )
        awaited = self._awaited.get(request.match_info["name"])
        if awaited is not None and not awaited.done():
            awaited.set_result(delivery)
        elif self.on_other is not None:
            self.on_other(delivery)
        return web.Response(status=204)


def forged(headers: dict[str, str], body: bytes, *, secret: bytes, now: float) -> str | None:
    """Return what is wrong with a delivery's signature, None where it is good. `now` is seconds since 1970."""
    fields = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, given = (fields[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        age = abs(now - int(timestamp))
    except (KeyError, ValueError):
        return "the delivery lacks the fields of Standard Webhooks"
    if age > _TOLERANCE:
        return f"the delivery's timestamp is {age:.0f} seconds off"
    mac = hmac.new(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    good = "v1," + base64.b64encode(mac).decode()
    matches = any(hmac.compare_digest(good, each) for each in given.split())
    return None if matches else "the delivery's signature does not match"
