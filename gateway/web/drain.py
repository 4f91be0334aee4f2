"""Going away well: who is still being answered, and when they are to be answered at once."""

from __future__ import annotations

import asyncio


class Drain:
    """The state of this replica's farewell."""

    def __init__(self) -> None:
        self.begun = False
        """Connections are closed as they answer; readiness fails, unless this replica is `replaced`."""
        self.replaced = False
        """Others serve this port already: nobody new comes here, and who asks is told of the port."""
        self._ends = 0.0
        self._hastened = False
        self.hurry = False
        """Waits end as if they had run out."""
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._patience: asyncio.Timeout | None = None
        """The time that somebody has who waits for callers' jobs to end."""

    def begin(self, seconds: float) -> None:
        """Begin a farewell that is to last `seconds` at most. One that has begun goes on."""
        if not self.begun:
            self.begun = True
            self._ends = 0.0 if self._hastened else asyncio.get_running_loop().time() + seconds

    def hasten(self) -> None:
        """Have the farewell, now or to come, last no longer than answers take that are given at once."""
        self._hastened, self._ends = True, 0.0
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    @property
    def leaving(self) -> bool:
        """Whether calls should be sent elsewhere."""
        return self.begun and not self.replaced

    @property
    def left(self) -> float:
        """Seconds left of it; 0 if there is none."""
        return max(0.0, self._ends - asyncio.get_running_loop().time()) if self.begun else 0.0

    def enter(self) -> None:
        """Count one request that is to be answered."""
        if self._active == 0:
            self._idle.clear()
        self._active += 1

    def leave(self) -> None:
        """Count it as answered."""
        self._active -= 1
        if self._active == 0:
            self._idle.set()

    async def idle(self, timeout: float) -> bool:
        """Wait until nobody is being answered, for `timeout` seconds at most. Return whether it came to that.

        Haste cuts it short, unless those who wait are told to go already (`hurry`).
        """
        return await self._within(timeout, self._idle)

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until there is haste."""
        await self._within(seconds, asyncio.Event())

    async def _within(self, seconds: float, event: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(seconds) as patience:
                self._patience = None if self.hurry else patience
                await event.wait()
        except TimeoutError:
            return False
        finally:
            self._patience = None
        return True
