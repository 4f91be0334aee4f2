"""One connection to a server, shared by all who have something to ask it.

A command waits in `_unsent` until the turn of the event loop ends, and then leaves with all others of that turn in one
write. Replies come in the order of the commands, so the first future of `_awaited` is the next reply's. Whoever gives
up waiting cancels a future and nothing else: its reply is read and dropped.

Nothing is ever waited for by itself. One timer watches the oldest write; when the reply to it is late, or is no reply,
the place of every later one is unknown as well, and the connection ends as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

import hiredis

from gateway.store.port import StoreDown
from gateway.store.wire.errors import Lost, refusal

MOST_COMMANDS: Final = 65_536
"""Commands at most whose replies are awaited, sent or not; one more is refused, since memory has an end."""
MOST_UNSENT: Final = 64 << 20
"""Bytes at most that wait until the server reads on."""
INCOMPLETE: Final = object()
"""What the reader has when a reply has begun and not ended."""


class Connection(asyncio.Protocol):
    """The protocol of one connection. `timeout`: seconds after which a reply is late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._reader = hiredis.Reader(replyError=refusal, notEnoughData=INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._paused = False
        self._sent = 0
        self._answered = 0
        self._writes: deque[tuple[float, int]] = deque()
        """When the reply to a write is late, and how many commands had been sent with it."""
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = loop.create_future()
        self.usable = False
        """Whether it takes new commands."""

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Send a command; return a future of its answer, which is a `StoreDown` if it is an error.

        Raises `Lost` where it takes none any more: it may have ended between being made and being used, and nobody
        would be left to say so. Raises `StoreDown` where too much is waiting already.
        """
        if not self.usable:
            raise Lost("the connection was closed", perhaps=False)
        self._check_room(1)
        return self._put(packed)

    def send_each(self, packed: Sequence[bytes]) -> list[asyncio.Future[Any]]:
        """Send commands one after the other, or none of them. Raises as for one."""
        if not self.usable:
            raise Lost("the connection was closed", perhaps=False)
        self._check_room(len(packed))
        return [self._put(command) for command in packed]

    def _check_room(self, commands: int) -> None:
        if len(self._awaited) + commands > MOST_COMMANDS or self._unsent_bytes >= MOST_UNSENT:
            raise StoreDown("too many commands wait for the store's server", perhaps=False)

    def _put(self, packed: bytes) -> asyncio.Future[Any]:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._unsent_bytes += len(packed)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._awaited.append(future)
        return future

    def retire(self) -> None:
        """Take no new commands, and end once all that were sent are answered."""
        self.usable = False
        if not self._awaited:
            self.fail("the connection was left")

    def fail(self, reason: str) -> None:
        """End the connection; what was sent and not answered may have been carried out, the rest was not."""
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        awaited, self._awaited = self._awaited, deque()
        sent, self._answered = self._sent - self._answered, self._sent
        self._unsent.clear()
        self._unsent_bytes = 0
        self._writes.clear()
        for place, future in enumerate(awaited):
            if not future.done():
                future.set_result(Lost(reason, perhaps=place < sent))
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_over(self) -> bool:
        """Whether there is no socket: not yet, or not any more."""
        return self._transport is None

    async def ended(self) -> None:
        """Return when there is no socket any more."""
        if self._transport is not None:
            await asyncio.shield(self._ended)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End, by the server's doing or ours."""
        self.fail("the connection was closed" + (f": {exc}" if exc else ""))
        self._transport = None
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        """Keep what comes: the server does not read as fast as we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was kept."""
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are complete."""
        try:
            self._reader.feed(data)
            self._hand_out()
        except (hiredis.ProtocolError, UnicodeDecodeError) as error:
            self.fail(f"the server's answer is no RESP: {error}")
        while self._writes and self._writes[0][1] <= self._answered:
            self._writes.popleft()
        if not self.usable:
            self.retire()

    def _hand_out(self) -> None:
        gets = self._reader.gets
        while (reply := gets()) is not INCOMPLETE:
            if self._answered == self._sent:
                self.fail(f"the server answered what was not asked: {reply!r:.100}")
                return
            self._answered += 1
            future = self._awaited.popleft()
            if not future.done():
                future.set_result(reply)
            if type(reply) is Lost:
                self.usable = False

    def _flush(self) -> None:
        if self._paused or not self._unsent or self._transport is None:
            return
        try:
            self._transport.write(b"".join(self._unsent))
        except RuntimeError as error:  # uvloop: cut just before, and not yet told (`connection_lost` comes)
            self.fail(f"the connection was closed: {error}")
            return
        self._sent += len(self._unsent)
        self._unsent.clear()
        self._unsent_bytes = 0
        late = self._loop.time() + self._timeout
        self._writes.append((late, self._sent))
        if self._timer is None:
            self._timer = self._loop.call_at(late, self._look)

    def _look(self) -> None:
        """Look at the oldest write whose replies are not all here."""
        self._timer = None
        if not self._writes:
            return
        late, _ = self._writes[0]
        if late <= self._loop.time():
            self.fail(f"no answer within {self._timeout:g} s")
        else:
            self._timer = self._loop.call_at(late, self._look)
