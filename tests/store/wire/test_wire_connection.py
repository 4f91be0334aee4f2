"""One connection for all: whose reply is whose, and the end of it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.store.port import StoreDown
from gateway.store.wire import connection as connections
from gateway.store.wire.errors import Lost, Refused
from tests.support.scripted_server import scripted


def echo(command):
    """Answer `ECHO word` as a server does."""
    return b"$%d\r\n%s\r\n" % (len(command[1]), command[1])


def silent(command):
    """Say nothing."""
    return b""


async def outcomes(*calls):
    """Return answers and errors."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def turns():
    """Let the loop do what it has to, a few times over."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(true):
    """Return once `true` is: the other end is in the same loop."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - a server's transport sets no event
            await asyncio.sleep(0.005)


async def test_commands_of_one_turn_leave_together_and_are_answered_in_order(opened):
    """However many ask: one connection, one write, and each gets its own."""
    async with scripted(echo) as server:
        client = opened(server.port)
        words = [f"word-{number}".encode() for number in range(100)]
        assert await asyncio.gather(*(client.execute("ECHO", word) for word in words)) == words
        assert [command[1] for command in server.commands] == words
        assert (server.chunks, len(server.connections)) == (1, 1)


async def test_a_connection_that_ended_before_it_was_used(opened):
    """Says so: a command that nobody sends and nobody fails would be waited for for ever."""
    async with scripted(echo) as server:
        client = opened(server.port)
        await client.execute("ECHO", b"a")
        connection = client._connection
        connection.fail("cut")
        for asking in (lambda: connection.send(b"x"), lambda: connection.send_each([b"x", b"y"])):
            with pytest.raises(Lost) as raised:
                asking()
            assert not raised.value.perhaps
        await connection.ended()
        with pytest.raises(Lost):
            connection.send(b"x")
        assert await client.execute("ECHO", b"b") == b"b"


async def test_who_waits_for_a_connection_that_is_cut_as_soon_as_it_is_there(opened, monkeypatch):
    """Everybody who waited is told: it ended in the turn in which they were to use it."""
    async with scripted(echo) as server:
        client = opened(server.port)
        done = client._opened

        def cut(opening):
            done(opening)
            client._connection.fail("cut")

        monkeypatch.setattr(client, "_opened", cut)
        async with asyncio.timeout(5):
            told = await outcomes(
                client.execute("ECHO", b"a"), client.execute("ECHO", b"b"), client.each([("ECHO", b"c")])
            )
        assert [type(each) for each in told[:2]] == [Lost, Lost]
        assert [type(each) for each in told[2]] == [Lost]


async def test_replies_that_come_byte_by_byte(opened):
    """Are waited for until they are whole."""
    async with scripted(silent) as server:
        client = opened(server.port)
        asking = asyncio.gather(client.execute("GET", "a"), client.execute("GET", "b"))
        await until(lambda: len(server.commands) == 2)
        for byte in b"*2\r\n$3\r\none\r\n:2\r\n$-1\r\n":
            server.connections[0].write(bytes([byte]))
            await turns()
        assert await asking == [[b"one", 2], None]


async def test_a_big_reply_comes_whole(opened):
    """Eight megabytes, between two small ones."""
    big = bytes(range(256)) * (8 << 12)

    def answer(command):
        return b"$%d\r\n%s\r\n" % (len(big), big) if command[1] == b"big" else echo(command)

    async with scripted(answer) as server:
        client = opened(server.port)
        assert await client.each([("GET", word) for word in ("a", "big", "b")]) == [b"a", big, b"b"]


async def test_who_gives_up_leaves_no_reply_to_the_next(opened):
    """Neither before its command is sent, nor after."""
    async with scripted(silent) as server:
        client = opened(server.port)
        asking = [asyncio.ensure_future(client.execute("ECHO", f"{number}")) for number in range(4)]
        await until(lambda: len(server.commands) == 4)
        asking[1].cancel()
        late = asyncio.ensure_future(client.execute("ECHO", "late"))
        await asyncio.sleep(0)
        late.cancel()
        asking.append(asyncio.ensure_future(client.execute("ECHO", "4")))
        await until(lambda: len(server.commands) == 6)
        for command in list(server.commands):
            server.connections[0].write(echo(command))
        answers = await outcomes(*asking)
        assert isinstance(answers.pop(1), asyncio.CancelledError)
        assert answers == [b"0", b"2", b"3", b"4"]


async def test_an_error_is_one_callers(opened):
    """The others have their answers."""

    def answer(command):
        return b"-OOM no memory\r\n" if command[1] == b"bad" else echo(command)

    async with scripted(answer) as server:
        first, bad, last = await opened(server.port).each([("GET", word) for word in ("a", "bad", "b")])
        assert (first, last) == (b"a", b"b")
        assert isinstance(bad, Refused)
        assert (str(bad), bad.code, bad.perhaps) == ("OOM no memory", "OOM", False)


@pytest.mark.parametrize("sent", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-7\r\n", b"*1\r\n?", b"\x15\x03\x01\x00\x02"])
async def test_what_is_no_resp_ends_the_connection(opened, sent):
    """With everything that waited on it: nobody knows whose the next reply would be."""
    async with scripted(lambda command: sent if command[1] == b"2" else echo(command)) as server:
        client = opened(server.port)
        answers = await client.each([("ECHO", f"{number}") for number in range(1, 4)])
        assert answers[0] == b"1"
        assert [type(answer) for answer in answers[1:]] == [Lost, Lost]
        assert all(answer.perhaps and "no RESP" in str(answer) for answer in answers[1:])
        assert await client.execute("ECHO", "again") == b"again"


async def test_what_was_not_asked_for_ends_the_connection(opened):
    """One reply too many would be taken for the next command's."""
    async with scripted(lambda command: echo(command) * 2) as server:
        client = opened(server.port)
        assert await client.execute("ECHO", "a") == b"a"
        await until(lambda: client._connection.is_over)
        assert await client.execute("ECHO", "b") == b"b"


async def test_a_cut_in_the_middle_of_a_reply(opened):
    """Loses it and all after it; what was answered before stays answered."""

    def answer(command):
        return {b"1": b"$1\r\n1\r\n", b"2": b"$100\r\nabc"}.get(command[1])

    async with scripted(answer) as server:
        first, second, third = await opened(server.port).each([("ECHO", f"{number}") for number in (1, 2, 3)])
        assert first == b"1"
        assert isinstance(second, Lost)
        assert isinstance(third, Lost)
        assert second.perhaps
        assert third.perhaps


async def test_a_late_reply_loses_the_connection(opened):
    """With all that was sent on it, and with nothing else: the next command has another."""
    async with scripted(lambda command: b"" if command[1] in {b"2", b"3"} else echo(command)) as server:
        client = opened(server.port, timeout=0.1)
        began = asyncio.get_running_loop().time()
        first, *late = await client.each([("ECHO", f"{number}") for number in (1, 2, 3)])
        took = asyncio.get_running_loop().time() - began
        assert first == b"1"
        assert [type(answer) for answer in late] == [Lost, Lost]
        assert all(answer.perhaps and "no answer within 0.1 s" in str(answer) for answer in late)
        assert 0.09 < took < 1.0
        assert await client.execute("ECHO", "4") == b"4"
        assert len(server.connections) == 2


async def test_a_busy_connection_is_not_late(opened):
    """Each write has its own time: commands that follow each other for longer than one may take are all answered."""
    async with scripted(echo) as server:
        client = opened(server.port, timeout=0.1)
        ends = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < ends:
            assert await client.execute("ECHO", "a") == b"a"
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.15)
        assert await client.execute("ECHO", "a") == b"a"
        assert len(server.connections) == 1


async def test_too_many_commands_are_refused_at_once(opened, monkeypatch):
    """A server that hangs costs no memory without end; whoever is refused has sent nothing."""
    monkeypatch.setattr(connections, "MOST_COMMANDS", 10)
    async with scripted(silent) as server:
        client = opened(server.port)
        asking = asyncio.gather(*(client.execute("ECHO", "a") for _ in range(10)), return_exceptions=True)
        await until(lambda: len(server.commands) == 10)
        with pytest.raises(StoreDown, match="too many") as refused:
            await client.execute("ECHO", "b")
        [batch] = await client.each([("ECHO", "b")])
        assert not refused.value.perhaps
        assert not batch.perhaps
        server.connections[0].abort()
        assert {type(answer) for answer in await asking} == {Lost}


async def test_a_server_that_does_not_read(monkeypatch, opened):
    """Makes us keep so many bytes and not more; what never left certainly did not run."""
    monkeypatch.setattr(connections, "MOST_UNSENT", 1 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = opened(listener.getsockname()[1], timeout=0.5)
        word = b"x" * (1 << 18)
        first = asyncio.ensure_future(client.execute("ECHO", word))
        await until(lambda: client._connection is not None)
        asking = [first]
        while True:
            asking.append(asyncio.ensure_future(client.execute("ECHO", word)))
            await turns()
            if asking[-1].done():
                break
            assert len(asking) < 1_000
        answers = await outcomes(*asking)
        assert "too many" in str(answers.pop())
        assert {type(answer) for answer in answers} == {Lost}
        assert answers[0].perhaps
        assert not answers[-1].perhaps


async def test_ten_thousand_commands_at_once(opened, redis_url):
    """On a real server."""
    client = opened(int(redis_url.rpartition(":")[2].partition("/")[0]))
    words = [f"{number}".encode() for number in range(10_000)]
    assert await asyncio.gather(*(client.execute("ECHO", word) for word in words)) == words
    assert await client.each([("ECHO", word) for word in words]) == words


async def test_closing_ends_what_is_under_way(opened):
    """And nothing is begun any more."""
    async with scripted(silent) as server:
        client = opened(server.port)
        asking = asyncio.ensure_future(client.execute("ECHO", "a"))
        await until(lambda: server.commands)
        await client.close()
        with pytest.raises(Lost, match="was closed"):
            await asking
        with pytest.raises(Lost, match="was closed"):
            await client.execute("ECHO", "a")


async def test_commands_that_are_sent_together_are_all_sent_or_none(opened, monkeypatch):
    """However large: who is told that nothing was sent relies on it."""
    monkeypatch.setattr(connections, "MOST_UNSENT", 1000)
    async with scripted(echo) as server:
        client = opened(server.port)
        words = [b"%d" % number * 600 for number in range(5)]
        assert await client.each([("ECHO", word) for word in words]) == words
