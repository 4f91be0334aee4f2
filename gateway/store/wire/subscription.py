"""A connection that only listens. What is published is kept until it is asked for, up to a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from gateway.store.port import StoreDown
from gateway.store.wire.client import Argument, pack
from gateway.store.wire.connection import INCOMPLETE, Connection
from gateway.store.wire.errors import Lost

MOST_UNHEARD: Final = 10_000
"""Messages at most that nobody has asked for; then the connection ends, which says that messages were lost."""


class Listening(Protocol):
    """What is heard of some channels."""

    async def next(self) -> list[Any]:
        """Return the next word: `[b"subscribe", channel, count]` once for each channel, `[b"message", channel, data]`.

        Raises `StoreDown` when it ends, or is dead.
        """
        ...

    async def close(self) -> None:
        """Listen no more."""
        ...


class Subscription(Connection):
    """See `Listening`. After a silence of `timeout` seconds it asks whether anybody is still there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(loop, timeout)
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._listens = False

    def subscribe(self, channels: Sequence[str]) -> None:
        """Listen from now on; nothing else is sent on this connection any more."""
        self._listens = True
        self._say("SUBSCRIBE", *channels)

    async def next(self) -> list[Any]:
        """See `Listening`."""
        heard = await self._within()
        if heard is None:
            # Without an answer to this, a server that vanished would look like one with nothing to say, for hours.
            self._say("PING")
            heard = await self._within()
        if heard is None:
            raise Lost("the subscription is dead")
        if isinstance(heard, StoreDown):
            raise heard
        assert isinstance(heard, list)
        return heard

    async def close(self) -> None:
        """See `Listening`."""
        self.fail("nobody listens any more")
        await self.ended()

    def retire(self) -> None:
        """End at once: what is published elsewhere from now on would never be heard here."""
        self.fail("the server was left")

    def fail(self, reason: str) -> None:
        """End; whoever listens is told, after all that was heard before."""
        super().fail(reason)
        self._heard.put_nowait(Lost(reason))

    async def _within(self) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._heard.get()
        except TimeoutError:
            return None

    def _say(self, *command: Argument) -> None:
        try:
            if self._transport is not None:
                self._transport.write(pack(command))
        except RuntimeError as error:  # uvloop: cut just before, and not yet told
            self.fail(f"the connection was closed: {error}")

    def _hand_out(self) -> None:
        if not self._listens:
            super()._hand_out()
            return
        while (reply := self._reader.gets()) is not INCOMPLETE:
            self._heard.put_nowait(reply)
        if self._heard.qsize() > MOST_UNHEARD:
            self.fail("more was published than was listened to")
