"""Delivering outcomes: one signed POST per attempt (Standard Webhooks), to where the guard lets it go.

Every try has its own timestamp and signatures, and the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable

import aiohttp
from yarl import URL

from gateway.caller.common import ended
from gateway.caller.links import JobUrls
from gateway.caller.port import Call, ProblemReply, Reply
from gateway.core import problem_details
from gateway.core.delivery import Attempt, Delivery
from gateway.core.exchange import Headers
from gateway.core.job import Job
from gateway.core.policy import SECOND
from gateway.core.timing import asked_until
from gateway.worker.callback_secrets import CallbackSecrets, CannotSign
from gateway.worker.guard import Guard, Refused
from gateway.worker.port import Policies
from gateway.worker.resolver import Resolver
from gateway.worker.settings import CallbackSettings

_FIRST_BYTES = 256
_PASSED_ON = frozenset({"content-type", "content-encoding", "content-language"})


class Postman:
    """Delivers callbacks."""

    def __init__(
        self,
        settings: CallbackSettings,
        guard: Guard,
        policies: Policies,
        signing: CallbackSecrets,
        *,
        urls: Callable[[Job], JobUrls],
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._policies = policies
        self._signing = signing
        self._urls = urls
        self._resolver = Resolver()
        self._named: aiohttp.ClientSession | None = None
        self._networked: aiohttp.ClientSession | None = None

    async def deliver(self, delivery: Delivery, job: Job, body: bytes, now: int) -> tuple[Attempt, int]:
        """Try once; return the attempt and how long the receiver asked to wait (ms, or 0)."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status, error, answer, hint = None, None, "", 0
        try:
            status, answer, hint = await self._post(delivery, job, body, now)
        except (Refused, CannotSign) as failure:
            error = f"{type(failure).__name__}: {failure}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            # By its kind alone: what it says may name an address behind the receiver's name.
            error = type(failure).__name__
        took = round((loop.time() - begun) * 1000)
        return Attempt(at=now, took=took, status=status, error=error, answer=answer), hint

    async def _post(self, delivery: Delivery, job: Job, body: bytes, now: int) -> tuple[int, str, int]:
        session = self._session(named=self._guard.check(delivery.url))
        status, headers, payload = self._outcome(job, body)
        fields = dict(headers) | _signature(delivery, payload, now, self._signing.keys(delivery, job))
        fields |= {"Job-Id": job.id, "Job-Status": job.state.value, "Outcome-Status": str(status)}
        async with session.post(
            URL(delivery.url, encoded=True), data=payload, headers=fields, allow_redirects=False
        ) as response:
            answer = await response.content.read(_FIRST_BYTES)
            hint = asked_until(response.headers.get("Retry-After"), response.headers.get("Date"))
            return response.status, answer.decode("utf-8", "replace"), hint

    def _outcome(self, job: Job, body: bytes) -> tuple[int, Headers, bytes]:
        call = Call(policy=self._policies.policy(job.route), urls=self._urls, arrived=job.created)
        match ended(job, call):
            case Reply(status, headers, view):
                return status, headers, view
            case ProblemReply(problem):
                document = problem_details.document(problem, self._urls(job).monitor)
                return problem.status, (("Content-Type", problem_details.MEDIA_TYPE),), document
            case _:
                assert job.outcome is not None, "an outcome has a head"
                passed = tuple((name, value) for name, value in job.outcome.headers if name.lower() in _PASSED_ON)
                return job.outcome.status, passed, body

    def _session(self, *, named: bool) -> aiohttp.ClientSession:
        if named:
            if self._named is None:
                self._named = self._open(self._guard.socket_for_named)
            return self._named
        if self._networked is None:
            self._networked = self._open(self._guard.socket_for_network)
        return self._networked

    def _open(self, socket_factory: aiohttp.connector.SocketFactoryType) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limits of its own: one that waits for another receiver's connection would lose its own time.
            connector=aiohttp.TCPConnector(socket_factory=socket_factory, limit=0, resolver=self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout / 1000),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "callmode"},
            skip_auto_headers=("Content-Type",),
        )

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._named, self._networked):
            if session is not None:
                await session.close()
        await self._resolver.close()


def _signature(delivery: Delivery, payload: bytes, now: int, keys: tuple[bytes, ...]) -> dict[str, str]:
    timestamp = str(now // SECOND)
    message = f"{delivery.id}.{timestamp}.".encode() + payload
    macs = (base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode() for key in keys)
    signatures = " ".join(f"v1,{mac}" for mac in macs)
    return {"webhook-id": delivery.id, "webhook-timestamp": timestamp, "webhook-signature": signatures}
