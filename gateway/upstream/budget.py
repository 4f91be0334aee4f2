"""A budget of calls to an endpoint that the upstream rations: who comes too late is told when, and does not queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

WINDOW = 60.0
"""Seconds that a budget counts over: Orchestrator rations lists by the minute."""


class Budget:
    """At most `calls` in any minute, by all who share it: `sharers` says how many these are, oneself included.

    Each has an equal part, and one call at least.
    """

    def __init__(self, calls: int, sharers: Callable[[], int] = lambda: 1) -> None:
        self._taken: deque[float] = deque(maxlen=calls)
        """When the last `calls` calls were made."""
        self._calls = calls
        self._sharers = sharers
        self._closed_until = 0.0

    def take(self) -> int:
        """Take one call and return 0; or take none, and return for how long (ms, at least 1) there is none."""
        now, own = asyncio.get_running_loop().time(), self._own
        free = self._closed_until
        if len(self._taken) >= own:
            free = max(free, self._taken[-own] + WINDOW)
        if free > now:
            return max(1, round((free - now) * 1000))
        self._taken.append(now)
        return 0

    def left(self, share: float) -> float:
        """How much is left of a share of one's own part, itself between 0 and 1: 1 is all of it, 0 not one call."""
        now, allowed = asyncio.get_running_loop().time(), int(self._own * share)
        if self._closed_until > now or not allowed:
            return 0.0
        return max(0.0, 1 - sum(taken > now - WINDOW for taken in self._taken) / allowed)

    @property
    def _own(self) -> int:
        return max(1, self._calls // self._sharers())

    def close(self, wait: int) -> None:
        """Give no call for `wait` (ms): the upstream said that there were too many. 0: it did not say for how long."""
        until = asyncio.get_running_loop().time() + (wait / 1000 or WINDOW)
        self._closed_until = max(self._closed_until, until)
