"""The simulator as a server of its own."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from gateway.simulator import Settings, serve


@contextlib.asynccontextmanager
async def serving(**settings):
    """Serve a tenant on a free port and give its origin."""
    address = asyncio.get_running_loop().create_future()

    def ready(host, port):
        address.set_result(f"http://{host}:{port}")

    async with asyncio.TaskGroup() as group:
        server = group.create_task(serve(Settings(**settings), "127.0.0.1", 0, on_ready=ready))
        yield await address
        server.cancel()


async def test_serves_until_cancelled():
    """It answers on the address it names, and lets go of it when it is cancelled."""
    async with aiohttp.ClientSession() as session:
        async with serving(require_auth=False) as origin:
            reply = await session.post(f"{origin}/t/f/longpoll", json={"n": 1, "duration": 0})
            assert await reply.json() == {"n": 1}
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(origin)


@pytest.mark.looptime
async def test_job_outlives_its_caller():
    """A caller that hangs up ends its held call; the job runs on to its end."""
    async with serving(require_auth=False, mode="LongPolling") as origin, aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await session.post(f"{origin}/t/f/job", json={"id": "a", "duration": 10})
        await asyncio.sleep(1)
        async with session.get(f"{origin}/_sim/counters") as response:
            assert (await response.json())["running"] == 1
        await asyncio.sleep(5)
        async with session.get(f"{origin}/_sim/arguments") as response:
            assert (await response.json())["a"]["ended_at"] is not None


async def test_address_in_use():
    """An address that is taken is an OSError at once."""
    async with serving() as origin:
        with pytest.raises(OSError, match="address already in use"):
            await serve(Settings(), "127.0.0.1", int(origin.rpartition(":")[2]))
