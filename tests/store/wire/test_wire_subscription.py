"""Listening: what is published is heard in order, and a silence is told from a death."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.store.port import StoreDown
from gateway.store.wire import subscription as subscriptions
from gateway.store.wire.errors import Lost, Refused
from tests.support.scripted_server import scripted

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"


def message(number):
    """Return a message as it is sent."""
    return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%d\r\n" % (len(str(number)), number)


async def test_messages_in_order(opened):
    """Also those that come before anybody asks for them, and in pieces."""
    async with scripted(lambda command: SUBSCRIBED + message(1) + message(2) + message(3)[:9]) as server:
        listening = await opened(server.port).listen(["c"])
        assert await listening.next() == [b"subscribe", b"c", 1]
        assert [(await listening.next())[2] for _ in range(2)] == [b"1", b"2"]
        server.connections[0].write(message(3)[9:])
        assert await listening.next() == [b"message", b"c", b"3"]
        assert server.commands == [[b"SUBSCRIBE", b"c"]]


async def test_a_silence_is_asked_about(opened):
    """A server that has nothing to say says so."""
    async with scripted(lambda command: SUBSCRIBED if command[0] == b"SUBSCRIBE" else PONG) as server:
        listening = await opened(server.port, timeout=0.05).listen(["c"])
        assert await listening.next() == [b"subscribe", b"c", 1]
        assert await listening.next() == [b"pong", b""]
        assert server.commands[1:] == [[b"PING"]]


async def test_a_server_that_vanished_is_found_out(opened):
    """After two silences."""
    async with scripted(lambda command: b"") as server:
        listening = await opened(server.port, timeout=0.05).listen(["c"])
        began = time.monotonic()
        with pytest.raises(StoreDown, match="dead"):
            await listening.next()
        assert 0.09 < time.monotonic() - began < 2


async def test_a_cut_is_told_after_what_was_heard(opened):
    """Nothing that came is lost."""
    async with scripted(lambda command: SUBSCRIBED + message(1)) as server:
        listening = await opened(server.port).listen(["c"])
        assert await listening.next() == [b"subscribe", b"c", 1]
        server.connections[0].close()
        assert await listening.next() == [b"message", b"c", b"1"]
        with pytest.raises(Lost, match="closed"):
            await listening.next()


async def test_who_may_not_listen(opened):
    """Is told why."""
    async with scripted(lambda command: b"-NOPERM no permissions to access a channel\r\n") as server:
        listening = await opened(server.port).listen(["c"])
        with pytest.raises(Refused, match="permissions"):
            await listening.next()


async def test_what_nobody_listens_to_is_not_kept_without_end(opened, monkeypatch):
    """The subscription ends, which says that messages were lost."""
    monkeypatch.setattr(subscriptions, "MOST_UNHEARD", 10)
    async with scripted(lambda command: SUBSCRIBED + b"".join(map(message, range(20)))) as server:
        listening = await opened(server.port).listen(["c"])
        heard = [await listening.next() for _ in range(21)]
        assert heard[-1] == [b"message", b"c", b"19"]
        with pytest.raises(Lost, match="more was published"):
            await listening.next()


async def test_closing_the_client_ends_the_listening(opened):
    """And leaving its server does."""
    async with scripted(lambda command: SUBSCRIBED) as server:
        for end in ("leave", "close"):
            client = opened(server.port)
            listening = await client.listen(["c"])
            assert await listening.next() == [b"subscribe", b"c", 1]
            asking = asyncio.ensure_future(listening.next())
            await asyncio.sleep(0)
            if waiting := getattr(client, end)():
                await waiting
            with pytest.raises(Lost):
                await asking
        with pytest.raises(Lost, match="was closed"):
            await client.listen(["c"])
