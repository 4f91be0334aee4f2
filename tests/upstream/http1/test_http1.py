import asyncio
import contextlib
import ssl

import pytest
from raw_origin import FIN, HOLD, OK, RST, RawOrigin

from gateway.core.exchange import Answer, Failure, Framing, Reason, Request
from gateway.upstream.http1_connection import Connection

METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD"]
KILLS = {
    "fin": [FIN],
    "rst": [RST],
    "half": [b"HTTP/1.1 200 OK\r\nContent-Le", FIN],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\n", FIN],
}


def get(origin, path="/x", method="GET", **fields):
    """Make a request to `origin`."""
    return Request(method, origin.url + path, **fields)


def failed(result):
    """Return a failure's reason and whether anything was sent."""
    assert isinstance(result, Failure), result
    return result.reason, result.sent


async def until(condition):
    """Let the loop turn until `condition()` holds; the test's own time-out ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - the client's inner state has no event to wait for
        await asyncio.sleep(0)


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
@pytest.mark.parametrize("method", METHODS)
async def test_a_request_that_killed_its_fresh_connection_is_not_sent_again(make_client, method, kill):
    """One call, one request on the wire, whatever the verb, and a failure that says it was sent."""
    async with RawOrigin(kill) as origin:
        result = await make_client().exchange(get(origin, method=method, body=b"{}"), timeout=5)
        assert failed(result) == (Reason.RESET, True)
        assert (len(origin.requests), origin.connections) == (1, 1)


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
@pytest.mark.parametrize("method", METHODS)
async def test_a_request_that_killed_its_reused_connection_is_not_sent_again(make_client, method, kill):
    """A pooled connection that dies under a request is no excuse for a second one."""
    client = make_client()
    async with RawOrigin([OK], kill) as origin:
        assert (await client.exchange(get(origin), timeout=5)).status == 200
        result = await client.exchange(get(origin, method=method, body=b"{}"), timeout=5)
        assert failed(result) == (Reason.RESET, True)
        assert (len(origin.requests), origin.connections) == (2, 1)


@pytest.mark.parametrize("end", [FIN, RST])
async def test_a_connection_closed_while_idle_is_not_used(make_client, end):
    """The origin closes right behind its answer: the next request goes out once, on a new connection."""
    client = make_client()
    async with RawOrigin([OK, end], [OK]) as origin:
        assert (await client.exchange(get(origin), timeout=5)).status == 200
        (pool,) = client._pools.values()
        await until(lambda: not pool._open)
        assert (await client.exchange(get(origin), timeout=5)).status == 200
        assert (len(origin.requests), origin.connections) == (2, 2)


async def test_connections_are_reused(make_client):
    """One at a time needs one connection; the request arrives as written, path and query untouched."""
    client = make_client()
    async with RawOrigin() as origin:
        request = Request("POST", origin.url + "/a/../b%2f?q=%7e", (("X", "1"),), b'{"n":1}')
        for _ in range(5):
            assert await client.exchange(request, timeout=5) == Answer(200, (("Content-Length", "2"),), b"{}")
        assert origin.connections == 1
        expected = f"POST /a/../b%2f?q=%7e HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\nX: 1\r\nContent-Length: 7\r\n"
        assert origin.requests == [expected.encode() + b'\r\n{"n":1}'] * 5


async def test_a_large_request_and_answer_pass(make_client):
    """Bodies far over a socket's buffers arrive whole in both directions."""
    large = bytes(range(256)) * 4096 * 3
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large) + large
    async with RawOrigin([answer]) as origin:
        result = await make_client().exchange(get(origin, method="POST", body=large), timeout=20)
        assert result.body == large
        assert origin.requests[0].endswith(large)


async def test_max_idle_refuses_an_older_connection(make_client):
    """A start may ask for a fresh connection; a read afterwards takes whichever idled last."""
    client = make_client(connections_per_origin=1)
    async with RawOrigin() as origin:
        await client.exchange(get(origin), timeout=5)
        await client.exchange(get(origin), timeout=5, max_idle=60)
        assert origin.connections == 1
        await asyncio.sleep(0.02)  # the subject is time that passes
        await client.exchange(get(origin), timeout=5, max_idle=0.01)
        assert origin.connections == 2


async def test_an_idle_connection_is_closed_in_time(make_client):
    """No connection outlives `keep_alive` in the pool: the origin sees it close without another request."""
    client = make_client(keep_alive=0.02)
    async with RawOrigin([OK, HOLD]) as origin:
        await client.exchange(get(origin), timeout=5)
        await asyncio.wait_for(origin.left.wait(), 5)
        assert len(origin.requests) == 1


async def test_the_limit_holds_and_waiters_are_served_in_order(make_client):
    """With two connections, ten exchanges run two at a time, first come first served."""
    gate = asyncio.Event()
    client = make_client(connections_per_origin=2)
    async with RawOrigin([gate, OK]) as origin, asyncio.TaskGroup() as group:
        for n in range(10):
            group.create_task(client.exchange(get(origin, f"/{n}"), timeout=5))
            await asyncio.sleep(0)
        for _ in range(2):
            await origin.arrived.get()
        assert len(origin.requests) == 2
        gate.set()
        while len(origin.requests) < 10:
            await origin.arrived.get()
        assert origin.connections == 2
        order = [int(request.split(b" ")[1][1:]) for request in origin.requests]
        # Two connections run side by side: neighbours may swap, nobody is passed by a later pair.
        assert [n // 2 for n in order] == [n // 2 for n in range(10)]


async def test_waiting_for_a_connection_may_time_out(make_client):
    """Nothing was sent, and the place in the queue is given up."""
    client = make_client(connections_per_origin=1)
    gate = asyncio.Event()
    async with RawOrigin([gate, OK]) as origin, asyncio.TaskGroup() as group:
        first = group.create_task(client.exchange(get(origin), timeout=5))
        await origin.arrived.get()
        assert failed(await client.exchange(get(origin), timeout=0.02)) == (Reason.TIMEOUT, False)
        gate.set()
        assert (await first).status == 200
        assert (await client.exchange(get(origin), timeout=5)).status == 200
        assert (len(origin.requests), origin.connections) == (2, 1)


@pytest.mark.parametrize("script", [[HOLD], [OK[:-1], HOLD], [b"HTTP/1.1 200 OK\r\n\r\n{", HOLD]])
async def test_a_time_out_aborts_the_connection(make_client, script):
    """No answer, half an answer, or an answer without an end: the origin sees the connection go."""
    client = make_client(connections_per_origin=1)
    async with RawOrigin(script, [OK]) as origin:
        assert failed(await client.exchange(get(origin), timeout=0.05)) == (Reason.TIMEOUT, True)
        await asyncio.wait_for(origin.left.wait(), 5)
        assert (await client.exchange(get(origin), timeout=5)).status == 200


async def test_cancelling_an_exchange_aborts_it_and_frees_its_place(make_client):
    """Cancelled while waiting for the answer, and while waiting for a connection: both places are free again."""
    client = make_client(connections_per_origin=1)
    async with RawOrigin([HOLD], [OK]) as origin:
        tasks = [asyncio.ensure_future(client.exchange(get(origin), timeout=5)) for _ in range(3)]
        await origin.arrived.get()
        for task in (tasks[1], tasks[0]):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()
        await asyncio.wait_for(origin.left.wait(), 5)
        assert (await tasks[2]).status == 200
        assert (len(origin.requests), origin.connections) == (2, 2)


async def test_a_refused_connection_sent_nothing(make_client, unused_tcp_port):
    """Nobody listens."""
    result = await make_client().exchange(Request("POST", f"http://127.0.0.1:{unused_tcp_port}/"), timeout=5)
    assert failed(result) == (Reason.CONNECT, False)


async def test_a_connection_that_was_never_made_leaves_no_lease_behind(make_client, unused_tcp_port):
    """Refused, or cancelled in the handshake: with a limit of one, the next exchange is served."""
    client = make_client(connections_per_origin=1)
    refused = Request("GET", f"http://127.0.0.1:{unused_tcp_port}/")
    for _ in range(3):
        assert failed(await client.exchange(refused, timeout=5)) == (Reason.CONNECT, False)
    async with RawOrigin() as silent:
        request = Request("GET", f"https://127.0.0.1:{silent.port}/")
        for n in range(1, 4):
            task = asyncio.ensure_future(client.exchange(request, timeout=5))
            await until(lambda n=n: silent.connections == n)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
    assert [pool._used for pool in client._pools.values()] == [0, 0]


@pytest.mark.parametrize("end", ["the caller gives up", "the client is closed"])
async def test_a_dial_that_ends_as_its_connection_is_made(make_client, monkeypatch, end):
    """Leaves nothing behind that the closing of the client would wait for: not every loop tells of such an end."""
    client = make_client()
    ending = []
    made = Connection.connection_made

    def made_too_late(connection, transport):
        made(connection, transport)
        if end == "the caller gives up":
            task.cancel()
        else:
            ending.append(asyncio.ensure_future(client.close()))

    monkeypatch.setattr(Connection, "connection_made", made_too_late)
    async with RawOrigin() as origin, asyncio.timeout(10):
        task = asyncio.ensure_future(client.exchange(get(origin), timeout=60))
        await asyncio.wait([task])
        if end == "the caller gives up":
            assert task.cancelled()
            await client.close()
        else:
            assert failed(task.result()) == (Reason.CONNECT, False)
            await ending[0]
    assert [pool._used for pool in client._pools.values()] == [0]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".test", "a..b"])
async def test_an_unknown_host_sent_nothing(make_client, host):
    """The resolver, or the IDNA codec in front of it, refuses the name."""
    assert failed(await make_client().exchange(Request("POST", f"http://{host}/"), timeout=5)) == (Reason.DNS, False)


@pytest.mark.parametrize(("connecting", "overall", "reason"), [(0.05, 5, Reason.CONNECT), (5, 0.05, Reason.TIMEOUT)])
async def test_a_stalled_handshake_sent_nothing(make_client, connecting, overall, reason):
    """The origin accepts and never says hello; whichever limit is shorter gives the reason."""
    async with RawOrigin() as origin:
        request = Request("POST", f"https://127.0.0.1:{origin.port}/")
        result = await make_client(connect_timeout=connecting).exchange(request, timeout=overall)
        assert failed(result) == (reason, False)


async def test_an_unfit_request_touches_no_connection(make_client):
    """Refused before the pool is asked."""
    async with RawOrigin() as origin:
        result = await make_client().exchange(get(origin, "/a b"), timeout=5)
        assert failed(result) == (Reason.MALFORMED, False)
        assert origin.connections == 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([b"\x15\x03\x01\x00\x02\x02P", FIN], Reason.MALFORMED),
        ([b"HTTP/1.1 303 See Other\r\nLocation: /x\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"], Reason.MALFORMED),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\nContent-Length: 0\r\n\r\n"], Reason.TOO_LARGE),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 17000000\r\n\r\n"], Reason.TOO_LARGE),
        ([OK[:-1], FIN], Reason.TRUNCATED),
        ([OK[:-1], RST], Reason.TRUNCATED),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", FIN], Reason.TRUNCATED),
        ([b"HTTP/1.1 200 OK\r\n\r\n{", RST], Reason.TRUNCATED),
    ],
)
async def test_a_faulty_answer_is_a_failure_and_the_next_exchange_is_whole(make_client, script, reason):
    """The fault is named, its connection is gone, and nothing of it leaks into the next answer."""
    client = make_client(connections_per_origin=1)
    async with RawOrigin(script, [OK]) as origin:
        assert failed(await client.exchange(get(origin), timeout=5)) == (reason, True)
        assert (await client.exchange(get(origin), timeout=5)).body == b"{}"
        assert (len(origin.requests), origin.connections) == (2, 2)


async def test_bytes_behind_an_answer_reach_nobody(make_client):
    """A second answer nobody asked for is dropped with its connection."""
    client = make_client()
    async with RawOrigin([OK + OK.replace(b"{}", b"!!")], [OK]) as origin:
        for _ in range(3):
            assert (await client.exchange(get(origin), timeout=5)).body == b"{}"
        assert origin.connections == 2


async def test_many_interim_answers_are_skipped(make_client):
    """Two hundred early hints are eight kilobytes: allowed."""
    async with RawOrigin([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 200 + OK]) as origin:
        assert (await make_client().exchange(get(origin), timeout=5)).body == b"{}"


async def test_a_close_delimited_answer_is_marked(make_client):
    """Only the outcome rules may decide whether it is whole."""
    async with RawOrigin([b"HTTP/1.1 200 OK\r\n\r\n{", FIN]) as origin:
        result = await make_client().exchange(get(origin), timeout=5)
        assert (result.body, result.framing) == (b"{", Framing.CLOSE)


async def test_an_early_answer_is_taken_and_its_connection_left(make_client):
    """The origin answers at the head of a body it never reads."""
    async with RawOrigin() as origin:

        async def refuse(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await origin.left.wait()
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = make_client()
        result = await client.exchange(Request("POST", f"http://127.0.0.1:{port}/", (), b"x" * 15_000_000), timeout=5)
        assert result.status == 413
        assert not any(pool._idle for pool in client._pools.values())
        origin.left.set()
        await client.close()
        server.close()


async def test_tls_is_verified_and_reused(make_client, certificate):
    """The named authority is trusted, the connection is kept, and the URL's host must match the certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    client = make_client(ca_file=str(certificate))
    async with RawOrigin(tls=context) as origin:
        for _ in range(3):
            assert (await client.exchange(get(origin, method="POST", body=b"{}"), timeout=5)).body == b"{}"
        assert origin.connections == 1
        wrong = Request("GET", f"https://localhost:{origin.port}/")
        assert failed(await client.exchange(wrong, timeout=5)) == (Reason.TLS, False)
        assert failed(await make_client().exchange(get(origin), timeout=5)) == (Reason.TLS, False)
        assert len(origin.requests) == 3


@pytest.mark.parametrize("kill", [[FIN], [RST]])
async def test_a_tls_connection_that_dies_is_not_replaced(make_client, certificate, kill):
    """The rule holds above TLS as well."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    client = make_client(ca_file=str(certificate))
    async with RawOrigin([OK], kill, tls=context) as origin:
        await client.exchange(get(origin), timeout=5)
        assert failed(await client.exchange(get(origin, method="PUT"), timeout=5)) == (Reason.RESET, True)
        assert len(origin.requests) == 2


async def test_close_ends_what_is_under_way(make_client):
    """Waiting for an answer, for a handshake and for a connection: three failures, at once, and nothing afterwards."""
    client = make_client(connections_per_origin=1)
    async with RawOrigin([HOLD]) as origin:
        sent = asyncio.ensure_future(client.exchange(get(origin), timeout=60))
        await origin.arrived.get()
        waiting = asyncio.ensure_future(client.exchange(get(origin), timeout=60))
        silent = Request("GET", f"https://127.0.0.1:{origin.port}/")
        shaking = asyncio.ensure_future(client.exchange(silent, timeout=60))
        await until(lambda: len(client._pending) == 2)
        await client.close()
        assert not any(pool._open for pool in client._pools.values())
        async with asyncio.timeout(2):
            assert failed(await sent) == (Reason.RESET, True)
            assert failed(await waiting) == (Reason.CONNECT, False)
            assert failed(await shaking) == (Reason.CONNECT, False)
            await origin.left.wait()
        assert failed(await client.exchange(get(origin), timeout=5)) == (Reason.CONNECT, False)
        assert len(origin.requests) == 1
