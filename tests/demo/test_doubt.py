"""What the act about a lost answer lets pass, with gateways made up for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from gateway.demo.doubt import doubt
from gateway.demo.outcome import JSON
from tests.support.listening import listening
from tests.support.rig import BASE_PATH, simulated

GOOD = {"Authorization": "Bearer x"}


class Stage:
    """Only the two addresses."""

    def __init__(self, simulator_url: str, gateway_url: str) -> None:
        self.simulator_url = simulator_url
        self.gateway_url = gateway_url


@contextlib.asynccontextmanager
async def stage(*, starts: int = 1, status: int = 200, spoil: bool = True) -> AsyncIterator[Stage]:
    """Serve a gateway that starts the job so often, has answers spoilt or not, and gives the right output."""
    async with simulated() as (_, upstream), aiohttp.ClientSession(headers=GOOD) as http:

        async def call(request: web.Request) -> web.Response:
            said = await request.json()
            told = said | {"duration": 0} if spoil else {"id": said["id"], "duration": 0}
            for _ in range(starts):
                async with http.post(f"{upstream}{BASE_PATH}/t/demo/async", json=told, allow_redirects=False):
                    pass
            return web.Response(status=status, headers={"Content-Type": JSON}, body=said["output_text"].encode())

        app = web.Application()
        app.router.add_post("/jobs", call)
        async with listening(app) as gateway:
            yield Stage(upstream, gateway)


async def test_the_outcome_of_the_one_start_passes():
    """Its answer was spoilt, the caller has the output."""
    async with stage() as it, aiohttp.ClientSession(headers=GOOD) as http:
        assert (await doubt(http, it)).wrong is None


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        ({"status": 502}, "status 502 instead of 200"),
        ({"starts": 2}, "asked 2 times to start the job"),
        ({"starts": 0}, "never reached the upstream"),
        ({"spoil": False}, "0 answers of the upstream were spoilt instead of 1"),
    ],
)
async def test_anything_else_is_named(gateway, reason):
    """A caller that is told of the doubt, a second start, none, or an answer that came through proves nothing."""
    async with stage(**gateway) as it, aiohttp.ClientSession(headers=GOOD) as http:
        wrong = (await doubt(http, it)).wrong
    assert wrong is not None
    assert reason in wrong
