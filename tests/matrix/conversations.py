"""One conversation per caller mode, as a client of that mode has it: from its call to the job's outcome.

`CONVERSATIONS` is looked up with every mode of the table of modes, so that one without a conversation fails.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from gateway.core.modes import CallerMode, UpstreamMode
from tests.matrix.client import Answer, Client, Request, check_about_job
from tests.matrix.receiver import Receiver

LIVE = ("accepted", "starting", "running", "unknown")


@dataclass(frozen=True)
class Ending:
    """How a conversation ended: the outcome as its mode hands it over.

    `answered_at` is the loop time of the first answer's head, `ended_at` that of the outcome's last byte; `legs` counts
    the answers that were not the outcome; `job_status` is `Job-Status`, or the like of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    job_status: str | None
    first: Answer
    ended_at: float
    legs: int = 0

    @property
    def answered_at(self) -> float:
        """When the call itself was answered."""
        return self.first.head_at

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: int
    name: str
    data: Any


@dataclass(frozen=True)
class Talk:
    """What a conversation needs: who speaks, how its call was answered, and how patient it is.

    `poll_every`: seconds between two polls; None does as `Retry-After` says. `stoppable` as in `check_about_job`.
    """

    client: Client
    receiver: Receiver
    mode: CallerMode
    first: Answer
    poll_every: float | None = None
    stoppable: bool = False

    def check(self, answer: Answer) -> None:
        """See that an answer carries what every answer about this job carries."""
        check_about_job(answer, self.first.job_id, self.mode, stoppable=self.stoppable)

    async def pause(self, answer: Answer) -> None:
        """Wait as a client that was told to ask again later."""
        seconds = answer.retry_after
        await asyncio.sleep(seconds if self.poll_every is None else self.poll_every)


Conversation = Callable[[Talk], Awaitable[Ending]]


async def _sync(talk: Talk) -> Ending:
    """One response: the outcome itself."""
    return _ending(talk, talk.first)


async def _async(talk: Talk) -> Ending:
    """202, then 200 while the job runs, 303 once it has ended, and at the place named, the outcome."""
    polls, answer = 0, await talk.client.get(_accepted(talk))
    while answer.status == 200:
        talk.check(answer)
        assert json.loads(answer.body)["status"] in LIVE
        polls += 1
        await talk.pause(answer)
        answer = await talk.client.get(talk.first.headers["Location"])
    talk.check(answer)
    if answer.status == 303:
        assert answer.headers["Location"] == answer.links["result"]
        answer = await talk.client.get(answer.headers["Location"])
    return _ending(talk, answer, legs=1 + polls)


async def _long_poll(talk: Talk) -> Ending:
    """Held, then 303 to a wait URI that counts the hops, again and again, at last the outcome."""
    hops, answer = 0, talk.first
    while answer.status == 303:
        talk.check(answer)
        assert answer.body == b""
        hops += 1
        assert f"/-/jobs/{talk.first.job_id}/wait?hop={hops}" in answer.headers["Location"]
        answer = await talk.client.get(answer.headers["Location"])
    return _ending(talk, answer, legs=hops)


async def _forget(talk: Talk) -> Ending:
    """200 and an empty body. Who wants to know after all asks the monitor, and then for the result."""
    assert talk.first.status == 200
    assert talk.first.body == b""
    assert "Location" not in talk.first.headers
    assert "Job-Status" not in talk.first.headers
    return await result_of(talk.client, talk.first)


async def _callback(talk: Talk) -> Ending:
    """202, and the outcome is POSTed, once, when the job ends."""
    _accepted(talk)
    delivery = await talk.receiver.delivery(talk.first.job_id)
    headers = delivery.headers
    assert headers["Job-Id"] == talk.first.job_id
    status = int(headers["Outcome-Status"])
    return Ending(status, headers, delivery.body, headers["Job-Status"], talk.first, delivery.at, legs=1)


async def _stream(talk: Talk) -> Ending:
    """A stream of the job's events, the outcome last; whoever has seen that gets 204 when it comes again."""
    assert talk.first.headers["Content-Type"] == "text/event-stream"
    events = read_events(talk.first.body)
    *changes, last = events
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert all(event.data["status"] in LIVE for event in changes)
    assert last.name == "outcome"
    again = await talk.client.get(talk.first.links["events"], {"Last-Event-ID": str(last.id)})
    assert (again.status, again.body) == (204, b"")
    body = b64decode(last.data["bodyBase64"]) if "bodyBase64" in last.data else last.data["body"].encode()
    headers = CIMultiDict(last.data["headers"])
    # The stream's head went out before the job ended, so how it ended is asked of the monitor.
    job_status = (await monitor_of(talk.client, talk.first))["status"]
    return Ending(last.data["status"], headers, body, job_status, talk.first, talk.first.at, legs=len(changes))


CONVERSATIONS: dict[CallerMode, Conversation] = {
    CallerMode.SYNC: _sync,
    CallerMode.ASYNC: _async,
    CallerMode.LONG_POLL: _long_poll,
    CallerMode.FORGET: _forget,
    CallerMode.CALLBACK: _callback,
    CallerMode.STREAM: _stream,
}

AS_OBSERVED: dict[UpstreamMode, CallerMode] = {
    UpstreamMode.ASYNC: CallerMode.ASYNC,
    UpstreamMode.LONG_POLL: CallerMode.LONG_POLL,
    UpstreamMode.FORGET: CallerMode.FORGET,
    UpstreamMode.JOBS: CallerMode.ASYNC,
}
"""How a caller is answered on a route that answers as the trigger itself does; a job of no trigger is polled."""


async def converse(
    client: Client,
    receiver: Receiver,
    mode: CallerMode,
    request: Request,
    *,
    poll_every: float | None = None,
    stoppable: bool = False,
) -> Ending:
    """Send `request`, which demands `mode` or is given it, and go on until there is an outcome."""
    if mode is CallerMode.CALLBACK:
        request = request.with_headers({"Callback-Url": receiver.url})
    first = await client.start(request)
    talk = Talk(client, receiver, mode, first, poll_every, stoppable)
    talk.check(first)
    return await CONVERSATIONS[mode](talk)


async def result_of(client: Client, first: Answer) -> Ending:
    """Wait at the monitor until the job has ended, then read its outcome."""
    view = await monitor_of(client, first, wait=600)
    while view["status"] in LIVE:
        view = await monitor_of(client, first, wait=600)
    answer = await client.get(view["resultUrl"])
    return Ending(answer.status, answer.headers, answer.body, answer.headers.get("Job-Status"), first, answer.at)


async def monitor_of(client: Client, first: Answer, *, wait: int = 0) -> dict[str, Any]:
    """Read a job's monitor, held for `wait` seconds unless the job ends sooner."""
    url = first.links["monitor"]
    answer = await client.get(f"{url}{'&' if '?' in url else '?'}wait={wait}" if wait else url)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    view = json.loads(answer.body)
    assert view["id"] == first.job_id
    assert ("Retry-After" in answer.headers) == (view["status"] in LIVE)
    return view


def read_events(body: bytes) -> list[Event]:
    """Return the events of a stream that has ended; comments and `retry` are left out."""
    events = []
    for block in body.decode().split("\n\n"):
        # At line feeds only, unlike `splitlines`: text may hold U+2028.
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and line[0] != ":")
        if "event" in fields:
            events.append(Event(int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def _accepted(talk: Talk) -> str:
    """See that the call was accepted with all that a 202 carries; return the poll URI."""
    first = talk.first
    assert first.status == 202
    assert first.headers["Operation-Location"] == first.links["monitor"]
    assert first.headers["Location"].startswith(f"{talk.client.running.url}/-/jobs/{first.job_id}/poll")
    assert first.retry_after >= 1
    assert "Job-Status" not in first.headers
    assert json.loads(first.body)["id"] == first.job_id
    return first.headers["Location"]


def _ending(talk: Talk, answer: Answer, legs: int = 0) -> Ending:
    talk.check(answer)
    assert "Location" not in answer.headers
    return Ending(
        answer.status, answer.headers, answer.body, answer.headers.get("Job-Status"), talk.first, answer.at, legs
    )
