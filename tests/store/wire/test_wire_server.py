"""Connecting, when somebody has something to send: once for all, let in, and never with the password in a message."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
import uvloop

from gateway.store.wire.connection import Connection
from gateway.store.wire.endpoint import Endpoint, Tls
from gateway.store.wire.errors import Lost, Refused
from gateway.store.wire.server import Server
from tests.support.redis_servers import real_redis_binary, redis_server, require
from tests.support.scripted_server import scripted

SECRET = "correct-horse"


def welcome(command):
    """Let everybody in."""
    return b"+OK\r\n"


async def test_all_who_come_first_wait_for_one_connection(opened):
    """Nothing of theirs is sent before it is let in and has its database."""
    async with scripted(welcome) as server:
        client = opened(server.port, username="us", password=SECRET, db=7)
        await asyncio.gather(*(client.execute("PING") for _ in range(20)))
        assert len(server.connections) == 1
        assert server.commands[:2] == [[b"AUTH", b"us", SECRET.encode()], [b"SELECT", b"7"]]
        assert server.commands[2:] == [[b"PING"]] * 20


async def test_a_password_without_a_user(opened):
    """Is the default user's."""
    async with scripted(welcome) as server:
        await opened(server.port, password=SECRET).execute("PING")
        assert server.commands == [[b"AUTH", SECRET.encode()], [b"PING"]]


@pytest.mark.parametrize("refused", [b"AUTH", b"SELECT"])
async def test_who_is_not_let_in_sends_nothing(opened, refused, caplog):
    """The reason is told, the password is not: neither by the error, nor by what anybody prints, nor in a log."""
    caplog.set_level(logging.DEBUG)
    async with scripted(lambda command: b"-WRONGPASS no\r\n" if command[0] == refused else b"+OK\r\n") as server:
        client = opened(server.port, username="us", password=SECRET, db=7, repeating=True)
        with pytest.raises(Lost, match="WRONGPASS") as error:
            await client.execute("SET", "a", "b")
        assert not error.value.perhaps
        assert [command[0] for command in server.commands] == [b"AUTH", b"SELECT"] * 2
        told = [repr(error.value), repr(client), repr(client._inner), repr(client._inner._locate), caplog.text]
        assert not any(SECRET in text for text in told)


async def test_nobody_listens(opened):
    """Nothing was sent, certainly; each of many callers has an error of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    client = opened(port, repeating=True)
    errors = await asyncio.gather(*(client.execute("PING") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [Lost] * 3
    assert not any(error.perhaps for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert f"127.0.0.1:{port}" in str(errors[0])


async def test_somebody_listens_who_says_nothing(opened):
    """Being let in is waited for as long as for any reply; it is not waited for twice by anyone in between."""
    async with scripted(lambda command: b"") as server:
        client = opened(server.port, timeout=0.1, password=SECRET)
        with pytest.raises(Lost, match=r"within 0\.1 s") as error:
            await client.execute("PING")
        assert not error.value.perhaps


async def test_who_asked_first_may_give_up(opened):
    """The others get the connection all the same."""
    async with scripted(welcome) as server:
        client = opened(server.port)
        first = asyncio.ensure_future(client.execute("PING"))
        second = asyncio.ensure_future(client.execute("PING"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"OK"
        assert len(server.connections) == 1


async def test_closing_while_connecting(opened):
    """Whoever waits is told, and is not cancelled."""
    async with scripted(lambda command: b"") as server:
        client = opened(server.port, password=SECRET)
        asking = asyncio.ensure_future(client.execute("PING"))
        while not server.commands:  # noqa: ASYNC110 - the server's transport sets no event
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(Lost, match="was closed"):
            await asking


async def test_a_server_that_restarts(opened, tmp_path):
    """Costs whoever asks meanwhile, and nobody afterwards."""
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path) as server:
        client = opened(server.port, repeating=True)
        await client.execute("SET", "a", "1")
        server.kill()
        with pytest.raises(Lost):
            await client.execute("GET", "a")
        server.start()
        assert await client.execute("GET", "a") is None


async def test_a_server_that_became_a_replica_is_left(opened):
    """Those who asked before have their replies; whoever asks next has a new connection."""

    def answer(command):
        return b"-READONLY You can't write\r\n" if command[0] == b"SET" else b"+OK\r\n"

    async with scripted(answer) as server:
        client = opened(server.port)
        before, refused, after = await client.each([("GET", "a"), ("SET", "a", "b"), ("GET", "a")])
        assert (before, after) == (b"OK", b"OK")
        assert isinstance(refused, Lost)
        assert not refused.perhaps
        assert await client.execute("GET", "a") == b"OK"
        assert len(server.connections) == 2


async def test_leaving_lets_go_first_of_what_is_answered(opened):
    """What is under way is answered on the old connection."""
    async with scripted(lambda command: b"" if command[0] == b"SLOW" else b"+OK\r\n") as server:
        client = opened(server.port)
        slow = asyncio.ensure_future(client.execute("SLOW"))
        while not server.commands:  # noqa: ASYNC110 - the server's transport sets no event
            await asyncio.sleep(0.005)
        client.leave()
        assert await client.execute("PING") == b"OK"
        assert len(server.connections) == 2
        server.connections[0].write(b"+DONE\r\n")
        assert await slow == b"DONE"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["who asked gives up", "the client is closed"])
def test_a_dial_that_ends_as_its_connection_is_made(monkeypatch, loop, end):
    """Leaves nothing behind that somebody would wait for: not every loop tells of such an end."""
    made = Connection.connection_made

    async def dialing() -> None:
        async with scripted(welcome) as server, asyncio.timeout(10):
            endpoint = Endpoint(("127.0.0.1", server.port))
            client = Server(endpoint, 60.0)
            ending = []

            def made_too_late(connection, transport):
                made(connection, transport)
                if end == "who asked gives up":
                    task.cancel()
                else:
                    ending.append(asyncio.ensure_future(client.close()))

            monkeypatch.setattr(Connection, "connection_made", made_too_late)
            gives_up = end == "who asked gives up"
            task = asyncio.ensure_future(endpoint.connect(60.0, Connection) if gives_up else client.execute("PING"))
            await asyncio.wait([task])
            await asyncio.gather(*ending)
            assert task.cancelled() if gives_up else isinstance(task.exception(), Lost)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(dialing())


async def test_over_a_unix_socket(tmp_path):
    """As over TCP."""
    path = str(tmp_path / "socket")
    binary = require(real_redis_binary(), "redis-server")
    with redis_server(binary, tmp_path, options=("--unixsocket", path)):
        client = Server(Endpoint(path, db=3), 2.0)
        assert await client.execute("SET", "a", "1") == b"OK"
        await client.close()


async def test_a_certificate_that_is_no_file(opened, tmp_path):
    """Is a store that cannot be reached, said with the file's name."""
    client = opened(1, tls=Tls(ca=tmp_path / "none.pem"))
    with pytest.raises(Lost, match="FileNotFoundError"):
        await client.execute("PING")


async def test_a_host_name_that_cannot_be_one():
    """Is nobody's."""
    client = Server(Endpoint((f"{'a' * 64}.example", 1)), 2.0)
    with pytest.raises(Lost):
        await client.execute("PING")
    await client.close()


async def test_a_word_that_cannot_be_sent(opened):
    """Is the caller's own mistake, and nobody else's."""
    async with scripted(welcome) as server:
        client = opened(server.port)
        with pytest.raises(TypeError):
            await client.execute("SET", "a", None)
        assert await client.execute("PING") == b"OK"


async def test_refusals_name_their_kind():
    """By the first word."""
    assert Refused("NOSCRIPT No matching script.").code == "NOSCRIPT"
    assert Refused("").code == ""
