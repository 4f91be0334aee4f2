"""Dealer, channel and inbox together, in one process: connections get to the workers, each to the one with fewest."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from gateway.app.workers.binding import address_of, bind
from gateway.app.workers.channel import Channel
from gateway.app.workers.dealer import Dealer
from gateway.app.workers.inbox import Connection, Inbox
from gateway.web.settings import Address, WebSettings
from gateway.worker.tasks import Tasks

ANY = Address("127.0.0.1", 0)


class Named(asyncio.Protocol):
    """Greets with a name, and echoes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(f"{self._name}\n".encode())

    def data_received(self, data: bytes) -> None:
        """Echo."""
        self._transport.write(data)


@dataclass
class Table:
    """A dealer, and where it listens."""

    dealer: Dealer
    data: Address
    admin: Address


@pytest.fixture
async def table():
    """Give a dealer that listens on both ports."""
    bound = bind(WebSettings(listen=ANY, admin=ANY))
    dealer = Dealer(bound)
    dealer.listen()
    yield Table(dealer, address_of(bound["data"]), address_of(bound["admin"]))
    dealer.close()


@contextlib.asynccontextmanager
async def worker(table: Table, name: str, *, takes: bool = True) -> AsyncIterator[Channel]:
    """Be a worker of this name in this process; with `takes` off, one that is stuck."""

    def failed(error: BaseException) -> None:
        raise error

    channel, tasks = Channel(), Tasks(failed)
    inbox = Inbox(*(os.dup(fd) for fd in channel.inherited), {"data": table.data}, tasks)
    channel.inherit()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tasks.close)
        if takes:
            ports = inbox.ports({port: lambda port=port: Named(f"{name} {port}") for port in ("data", "admin")})
            await stack.enter_async_context(ports)
        table.dealer.add(channel)
        yield channel
        table.dealer.remove(channel)
        if takes:
            await inbox.emptied(5)
    if not takes:
        inbox._socket.close()
    os.close(inbox._telling)
    channel.close()


@contextlib.asynccontextmanager
async def connected(address: Address) -> AsyncIterator[str]:
    """Connect; give who greets."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        name = (await reader.readline()).decode().strip()
        writer.write(b"echo\n")
        assert await reader.readline() == b"echo\n"
        yield name
    finally:
        writer.close()
        await writer.wait_closed()


async def test_each_port_stays_itself(table: Table):
    """A connection to the admin port is served as one."""
    async with worker(table, "a"):
        async with connected(table.data) as who:
            assert who == "a data"
        async with connected(table.admin) as who:
            assert who == "a admin"


async def test_who_is_new_catches_up(table: Table):
    """Connections go to whoever has fewest, until all have as many."""
    async with contextlib.AsyncExitStack() as stack, worker(table, "a") as a:
        for _ in range(6):
            assert await stack.enter_async_context(connected(table.data)) == "a data"
        async with worker(table, "b") as b:
            for _ in range(6):
                assert await stack.enter_async_context(connected(table.data)) == "b data"
            assert (a.open(), b.open()) == (6, 6)
            await stack.aclose()


async def test_ended_connections_are_not_counted(table: Table):
    """Whichever side ends them."""
    async with worker(table, "a") as a:
        for _ in range(5):
            async with connected(table.data):
                assert a.open() <= 2  # The last one's end may be still on its way.
        reader, writer = await asyncio.open_connection(table.data.host, table.data.port)
        await reader.readline()
        writer.transport.abort()
        async with asyncio.timeout(5):
            while a.open():  # noqa: ASYNC110 - the parent is not told, it looks
                await asyncio.sleep(0.01)


async def test_a_stuck_worker_gets_some_dozens_and_no_more(table: Table):
    """The others get the rest, though they have more."""
    async with (
        worker(table, "stuck", takes=False) as stuck,
        worker(table, "b"),
        contextlib.AsyncExitStack() as stack,
    ):
        readers = []
        for _ in range(400):
            reader, writer = await asyncio.open_connection(table.data.host, table.data.port)
            stack.callback(writer.close)
            readers.append(asyncio.ensure_future(reader.readline()))
        async with asyncio.timeout(10):
            while sum(reader.done() for reader in readers) < 400 - stuck.open():  # noqa: ASYNC110 - of many readers
                await asyncio.sleep(0.01)
        assert stuck.open() < 180
        for reader in readers:
            reader.cancel()


async def test_connections_wait_for_a_worker(table: Table):
    """Where there is none, or none with room, they are held and lose nothing."""
    async with asyncio.TaskGroup() as group:

        async def greeted() -> str:
            async with connected(table.data) as who:
                return who

        waiting = [group.create_task(greeted()) for _ in range(40)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        async with worker(table, "late"):
            assert {await task for task in waiting} == {"late data"}


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("who", ["caller", "worker"])
def test_the_end_of_a_connection_is_told(loop: Callable[[], asyncio.AbstractEventLoop], who: str):
    """Once, on any event loop, whoever ends it."""
    ended: list[int] = []

    async def end() -> None:
        here, there = socket.socketpair()
        connection = Connection(fileno=there.detach())
        connection.setblocking(False)
        connection.ended = lambda: ended.append(connection.fileno())
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, connection)
        assert ended == []
        if who == "worker":
            transport.close()
        with here:
            here.shutdown(socket.SHUT_RDWR)
        while not ended:  # noqa: ASYNC110 - what tells of it is what is tested
            await asyncio.sleep(0.001)
        transport.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(end(), 5))
    assert ended == [-1]


async def test_a_dead_worker_gets_nothing(table: Table):
    """Though nobody has said that it is dead: giving fails, and the next one gets the connection."""
    async with worker(table, "alive") as alive:
        async with connected(table.data):
            dead = Channel()
            dead.inherit()
            table.dealer.add(dead)
            async with connected(table.data) as who:
                assert who == "alive data"
        assert dead.gone
        assert not alive.gone
        dead.close()


async def test_what_was_given_before_the_end_is_served(table: Table):
    """A worker that goes takes what is on its way first; from then on it is given nothing."""
    channel, tasks = Channel(), Tasks(lambda error: None)
    inbox = Inbox(*(os.dup(fd) for fd in channel.inherited), {}, tasks)
    channel.inherit()
    here, there = socket.socketpair()
    with here:
        async with inbox.ports({"data": lambda: Named("last")}):
            assert channel.give("data", there)
            there.close()
        here.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(here, 10) == b"last\n"
        with socket.socket() as another:
            assert not channel.give("data", another)
        assert channel.gone
    while channel.open():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)
    await tasks.close()
    os.close(inbox._telling)
    channel.close()


async def test_what_was_given_is_waited_for(table: Table):
    """Though the worker has not come to take it: who says hello to one that goes is answered."""
    async with contextlib.AsyncExitStack() as stack:
        channel, tasks = Channel(), Tasks(lambda error: None)
        inbox = Inbox(*(os.dup(fd) for fd in channel.inherited), {}, tasks)
        channel.inherit()
        stack.callback(channel.close)
        stack.callback(os.close, inbox._telling)
        stack.push_async_callback(tasks.close)
        await stack.enter_async_context(inbox.ports({"data": lambda: Named("last")}))
        here, there = socket.socketpair()
        assert channel.give("data", there)
        there.close()
        emptied = asyncio.get_running_loop().create_task(inbox.emptied(5))
        await asyncio.sleep(0.05)
        assert not emptied.done()
        here.close()
        await emptied
        assert channel.open() == 0


async def test_no_room_in_a_worker(table: Table, monkeypatch: pytest.MonkeyPatch):
    """The connection is lost, and is not counted as open for ever; the next one is served."""
    received, lost = socket.recv_fds, []

    def truncated(*arguments: Any) -> tuple[bytes, list[int], int, Any]:
        named, descriptors, flags, address = received(*arguments)
        if descriptors and not lost:
            lost.append(descriptors)
            os.close(descriptors[0])
            return named, [], flags | socket.MSG_CTRUNC, address
        return named, descriptors, flags, address

    monkeypatch.setattr(socket, "recv_fds", truncated)
    async with worker(table, "a") as channel:
        reader, writer = await asyncio.open_connection(table.data.host, table.data.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert channel.open() == 0
        async with connected(table.data) as who:
            assert who == "a data"
    assert len(lost) == 1


class Refusing(socket.socket):
    """A listening socket that fails to accept the first connection."""

    refused = False
    error = errno.EMFILE

    def accept(self) -> tuple[socket.socket, Any]:
        """Refuse once."""
        if not self.refused:
            self.refused = True
            raise OSError(self.error, "refused")
        return super().accept()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EPROTO, errno.EPERM], ids=errno.errorcode.get)
async def test_what_cannot_be_accepted(monkeypatch: pytest.MonkeyPatch, error: int):
    """Who connects waits until there is room; what befalls one connection is no other's end."""
    monkeypatch.setattr("gateway.app.workers.dealer._REST", 0.01)
    listener = Refusing(socket.AF_INET, socket.SOCK_STREAM)
    listener.error = error
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    table = Table(Dealer({"data": [listener]}), address_of([listener]), ANY)
    table.dealer.listen()
    async with worker(table, "a"), connected(table.data) as who:
        assert who == "a data"
    assert listener.refused
    table.dealer.close()


class TestBinding:
    """Where the parent listens."""

    def test_one_port_for_all_that_a_name_stands_for(self):
        """Any port, and the same for IPv4 and IPv6."""
        bound = bind(WebSettings(listen=Address("localhost", 0), admin=None))
        assert list(bound) == ["data"]
        assert len({each.getsockname()[1] for each in bound["data"]}) == 1
        for each in bound["data"]:
            each.close()

    def test_a_taken_port(self):
        """It is named, and nothing stays bound."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            host, port = taken.getsockname()
            with pytest.raises(OSError, match=f"cannot listen on {host}:{port}"):
                bind(WebSettings(listen=ANY, admin=Address(host, port)))
