"""A receiver of callbacks: takes every delivery, checks its signature, and hands it to whoever waits for that job."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.worker.settings import CallbackSettings
from tests.support.listening import listening

_KEY = b"a key that receiver and gateway share"
SETTINGS = CallbackSettings(allow=("127.0.0.0/8",), secret=f"whsec_{base64.b64encode(_KEY).decode()}", insecure=True)


@dataclass(frozen=True)
class Delivery:
    """One callback: its header fields, its body, and the loop time at which it was there."""

    headers: Mapping[str, str]
    body: bytes
    at: float


class Receiver:
    """Deliveries by the id of their job. `url` is where the gateway is to send them."""

    def __init__(self) -> None:
        self.url = ""
        self._deliveries: defaultdict[str, asyncio.Queue[Delivery]] = defaultdict(asyncio.Queue)

    async def delivery(self, job_id: str) -> Delivery:
        """Wait for the next delivery of a job; its signature is checked here, where it fails the test."""
        delivery = await self._deliveries[job_id].get()
        assert delivery.headers["webhook-signature"] == _signature(delivery)
        return delivery

    def pending(self, job_id: str) -> int:
        """Return how many deliveries of a job nobody has waited for."""
        return self._deliveries[job_id].qsize()

    async def receive(self, request: web.Request) -> web.Response:
        """Take a delivery."""
        now = asyncio.get_running_loop().time()
        delivery = Delivery(request.headers, await request.read(), now)
        self._deliveries[request.headers["Job-Id"]].put_nowait(delivery)
        return web.Response(status=204)


def _signature(delivery: Delivery) -> str:
    """Return what the signature has to be, by the specification of Standard Webhooks; the body may be any bytes."""
    message = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body
    return f"v1,{base64.b64encode(hmac.new(_KEY, message, hashlib.sha256).digest()).decode()}"


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver on a free loopback port."""
    receiver = Receiver()
    # What is compressed has to arrive compressed: the signature is over the bytes sent.
    app = web.Application(client_max_size=1 << 24, handler_args={"auto_decompress": False})
    app.router.add_post("/callback", receiver.receive)
    async with listening(app) as origin:
        receiver.url = f"{origin}/callback"
        yield receiver
