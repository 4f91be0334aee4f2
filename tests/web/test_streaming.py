"""Streams on a connection: what a client's going means."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from gateway.core.errors import JobExpired, JobUnavailable, Problem
from gateway.core.job import Job, OutcomeHead, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.web.drain import Drain
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.web.streaming import _send, stream
from tests.caller.calls import call
from tests.web.support import served

JOB = Job(
    id="p000-a", route="r", principal="p", token="t", mode=CallerMode.STREAM, asked=UpstreamMode.ASYNC, created=0,
    deadline=1, state=State.STARTING,
)  # fmt: skip


class WatchThatLosesItsClient:
    """A watch whose next record comes in the very moment in which the client's connection begins to close."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.job = JOB

    async def changed(self, _until: int) -> bool:
        """Close the connection, and have something new to say on it."""
        self._request.connection.transport.close()
        self.job = self.job.with_(state=State.RUNNING, revision=self.job.revision + 1)
        return True


async def test_a_client_that_goes_while_it_is_written_to_is_no_defect():
    """The handler returns as at any other end of a stream."""
    ended: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    async def handler(request: Request) -> Response:
        try:
            response = await stream(request, WatchThatLosesItsClient(request), call(CallerMode.STREAM), ())
        except Exception as error:
            ended.set_exception(error)
            raise
        ended.set_result(response)
        return response

    gateway = types.SimpleNamespace(clock=types.SimpleNamespace(now=lambda: 0), drain=Drain())
    async with served(gateway, handler) as url, aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            told = await response.content.readuntil(b"\n\n")
        assert told == b"retry: 1000\n\n"
        assert (await ended).status == 200


class Script:
    """A watch and a client at once: records that come while the stream waits, or while it writes."""

    def __init__(self, *records: Job, while_writing: bool = False) -> None:
        self.job, *self._later = records
        self._while_writing = while_writing
        self.body = b""
        self.names: list[str] = []

    async def changed(self, _until: int) -> bool:
        """Bring the next record, of which there must be one."""
        self.job = self._later.pop(0)
        return True

    async def write(self, data: bytes) -> None:
        """Note the event's name, and let the next record come meanwhile."""
        self.names += [line[7:].decode() for line in data.splitlines() if line.startswith(b"event: ")]
        if self._while_writing and self._later:
            self.job = self._later.pop(0)


def record(state: State, revision: int) -> Job:
    """Return a record of one job."""
    ended = OutcomeHead(200) if state.terminal else None
    return JOB.with_(state=state, revision=revision, outcome=ended)


async def sent(
    script: Script, last_id: int | None = None, body_of: Callable[[Script], Awaitable[bytes]] | None = None
) -> list[str]:
    """Return the names of the events that the stream sends."""
    gateway = types.SimpleNamespace(
        clock=types.SimpleNamespace(now=lambda: 0), drain=Drain(), body_of=body_of or _no_body
    )
    await _send(script, gateway, script, call(CallerMode.STREAM), last_id)
    return script.names


async def _no_body(_watch: Script) -> bytes:
    return b""


JOURNEY = (
    record(State.STARTING, 2), record(State.RUNNING, 3), record(State.RUNNING, 4), record(State.RUNNING, 5),
    record(State.UNKNOWN, 6), record(State.SUCCEEDED, 9),
)  # fmt: skip
"""Revisions 4 and 5 are new URIs to follow."""


async def test_who_listens_is_told_every_state_by_its_name():
    """Records that say nothing new are passed over, and are no gap; nor is a jump to the end."""
    assert await sent(Script(*JOURNEY)) == ["starting", "running", "unknown", "outcome"]


async def test_what_comes_while_it_writes_is_not_lost():
    """Nobody is woken for it any more: it must be seen at once."""
    assert await sent(Script(*JOURNEY[:2], JOURNEY[-1], while_writing=True)) == ["starting", "running", "outcome"]


async def test_who_is_ahead_of_this_replica_hears_nothing_twice():
    """It has seen what the follower is yet to learn that it saved; ids never go back."""
    assert await sent(Script(record(State.ACCEPTED, 1), *JOURNEY), last_id=2) == ["running", "unknown", "outcome"]
    assert await sent(Script(record(State.ACCEPTED, 1), *JOURNEY[1:]), last_id=2) == ["running", "unknown", "outcome"]
    assert await sent(Script(record(State.ACCEPTED, 1), JOURNEY[-1]), last_id=2) == ["outcome"]


async def test_who_is_ahead_for_long_begins_anew():
    """Its id never was, or the store has lost what it stood for."""

    class Silent(Script):
        async def changed(self, _until: int) -> bool:
            return False if self.names == [] else await super().changed(_until)

    assert await sent(Silent(*JOURNEY[:2], JOURNEY[-1]), last_id=99) == ["resync", "running", "outcome"]


@pytest.mark.parametrize("problem", [JobUnavailable("away", job_id=JOB.id), JobExpired(job_id=JOB.id)])
async def test_an_outcome_that_cannot_be_read(problem: Problem):
    """Ends the stream in order: an answer that is cut off half-way would be a failure of the network's."""

    async def body_of(_watch: Script) -> bytes:
        raise problem

    assert await sent(Script(*JOURNEY), body_of=body_of) == ["starting", "running", "unknown"]


async def test_who_comes_back_too_late_begins_anew():
    """Once; from then on it listens as everybody."""
    assert await sent(Script(*JOURNEY[3:]), last_id=2) == ["resync", "unknown", "outcome"]
    assert await sent(Script(*JOURNEY[3:]), last_id=5) == ["unknown", "outcome"]
