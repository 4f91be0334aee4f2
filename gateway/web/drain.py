"""Going away well: who is still being answered, and when they are to be answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Drain:
    """The state of this replica's farewell."""

    def __init__(self) -> None:
        self.begun = False
        """Readiness fails; connections are closed as they answer."""
        self._ends = 0.0
        self.hurry = False
        """Waits end as if they had run out."""
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, seconds: float) -> None:
        """Begin a farewell that is to last `seconds` at most."""
        self.begun = True
        self._ends = asyncio.get_running_loop().time() + seconds

    @property
    def left(self) -> float:
        """Seconds left of it; 0 if there is none."""
        return max(0.0, self._ends - asyncio.get_running_loop().time()) if self.begun else 0.0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count one request while it is answered."""
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if self._active == 0:
                self._idle.set()

    async def idle(self, timeout: float) -> bool:
        """Wait until nobody is being answered, for `timeout` seconds at most. Return whether it came to that."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
