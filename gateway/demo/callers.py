"""The callers: one for each caller mode, each asking for its mode in another of the ways there are."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import aiohttp

from gateway.core.modes import CallerMode
from gateway.demo.conversation import Conversation, UnexpectedAnswerError, expect, field, link
from gateway.demo.outcome import Outcome
from gateway.demo.receiver import Receiver

_POLL_EVERY = 0.1
"""Seconds. Real clients keep to Retry-After, a second at least, which would hide the gateway's own time."""

_MONITOR_WAIT = 10


class Caller(NamedTuple):
    """One row of the table of callers."""

    asks: str
    """How it asks for its mode, in short."""
    call: Callable[[Conversation, Receiver], Awaitable[Outcome]]
    """Has a job run, and returns the outcome as its mode gives it. Raises UnexpectedAnswerError."""


async def _sync(talk: Conversation, _: Receiver) -> Outcome:
    return await talk.start()


async def _async(talk: Conversation, _: Receiver) -> Outcome:
    return await poll(talk, await talk.start({"Prefer": "respond-async"}))


async def poll(talk: Conversation, accepted: Outcome) -> Outcome:
    """Ask the poll URI of an accepted job until it redirects; return what it redirects to."""
    expect(accepted, 202, of="the start")
    url = field(accepted, "Location")
    while (answer := await talk.get(url)).status == 200:  # noqa: ASYNC110 - polling is what this caller shows
        await asyncio.sleep(_POLL_EVERY)
    expect(answer, 303, of="the poll")
    return await talk.follow(answer)


async def _long_poll(talk: Conversation, _: Receiver) -> Outcome:
    answer = await talk.start(extra={"$callMode": "LongPolling"})
    while answer.status == 303:
        answer = await talk.follow(answer)
    return answer


async def _forget(talk: Conversation, _: Receiver) -> Outcome:
    """Such a caller is gone after its 200; that its job comes to its end is seen by whoever looks later."""
    dispatched = await talk.start({"Call-Mode": "forget"})
    expect(dispatched, 200, of="the start")
    if dispatched.body:
        raise UnexpectedAnswerError("the start was answered with a body, where mode forget has none")
    monitor = link(dispatched, "monitor")
    ended = await talk.get(f"{monitor}{'&' if '?' in monitor else '?'}wait={_MONITOR_WAIT}", note="monitor")
    expect(ended, 200, of="the monitor")
    if not (result := json.loads(ended.body)["resultUrl"]):
        raise UnexpectedAnswerError(f"the monitor did not see the job's end within {_MONITOR_WAIT} seconds")
    return await talk.get(result)


async def _callback(talk: Conversation, receiver: Receiver) -> Outcome:
    name = secrets.token_hex(8)
    delivered = receiver.expected(name)
    accepted = await talk.start({"Call-Mode": "callback", "Callback-Url": receiver.url(name)})
    expect(accepted, 202, of="the start")
    delivery = await delivered
    talk.note("signed POST")
    if delivery.forged:
        raise UnexpectedAnswerError(delivery.forged)
    if delivery.job_id != talk.job_id:
        raise UnexpectedAnswerError(f"the delivery is about job {delivery.job_id} instead of {talk.job_id}")
    return delivery.outcome


async def _stream(talk: Conversation, _: Receiver) -> Outcome:
    async with talk.starting({"Accept": "text/event-stream"}) as response:
        async for name, data in _events(response):
            talk.note(name)
            if name == "outcome":
                last = json.loads(data)
                body = base64.b64decode(last["bodyBase64"]) if "bodyBase64" in last else last["body"].encode()
                return Outcome(last["status"], last["headers"], body)
    raise UnexpectedAnswerError("the stream ended without the event `outcome`")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """Yield name and data of each event (WHATWG HTML, 9.2.6), as far as the gateway uses the format."""
    name, data = "message", ""
    async for line in response.content:
        match line.decode().rstrip("\n").split(": ", 1):
            case ["event", value]:
                name = value
            case ["data", value]:
                data = value
            case [""] if data:
                yield name, data
                name, data = "message", ""


CALLERS: dict[CallerMode, Caller] = {
    CallerMode.SYNC: Caller("nothing, the default", _sync),
    CallerMode.ASYNC: Caller("Prefer: respond-async", _async),
    CallerMode.LONG_POLL: Caller("$callMode: LongPolling", _long_poll),
    CallerMode.FORGET: Caller("Call-Mode: forget", _forget),
    CallerMode.CALLBACK: Caller("Callback-Url: http://…", _callback),
    CallerMode.STREAM: Caller("Accept: text/event-stream", _stream),
}
