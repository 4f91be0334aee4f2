"""Noticing that this process was paused: by a signal, a debugger, a frozen virtual machine.

What it has in hand when it wakes up may be old: an answer that waited in a socket's buffer while another replica took
the job over and read a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_LOOKS = 4
"""How often it is looked within the longest harmless pause: it cannot take one for two shorter ones."""


class Pauses:
    """Remembers a pause of more than `longest` seconds until told that it did no harm. `elapsed` goes on meanwhile."""

    def __init__(self, longest: float, elapsed: Callable[[], float]) -> None:
        self._longest = longest
        self._elapsed = elapsed
        self._seen = elapsed()
        self._long = False

    @property
    def long(self) -> bool:
        """Whether there was one, this very moment included, and nothing is known of what happened meanwhile."""
        now = self._elapsed()
        self._long = self._long or now - self._seen > self._longest
        self._seen = now
        return self._long

    def forget(self) -> None:
        """Take note that nothing happened meanwhile, or that it is known."""
        self._long, self._seen = False, self._elapsed()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._longest / _LOOKS)
            _ = self.long
