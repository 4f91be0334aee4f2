"""How long connections are waited for: one timer looks through them all, instead of one each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.web.connection import Connection

_LOOKS = 8
"""Looks within the time that connections are waited for: so it is at most an eighth longer."""


class Patience:
    """The connections that are waited for, for `seconds` each; then `give_up` is called with them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, give_up: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._give_up = give_up
        self._since: dict[Connection, float] = {}
        """The longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, connection: Connection) -> None:
        """Wait for a connection, from now unless it is waited for already."""
        self._since.setdefault(connection, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)

    def end(self, connection: Connection) -> bool:
        """Wait for it no longer; return whether it was waited for."""
        return self._since.pop(connection, None) is not None

    def close(self) -> None:
        """Give nobody up any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        oldest = self._loop.time() - self._seconds
        for connection, since in [*self._since.items()]:
            if since > oldest:
                break
            del self._since[connection]
            self._give_up(connection)
        if self._since:
            self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)
