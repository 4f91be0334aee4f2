"""A whole upstream over a simulated tenant, and a client that answers as it is told."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.core.correlation import bound
from gateway.core.exchange import Answer, Exchanged, Request
from gateway.core.job import Job, State
from gateway.core.jobs_api import start_request
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Binding
from gateway.core.start import StartRequest
from gateway.simulator import Settings, Simulator
from gateway.upstream.assembly import UpstreamAssembly
from gateway.upstream.orchestrator import Orchestrator
from gateway.upstream.settings import JobsApiSettings, UpstreamSettings
from gateway.worker.tasks import Tasks
from tests.support.rig import BASE_PATH, simulated

FOLDER = "5f0c7a4e-7a3c-4ad1-9d2e-0123456789ab"
TOKEN = "token-of-a-caller"
JSON = (("Content-Type", "application/json"),)


@dataclass
class Tenant:
    """A simulated tenant, and Orchestrator's adapters in front of it."""

    simulator: Simulator
    url: str
    orchestrator: Orchestrator

    def now(self) -> int:
        """Return the wall time in milliseconds, as the store has it."""
        return int(time.time() * 1000)

    async def start(self, process: str, job_id: str, arguments: dict[str, Any] | None = None) -> Any:
        """Start a process by mode `Jobs` for the job of this id."""
        request = start_request(self.url, FOLDER, json.dumps(arguments or {}).encode())
        request = bound(request, job_id, UpstreamMode.JOBS, Binding(api=True, process=process))
        return await self.send(request, UpstreamMode.JOBS)

    async def trigger(self, slug: str, arguments: dict[str, Any]) -> Any:
        """Start a trigger."""
        headers = (("Content-Type", "application/json"),)
        url = f"{self.url}/t/{FOLDER}/{slug}"
        body = json.dumps({"$callMode": "AsyncRequestReply", **arguments}).encode()
        return await self.send(StartRequest("POST", url, headers, body), UpstreamMode.ASYNC)

    async def send(self, request: StartRequest, asked: UpstreamMode) -> Any:
        """Send a start."""
        return await self.orchestrator.start(request, asked, TOKEN, timeout=5_000, max_idle=2_000)

    def doubtful(self, job_id: str, asked: UpstreamMode = UpstreamMode.JOBS, **changes: Any) -> Job:
        """Return the record of a job whose start is in doubt since now."""
        now = self.now()
        job = Job(job_id, "route", "p", "t", CallerMode.SYNC, asked, now, now + 60_000, state=State.UNKNOWN)
        return job.with_(**{"intended": now - 1_000, "changed": now} | changes)


@contextlib.asynccontextmanager
async def adapters(url: str, **upstream: Any) -> AsyncIterator[Orchestrator]:
    """Put Orchestrator's adapters in front of a tenant; `upstream` are settings besides its URL."""
    failed: list[BaseException] = []
    tasks = Tasks(failed.append)
    settings = UpstreamSettings(**{"url": url, "jobs_api": JobsApiSettings()} | upstream)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tasks.close)
        yield UpstreamAssembly(settings, tasks.spawn, stack).orchestrator
    assert not failed


@contextlib.asynccontextmanager
async def tenant(settings: Settings | None = None, **upstream: Any) -> AsyncIterator[Tenant]:
    """Run a tenant with adapters in front of it."""
    async with simulated(settings) as (simulator, origin):
        url = origin + BASE_PATH
        async with adapters(url, **upstream) as orchestrator:
            yield Tenant(simulator, url, orchestrator)


class ScriptedClient:
    """A `Client` that answers by a function of the request; every request is kept."""

    def __init__(self, answer: Callable[[Request], Exchanged | Awaitable[Exchanged]]) -> None:
        self._answer = answer
        self.requests: list[Request] = []

    async def exchange(self, request: Request, *, timeout: float, max_idle: float | None = None) -> Exchanged:
        """Answer."""
        self.requests.append(request)
        answered = self._answer(request)
        return answered if isinstance(answered, Exchanged) else await answered

    async def close(self) -> None:
        """Do nothing."""


def answered(status: int, document: Any = None, *headers: tuple[str, str]) -> Answer:
    """Return an answer with a JSON document."""
    return Answer(status, (*JSON, *headers), b"" if document is None else json.dumps(document).encode())
