"""Clients of a gateway behind a load balancer, one of each caller mode, that do what the gateway's answers tell them.

They repeat a call under its key when a connection fails and when an answer says that nothing ran; they follow every
Location and every link that they are given. Any other answer fails them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from gateway.core.modes import CallerMode
from tests.e2e.support import Answer, Caller, Receiver, eventually

_PAUSE = 0.1


@dataclass
class Client:
    """One caller and its job. `blocked` while it waits for an answer; `repeats` counts what did not go through."""

    caller: Caller
    receiver: Receiver
    tag: str
    mode: CallerMode
    duration: float
    blocked: bool = False
    repeats: list[str] = field(default_factory=list)

    async def outcome(self) -> bytes:
        """Call, have the conversation of the mode, and return the outcome's body."""
        first = await self._surely(self._call)
        return await _CONVERSATIONS[self.mode](self, first)

    async def _call(self) -> Answer:
        headers = {"Call-Mode": self.mode.value, "Idempotency-Key": self.tag}
        if self.mode is CallerMode.CALLBACK:
            headers["Callback-Url"] = self.receiver.url
        return await self.caller(json={"id": self.tag, "duration": self.duration}, headers=headers)

    async def get(self, url: str, **headers: str) -> Answer:
        """Read a URL, until somebody answers."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._surely(lambda: self.caller("GET", url, headers=fields))

    async def _surely(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            self.blocked = True
            try:
                answer = await request()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                self.repeats.append(type(error).__name__)
            else:
                if not _may_be_repeated(answer):
                    return answer
                self.repeats.append(str(answer.problem))
            finally:
                self.blocked = False
            await asyncio.sleep(_PAUSE)

    async def result_of(self, job_id: str) -> bytes:
        """Wait for a job's end at its monitor, then read its outcome."""
        view = await self.get(f"/-/jobs/{job_id}?wait=20")
        while view.json["status"] != "succeeded":
            assert view.json["status"] in {"accepted", "starting", "running"}, view.json
            view = await self.get(f"/-/jobs/{job_id}?wait=20")
        return _outcome(await self.get(view.json["resultUrl"]))


def _may_be_repeated(answer: Answer) -> bool:
    return answer.status in {502, 503} and answer.problem is not None and answer.json["retryable"]


def _outcome(answer: Answer) -> bytes:
    assert answer.status == 200, (answer.status, answer.body)
    assert answer.headers["Job-Status"] == "succeeded"
    return answer.body


async def _sync(client: Client, first: Answer) -> bytes:
    if first.status != 504:
        return _outcome(first)
    assert first.problem == "wait-timeout"
    return await client.result_of(first.json["jobId"])


async def _async(client: Client, first: Answer) -> bytes:
    assert first.status == 202
    while (answer := await client.get(first.headers["Location"])).status == 200:  # noqa: ASYNC110 - polling
        await asyncio.sleep(0.5)
    assert answer.status == 303
    return _outcome(await client.get(answer.headers["Location"]))


async def _long_poll(client: Client, first: Answer) -> bytes:
    answer = first
    while answer.status == 303:
        answer = await client.get(answer.headers["Location"])
    return _outcome(answer)


async def _forget(client: Client, first: Answer) -> bytes:
    assert (first.status, first.body) == (200, b"")
    return await client.result_of(first.headers["Job-Id"])


async def _callback(client: Client, first: Answer) -> bytes:
    assert first.status == 202
    job_id = first.headers["Job-Id"]

    async def arrived() -> list[bytes]:
        return [each.body for each in client.receiver.deliveries if each.headers["Job-Id"] == job_id]

    return (await eventually(arrived, within=40))[0]


async def _stream(client: Client, first: Answer) -> bytes:
    events, answer = re.search(r'<([^>]+)>; rel="events"', first.headers["Link"]), first
    assert events is not None
    last = ""
    while True:
        assert answer.status == 200
        for number, name, data in events_of(answer.body):
            last = str(number)
            if name == "outcome":
                assert data["status"] == 200
                return data["body"].encode() if "body" in data else base64.b64decode(data["bodyBase64"])
        answer = await client.get(events[1], Last_Event_ID=last)


def events_of(stream: bytes) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the events of a stream: id, name and data."""
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line)
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


_CONVERSATIONS: dict[CallerMode, Callable[[Client, Answer], Awaitable[bytes]]] = {
    CallerMode.SYNC: _sync,
    CallerMode.ASYNC: _async,
    CallerMode.LONG_POLL: _long_poll,
    CallerMode.FORGET: _forget,
    CallerMode.CALLBACK: _callback,
    CallerMode.STREAM: _stream,
}
