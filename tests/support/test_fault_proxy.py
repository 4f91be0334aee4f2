"""Each fault does to a connection what it says, and nothing once it is taken away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.fault_proxy import Fault, FaultProxy


class Echo:
    """A server that counts what arrives and gives every line back."""

    def __init__(self):
        self.arrived = []

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.arrived.append(line)
                writer.write(line)
                await writer.drain()
        writer.close()


@pytest.fixture
async def echo():
    """Give an echo server, a proxy in front of it and an open connection through the proxy."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"first\n")
        assert await reader.readline() == b"first\n"
        yield echo, proxy, reader, writer
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    server.close()


async def asked(proxy, line=b"again\n"):
    """Open a connection, send a line, return the line that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def comes_within(seconds, what):
    """Whether `what` is done within some seconds."""
    return bool((await asyncio.wait({what}, timeout=seconds))[0])


async def test_a_cut_before_the_reply_loses_the_reply_and_not_the_request(echo):
    """The target has the line; the client has a reset."""
    server, proxy, reader, writer = echo
    await proxy.put(Fault.CUT_BEFORE_REPLY)
    writer.write(b"asked\n")
    with pytest.raises(ConnectionResetError):
        await reader.readline()
    assert server.arrived == [b"first\n", b"asked\n"]
    await proxy.put(Fault.PASS)
    assert await asked(proxy) == b"again\n"


async def test_a_cut_in_the_reply_gives_half_of_it(echo):
    """Half the bytes and an end."""
    _, proxy, reader, writer = echo
    await proxy.put(Fault.CUT_MID_REPLY)
    writer.write(b"123456\n")
    assert await reader.read() == b"123"


async def test_a_black_hole_takes_all_and_gives_nothing(echo):
    """Old and new connections hang; what has lost bytes is reset afterwards, and new ones pass."""
    server, proxy, reader, writer = echo
    await proxy.put(Fault.BLACK_HOLE)
    writer.write(b"lost\n")
    old = asyncio.get_running_loop().create_task(reader.readline())
    new = asyncio.get_running_loop().create_task(asked(proxy))
    assert not await comes_within(0.1, old)
    assert not await comes_within(0.1, new)
    await proxy.put(Fault.PASS)
    with pytest.raises(ConnectionResetError):
        await old
    with contextlib.suppress(ConnectionResetError):
        assert await new == b""
    assert server.arrived == [b"first\n"]
    assert await asked(proxy) == b"again\n"


async def test_a_stall_holds_bytes_back_and_lets_them_go(echo):
    """Nothing arrives while it lasts; all of it does afterwards, on the same connection."""
    server, proxy, reader, writer = echo
    await proxy.put(Fault.STALL)
    writer.write(b"late\n")
    line = asyncio.get_running_loop().create_task(reader.readline())
    assert not await comes_within(0.1, line)
    assert server.arrived == [b"first\n"]
    await proxy.put(Fault.PASS)
    assert await line == b"late\n"


async def test_a_partition_resets_and_refuses_until_it_heals(echo):
    """And the port is the same afterwards."""
    _, proxy, reader, _ = echo
    await proxy.put(Fault.PARTITION)
    with pytest.raises(ConnectionResetError):
        await reader.readline()
    with pytest.raises(ConnectionRefusedError):
        await asked(proxy)
    await proxy.put(Fault.PASS)
    assert await asked(proxy) == b"again\n"


async def test_a_reset_is_of_what_is_open_alone(echo):
    """The next connection passes."""
    _, proxy, reader, _ = echo
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readline()
    assert await asked(proxy) == b"again\n"


async def test_latency_delays_both_ways(echo):
    """There and back is twice as long."""
    _, proxy, _, _ = echo
    await proxy.put(Fault.LATENCY, latency=0.1)
    began = asyncio.get_running_loop().time()
    assert await asked(proxy) == b"again\n"
    assert asyncio.get_running_loop().time() - began >= 0.19


async def test_an_absent_target_is_an_end(echo):
    """A connection that cannot be made onward is closed."""
    async with FaultProxy(1) as proxy:
        with contextlib.suppress(ConnectionResetError):
            assert await asked(proxy) == b""
