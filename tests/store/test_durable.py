"""Writes and WAIT: who waits with whom, and on which connection what is asked again."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store.durable import Acknowledged
from gateway.store.port import StoreDown
from gateway.store.wire.client import Repeating
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.errors import Lost
from gateway.store.wire.server import Server
from tests.support.scripted_server import scripted


def writes(port, *, repeating=False):
    """Return a client whose writes one replica must have."""
    client = Acknowledged(Server(Endpoint(("127.0.0.1", port)), 2.0), replicas=1, timeout=100)
    return Repeating(client) if repeating else client


def names(server):
    """Return what was asked, by its first words."""
    return [command[0].decode() for command in server.commands]


async def asked(server, commands):
    """Wait until the server has been asked so much."""
    async with asyncio.timeout(5):
        while len(server.commands) < commands:  # noqa: ASYNC110 - the server's transport sets no event
            await asyncio.sleep(0.005)


async def test_what_comes_while_others_wait_goes_together():
    """One WAIT for the first, and one for all that came meanwhile."""
    async with scripted(lambda command: b"" if command[0] == b"WAIT" else b"+OK\r\n") as server:
        client = writes(server.port)
        first = asyncio.ensure_future(client.execute("SET", "0"))
        await asked(server, 2)
        others = [asyncio.ensure_future(client.execute("SET", f"{number}")) for number in range(1, 51)]
        await asyncio.sleep(0.02)
        assert names(server) == ["SET", "WAIT"]
        server.connections[0].write(b":1\r\n")
        assert await first == b"OK"
        await asked(server, 53)
        assert names(server) == ["SET", "WAIT", *["SET"] * 50, "WAIT"]
        server.connections[0].write(b":0\r\n")
        outcomes = await asyncio.gather(*others, return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {"0 of 1 replicas acknowledged a write in 100 ms"}
        await client.close()


async def test_a_wait_that_is_lost_has_its_writes_made_again():
    """On the next connection: there alone, it would wait for nothing."""
    cut = iter([True, False])

    def answer(command):
        if command[0] == b"WAIT":
            return None if next(cut) else b":1\r\n"
        return b"+OK\r\n"

    async with scripted(answer) as server:
        client = writes(server.port, repeating=True)
        assert await client.execute("SET", "0") == b"OK"
        assert names(server) == ["SET", "WAIT", "SET", "WAIT"]
        assert len(server.connections) == 2
        await client.close()


async def test_who_gives_up_does_not_take_the_others_along():
    """Not even the one whose write was the first."""
    async with scripted(lambda command: b":1\r\n" if command[0] == b"WAIT" else b"+OK\r\n") as server:
        client = writes(server.port)
        first, second = (asyncio.ensure_future(client.execute("SET", f"{number}")) for number in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"OK"
        await client.close()


async def test_closing_tells_all_who_wait():
    """Those whose write was sent, and those who would have been next."""
    async with scripted(lambda command: b"") as server:
        client = writes(server.port)
        first = asyncio.ensure_future(client.execute("SET", "0"))
        await asked(server, 2)
        second = asyncio.ensure_future(client.execute("SET", "1"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(Lost, match="closed") as sent:
            await first
        with pytest.raises(Lost, match="closed") as waiting:
            await second
        assert sent.value.perhaps
        assert not waiting.value.perhaps


async def test_a_client_that_breaks_leaves_nobody_waiting():
    """A defect is told to the loop, and those who wait are not left to wait for ever."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    client = writes(1)
    with pytest.raises(StoreDown, match="ended"):
        await client.execute("SET", None)
    del client
    await asyncio.sleep(0)
    assert [type(error) for error in told] == [TypeError]
