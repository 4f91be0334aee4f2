"""A budget of calls to an endpoint that the upstream rations: who comes too late is told when, and does not queue."""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW = 60.0
"""Seconds that a budget counts over: Orchestrator rations lists by the minute."""


class Budget:
    """At most `calls` in any minute."""

    def __init__(self, calls: int) -> None:
        self._taken: deque[float] = deque(maxlen=calls)
        """When the last `calls` calls were made."""
        self._calls = calls
        self._closed_until = 0.0

    def take(self) -> int:
        """Take one call and return 0; or take none, and return for how long (ms, at least 1) there is none."""
        now = asyncio.get_running_loop().time()
        free = self._closed_until
        if len(self._taken) == self._calls:
            free = max(free, self._taken[0] + WINDOW)
        if free > now:
            return max(1, round((free - now) * 1000))
        self._taken.append(now)
        return 0

    def close(self, wait: int) -> None:
        """Give no call for `wait` (ms): the upstream said that there were too many. 0: it did not say for how long."""
        until = asyncio.get_running_loop().time() + (wait / 1000 or WINDOW)
        self._closed_until = max(self._closed_until, until)
