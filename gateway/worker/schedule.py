"""One timer for any number of due times: a heap, and a single callback armed for its head."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from gateway.worker.clock import Clock


class Schedule:
    """Calls `due(key)` when a key's time has come. A key has one time: setting it again replaces it."""

    def __init__(self, clock: Clock, due: Callable[[str], None]) -> None:
        self._clock = clock
        self._due = due
        self._times: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._armed: asyncio.TimerHandle | None = None
        self._stopped = False

    def set(self, key: str, at: int) -> None:
        """Have `key` due at `at` (ms of the store's time)."""
        if self._stopped:
            return
        self._times[key] = at
        heapq.heappush(self._heap, (at, key))
        if self._heap[0] == (at, key):
            self._arm()

    def drop(self, key: str) -> None:
        """Forget `key`."""
        self._times.pop(key, None)

    def stop(self) -> None:
        """Forget everything, for good: what is still under way sets no more."""
        self._stopped = True
        self._times.clear()
        self._heap.clear()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _arm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
        loop = asyncio.get_running_loop()
        self._armed = loop.call_at(self._clock.loop_time(self._heap[0][0]), self._fire)

    def _fire(self) -> None:
        self._armed = None
        # The loop's timers have a resolution; what is due within the millisecond is due.
        now = self._clock.now() + 1
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._times.get(key) == at:
                del self._times[key]
                self._due(key)
        self._prune()
        if self._heap:
            self._arm()

    def _prune(self) -> None:
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
