"""The store's time, told by the event loop: so that all replicas agree, whatever their hosts' clocks say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Clock:
    """Milliseconds of the store's time, from the loop's monotonic clock and the offset that each heartbeat corrects."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._time: Callable[[], float] | None = None

    def now(self) -> int:
        """Return the store's time in milliseconds since the epoch."""
        # Asked some dozens of times a job, and which loop runs is always the same.
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return int(self._time() * 1000 + self._offset)

    def synchronise(self, store_now: int, asked: float, answered: float) -> None:
        """Take over the store's time, read somewhere between two loop times (seconds)."""
        offset = store_now - (asked + answered) / 2 * 1000
        # Corrections smaller than the round trip would only be noise.
        if abs(offset - self._offset) > max(1.0, (answered - asked) * 500):
            self._offset = offset

    def loop_time(self, at: int) -> float:
        """Return the loop time (seconds) at which it will be `at`."""
        return (at - self._offset) / 1000
