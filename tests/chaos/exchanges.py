"""One request and what came back, written down whatever happens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from tests.chaos.front import Front
from tests.chaos.history import Complete, Event, History, Invoke

PROBLEM = "urn:callmode:problem:"
_PATIENCE = 15.0
"""Seconds beyond what the gateway may take before a client gives an exchange up."""


class Exchanges:
    """Makes the requests of one run. The connection is new each time, so that none is a stale one."""

    def __init__(self, front: Front, history: History, session: aiohttp.ClientSession) -> None:
        self.front = front
        self.history = history
        self._session = session
        # The client must not send anything twice by itself, as it would with all methods but POST.
        session._retry_connection = False

    async def make(
        self,
        call: str,
        road: str,
        method: str,
        path: str,
        *,
        may_take: float,
        token: str | None = None,
        replica: int | None = None,
        headers: Mapping[str, str] | None = None,
        final: bool = False,
        job: str | None = None,
        last_event: int | None = None,
        **body: Any,
    ) -> Complete:
        """Send a request for `path` to a replica and return what came back."""
        number = self.history.number()
        at = self.front.pick() if replica is None else replica
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if last_event is not None:
            fields["Last-Event-ID"] = str(last_event)
        invoke = Invoke(number, call, road, at, self.history.now(), may_take, final, job, last_event)
        self.history.add(invoke)
        answer = _Answer()
        error = None
        try:
            async with self._session.request(
                method,
                URL(self.front.url(at) + path, encoded=True),
                headers=fields,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=may_take + _PATIENCE),
                **body,
            ) as response:
                await answer.read(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        complete = answer.complete(number, self.history.now(), error)
        self.history.add(complete)
        return complete


class _Answer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._body = b""

    async def read(self, response: aiohttp.ClientResponse) -> None:
        self._status, self._headers = response.status, response.headers.copy()
        async for chunk in response.content.iter_any():
            self._body += chunk

    def complete(self, number: int, at: float, error: str | None) -> Complete:
        headers = self._headers
        events: tuple[Event, ...] = ()
        body = self._body
        if headers.get("Content-Type", "").startswith("text/event-stream"):
            events, body = parse_events(body), b""
        problem = _problem(headers, body)
        return Complete(
            n=number,
            at=at,
            status=self._status,
            job=headers.get("Job-Id"),
            job_status=headers.get("Job-Status"),
            replayed=headers.get("Idempotent-Replayed") == "true",
            location=_relative(headers.get("Location")),
            problem=None if problem is None else str(problem["type"]).removeprefix(PROBLEM),
            retryable=bool(problem and problem["retryable"]),
            body=body.decode("latin-1"),
            events=events,
            error=error,
        )


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if headers.get("Content-Type") != "application/problem+json":
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if str(document.get("type", "")).startswith(PROBLEM) else None


def _relative(url: str | None) -> str | None:
    """Return path and query: any replica will do."""
    return None if url is None else re.sub(r"^https?://[^/]*", "", url)


def parse_events(stream: bytes) -> tuple[Event, ...]:
    """Return the whole events of a stream (WHATWG HTML, 9.2.6); one that was cut is none."""
    events = []
    for block in stream.decode(errors="replace").split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields and "id" in fields:
            events.append(Event(int(fields["id"]), fields.get("event", "message"), fields["data"]))
    return tuple(events)
