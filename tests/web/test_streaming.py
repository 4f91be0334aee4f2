"""Streams on a connection: what a client's going means."""

from __future__ import annotations

import asyncio
import types

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.core.job import Job, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.web.drain import Drain
from gateway.web.gateway import GATEWAY
from gateway.web.streaming import stream
from tests.caller.calls import call

JOB = Job(
    id="p000-a", route="r", principal="p", token="t", mode=CallerMode.STREAM, asked=UpstreamMode.ASYNC, created=0,
    deadline=1, state=State.STARTING,
)  # fmt: skip


class WatchThatLosesItsClient:
    """A watch whose next record comes in the very moment in which the client's connection begins to close."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.job = JOB

    async def changed(self, _until: int) -> bool:
        """Close the connection, and have something new to say on it."""
        self._request.transport.close()
        self.job = self.job.with_(state=State.RUNNING, revision=self.job.revision + 1)
        return True


async def test_a_client_that_goes_while_it_is_written_to_is_no_defect():
    """The handler returns as at any other end of a stream."""
    ended: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            response = await stream(request, WatchThatLosesItsClient(request), call(CallerMode.STREAM), ())
        except Exception as error:
            ended.set_exception(error)
            raise
        ended.set_result(response)
        return response

    app = web.Application()
    app[GATEWAY] = types.SimpleNamespace(clock=types.SimpleNamespace(now=lambda: 0), drain=Drain())
    app.router.add_get("/", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        async with session.get(server.make_url("/")) as response:
            told = await response.content.readuntil(b"\n\n")
        assert told == b"retry: 1000\n\n"
        assert (await ended).status == 200
