"""Orchestrator's webhooks: signed POSTs about jobs, which get lost as easily as the cloud's.

Nothing is stored and nothing is tried again. A delivery that fails (no connection, no answer in time, no 2xx) opens the
webhook's circuit breaker, and until it closes the webhook's events are skipped. `WebhookTraffic` adds what goes wrong
between Orchestrator and a receiver. While no webhook is registered a job costs one look at an empty list.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from gateway.simulator.answers import encode
from gateway.simulator.clock import WallClock
from gateway.simulator.counters import Counters
from gateway.simulator.job import Job
from gateway.simulator.job_entity import jobs_entity_set
from gateway.simulator.odata import timestamp
from gateway.simulator.settings import Settings, Webhook
from gateway.simulator.webhook_events import kind_of_end, payload

SIGNATURE = "X-UiPath-Signature"

_CONNECTIONS = 64
"""Deliveries at a time; a receiver that is slow makes the others wait, as one does in the cloud."""


@dataclass(slots=True, eq=False)
class Hook:
    """A registered webhook and what became of its events: sent (answered or not), failed, skipped, lost on purpose."""

    webhook: Webhook
    disabled_until: float = 0.0
    events: int = 0
    sent: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0


class Webhooks:
    """The webhooks of the tenant; `job_created` and `job_ended` are what the job table calls."""

    def __init__(self, settings: Settings, counters: Counters, clock: WallClock) -> None:
        self._registered = settings.webhooks
        self._traffic = settings.webhook_traffic
        self._counters = counters
        self._clock = clock
        self._entities = jobs_entity_set(clock, max_inline_output=settings.max_inline_output)
        self._session: aiohttp.ClientSession | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self.hooks: list[Hook] = []
        self.reset()

    def reset(self) -> None:
        """Go back to the webhooks of the settings, with their breakers closed."""
        self.hooks = [Hook(webhook) for webhook in self._registered]

    def register(self, webhook: Webhook) -> Hook:
        """Add a webhook."""
        hook = Hook(webhook)
        self.hooks.append(hook)
        return hook

    def job_created(self, job: Job) -> None:
        """Tell of a new job, and of its beginning when it comes."""
        if not self.hooks:
            return
        self._emit("job.created", job)
        loop = asyncio.get_running_loop()
        if job.runs_at > loop.time():
            loop.call_at(job.runs_at, self._job_started, job)
        else:
            self._emit("job.started", job)

    def job_ended(self, job: Job) -> None:
        """Tell of a job's end."""
        if self.hooks:
            self._emit(kind_of_end(job), job)

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Deliver while the application runs."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._traffic.timeout),
        )
        yield
        session, self._session = self._session, None
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await session.close()

    def _job_started(self, job: Job) -> None:
        """Tell of the beginning of a job that was pending, unless it has ended or was forgotten: no timer is left."""
        if job.timer is not None:
            self._emit("job.started", job)

    def _emit(self, kind: str, job: Job) -> None:
        """Begin the deliveries of an event to every webhook that wants it, as the job is now."""
        if self._session is None:
            return
        now = asyncio.get_running_loop().time()
        wanted = [hook for hook in self.hooks if kind in hook.webhook.events]
        if not wanted:
            return
        event = payload(kind, secrets.token_hex(16), timestamp(self._clock.at(now)), job, self._entities)
        for hook in wanted:
            hook.events += 1
            if hook.disabled_until > now:
                hook.skipped += 1
                self._counters.webhooks_skipped += 1
            elif _every(self._traffic.lose_every, hook.events):
                hook.lost += 1
                self._counters.webhooks_lost += 1
            else:
                self._begin(hook, self._session, encode({"Name": hook.webhook.name, **event}))

    def _begin(self, hook: Hook, session: aiohttp.ClientSession, body: bytes) -> None:
        """Begin the delivery, or the two, of an event.

        A delivery outlives what it tells of, so that no scope could own its task: the set does until it is done.
        """
        traffic = self._traffic
        delay = traffic.delay if _every(traffic.delay_every, hook.events) else 0.0
        forged = _every(traffic.forge_every, hook.events)
        for _ in range(2 if _every(traffic.double_every, hook.events) else 1):
            delivery = asyncio.create_task(self._deliver(hook, session, body, delay, forged=forged))  # noqa: TID251 - held
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(
        self, hook: Hook, session: aiohttp.ClientSession, body: bytes, delay: float, *, forged: bool
    ) -> None:
        """Deliver one event once; a failure opens the breaker."""
        await asyncio.sleep(delay)
        hook.sent += 1
        self._counters.webhooks += 1
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if hook.webhook.secret is not None:
            key = secrets.token_bytes(32) if forged else hook.webhook.secret.encode()
            headers[SIGNATURE] = signature(key, body, self._traffic.signature)
        try:
            async with session.post(hook.webhook.url, data=body, headers=headers, allow_redirects=False) as response:
                good = 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            good = False
        if not good:
            hook.failed += 1
            self._counters.webhooks_failed += 1
            hook.disabled_until = asyncio.get_running_loop().time() + self._traffic.breaker


def signature(secret: bytes, body: bytes, form: str) -> str:
    """Return the signature of a body: HMAC-SHA256, in one of the forms of `WebhookTraffic.signature`."""
    digest = hmac.digest(secret, body, "sha256")
    if form == "sha256=hex":
        return f"sha256={digest.hex()}"
    text = base64.b64encode(digest).decode()
    return f"sha256={text}" if form == "sha256=base64" else text


def _every(n: int, count: int) -> bool:
    """Whether the `count`-th event is one of every `n`; 0 is never."""
    return n > 0 and count % n == 0
