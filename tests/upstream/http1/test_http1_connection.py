import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.exchange import Answer, Failure, Framing, Reason
from gateway.upstream.http1_connection import Connection


class Transport(asyncio.Transport):
    """Records what the connection does to it."""

    def __init__(self, sock):
        super().__init__({"socket": sock})
        self.writes, self.aborted, self.unwritten = [], False, 0

    def write(self, data):
        self.writes.append(data)

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted

    def get_write_buffer_size(self):
        return self.unwritten


class Wire:
    """One connection without a network: pieces of an answer in, what came of them out."""

    def __init__(self, *, max_head=1000, max_body=1000):
        self.loop = asyncio.get_running_loop()
        self.near, self.far = socket.socketpair()
        self.transport = Transport(self.near)
        self.lost = []
        self.connection = Connection(self.loop, self.lost.append, max_head=max_head, max_body=max_body)
        self.connection.connection_made(self.transport)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.connection.connection_lost(None)
        assert self.connection in self.lost
        self.near.close()
        self.far.close()

    async def answer(self, *pieces, end=False, method="GET", body=b""):
        """Play `pieces` into one exchange, then `end`: False nothing, None EOF, or the transport's error."""
        deadline = self.loop.time() + 5
        exchange = self.connection.exchange(b"HEAD", body, head_only=method == "HEAD", deadline=deadline)
        task = self.loop.create_task(exchange)
        await asyncio.sleep(0)
        for piece in pieces:
            if not self.transport.aborted:
                self.connection.data_received(piece)
        if end is None:
            self.connection.eof_received()
        elif end:
            self.connection.connection_lost(end)
        return await task


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"
VALID = [
    (
        INTERIM + b"HTTP/1.1 200 OK\r\nX: 1\r\nx:  \xe9 \t\r\nEmpty:\r\nContent-Length: 5\r\n\r\nab\r\nc",
        Answer(200, (("X", "1"), ("x", "\xe9"), ("Empty", ""), ("Content-Length", "5")), b"ab\r\nc"),
    ),
    (
        CHUNKED + b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        Answer(200, (("Transfer-Encoding", "chunked"),), b"abcde", Framing.CHUNKED),
    ),
    (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, (), b"")),
    (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        Answer(304, (("Content-Length", "9"),), b""),
    ),
    (b"HTTP/1.1 303\r\nContent-Length: 0\r\n\r\n", Answer(303, (("Content-Length", "0"),), b"")),
]


@settings(deadline=None)  # the machine may be busy
@given(data=st.data(), case=st.sampled_from(VALID))
async def test_the_same_answer_however_it_is_cut(data, case):
    """An answer is the same in any segmentation, and leaves the connection usable."""
    wire_bytes, expected = case
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire_bytes) - 1), max_size=len(wire_bytes))))
    pieces = [wire_bytes[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire_bytes)], strict=True)]
    async with Wire() as wire:
        assert await wire.answer(*pieces) == expected
        assert wire.connection.usable
        assert await wire.answer(wire_bytes) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n",
        b"RTSP/1.0 200 OK\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 X\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        HEAD + b"A: b\r\n c\r\n\r\n",
        HEAD + b"A: b\rC: d\r\n\r\n",
        HEAD + b"A: \0\r\n\r\n",
        HEAD + b"A : b\r\n\r\n",
        HEAD + b"A\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"3\nabc\n0\n\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 105 X\r\nContent-Length: 3\r\n\r\nabc" + HEAD + b"\r\n",
    ],
)
async def test_what_is_not_plain_http_is_malformed(answer):
    """Nothing that two readers could understand differently is passed on, and its connection is closed."""
    async with Wire() as wire:
        result = await wire.answer(answer)
        assert isinstance(result, Failure)
        assert (result.reason, result.sent) == (Reason.MALFORMED, True)
        assert wire.transport.aborted
        assert not wire.connection.usable


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"A: " + b"a" * 1000 + b"\r\n\r\n"],
        [HEAD + b"A: ", *[b"a" * 100] * 11],
        [b"HTTP/1.1 200 " + b"x" * 600, b"x" * 600],
        [b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n"] * 40,
        [HEAD + b"Content-Length: 1001\r\n\r\n"],
        [CHUNKED, *[b"100\r\n" + b"a" * 256 + b"\r\n"] * 4],
        [HEAD + b"\r\n", *[b"a" * 300] * 4],
        [CHUNKED + b"1;", *[b"a" * 100] * 11],
        [CHUNKED + b"0\r\nA: ", *[b"a" * 100] * 11],
    ],
    ids=["field", "slow-field", "status-line", "1xx", "declared", "chunks", "close", "extension", "trailer"],
)
async def test_head_body_and_framing_are_bounded(pieces):
    """Heads, bodies, interim answers, chunk extensions and trailers all have an end."""
    async with Wire() as wire:
        result = await wire.answer(*pieces)
        assert isinstance(result, Failure)
        assert (result.reason, result.sent, wire.transport.aborted) == (Reason.TOO_LARGE, True, True)


@pytest.mark.parametrize(
    ("pieces", "end", "reason"),
    [
        ([], None, Reason.RESET),
        ([], ConnectionResetError(), Reason.RESET),
        ([b"HTTP/1.1 20"], None, Reason.RESET),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], None, Reason.RESET),
        ([HEAD + b"Content-Length: 3\r\n\r\nab"], None, Reason.TRUNCATED),
        ([CHUNKED + b"3\r\nabc\r\n"], None, Reason.TRUNCATED),
        ([CHUNKED + b"3\r\nabc\r\n0\r\n"], None, Reason.TRUNCATED),
        ([HEAD + b"\r\nab"], ConnectionResetError(), Reason.TRUNCATED),
    ],
)
async def test_an_early_end_says_how_far_the_answer_came(pieces, end, reason):
    """Before the head is complete it is a reset, after that a truncation; both count as sent."""
    async with Wire() as wire:
        result = await wire.answer(*pieces, end=end)
        assert isinstance(result, Failure)
        assert (result.reason, result.sent, wire.connection.usable) == (reason, True, False)


async def test_a_close_delimited_answer_says_so():
    """A clean end completes it, and the framing warns the reader."""
    async with Wire() as wire:
        expected = Answer(200, (("A", "b"),), b"abcd", Framing.CLOSE)
        assert await wire.answer(HEAD + b"A: b\r\n\r\nab", b"cd", end=None) == expected
        assert not wire.connection.usable


async def test_an_abort_of_ours_completes_no_answer():
    """Closing the client inside a close-delimited body is not the peer's end of it."""
    async with Wire() as wire:
        task = wire.loop.create_task(wire.answer(HEAD + b"\r\nab"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.connection.abort()
        wire.connection.connection_lost(None)
        assert (await task).reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 2\r\n\r\n{}" + HEAD + b"Content-Length: 4\r\n\r\nEVIL",
        HEAD + b"Content-Length: 2\r\n\r\n{}x",
        HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}x",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_may_count_and_its_connection_not(answer):
    """Bytes behind the end, or `close`: the answer stands, the connection carries nothing more."""
    async with Wire() as wire:
        assert (await wire.answer(answer)).body == b"{}"
        assert (wire.connection.usable, wire.transport.aborted) == (False, True)


async def test_a_head_answer_has_no_body():
    """Content-Length in an answer to HEAD is a statement about GET."""
    async with Wire() as wire:
        result = await wire.answer(HEAD + b"Content-Length: 5000\r\n\r\n", method="HEAD")
        assert result == Answer(200, (("Content-Length", "5000"),), b"")


async def test_an_answer_before_the_request_was_written_is_accepted_once():
    """The rest of the request may never be read: the connection is not used again."""
    async with Wire() as wire:
        wire.transport.unwritten = 1
        assert (await wire.answer(HEAD + b"Content-Length: 0\r\n\r\n")).status == 200
        assert wire.transport.aborted


async def test_a_small_request_is_one_write_and_a_large_body_is_not_copied():
    """One segment where it fits, the caller's own bytes where it would not."""
    ok, large = HEAD + b"Content-Length: 0\r\n\r\n", b"x" * 70_000
    async with Wire() as wire:
        await wire.answer(ok, body=b"{}")
        await wire.answer(ok, body=large)
        assert wire.transport.writes[:2] == [b"HEAD{}", b"HEAD"]
        assert wire.transport.writes[2] is large


@pytest.mark.parametrize("event", ["bytes", "eof", "unread"])
async def test_an_idle_connection_that_hears_anything_is_done(event):
    """Bytes, an end, or bytes still in the socket: nothing is written on it any more."""
    async with Wire() as wire:
        assert wire.connection.is_quiet()
        if event == "bytes":
            wire.connection.data_received(b"HTTP/1.1 408 Timeout\r\n\r\n")
        elif event == "eof":
            wire.connection.eof_received()
        else:
            wire.far.send(b"x")
        assert not wire.connection.is_quiet()
        if event != "unread":
            result = await wire.answer()
            assert (result.reason, result.sent, wire.transport.writes) == (Reason.RESET, False, [])


@pytest.mark.parametrize(
    ("first", "second"), [(5.0, 0.1), (0.1, 0.2)], ids=["the next one is shorter", "the next one is longer"]
)
async def test_each_exchange_ends_by_its_own_deadline(first: float, second: float):
    """Though the timer of the one before is still there."""
    async with Wire() as wire:
        loop, connection = wire.loop, wire.connection
        task = loop.create_task(connection.exchange(b"HEAD", b"", head_only=False, deadline=loop.time() + first))
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await task).status == 200
        deadline = loop.time() + second
        result = await connection.exchange(b"HEAD", b"", head_only=False, deadline=deadline)
        assert (result.reason, result.sent) == (Reason.TIMEOUT, True)
        # uvloop's clock counts milliseconds, so a sum of its times is exact to less than one of them.
        assert deadline - 0.001 < loop.time() < deadline + 2


async def test_a_timer_that_nobody_waits_for():
    """Does nothing to an idle connection, which carries the next exchange."""
    async with Wire() as wire:
        assert (await wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).status == 200
        wire.connection._time_out()
        assert not wire.transport.aborted
        assert (await wire.answer(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")).status == 201
