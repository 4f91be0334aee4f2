"""The wish that a gateway stop, and the second one, that it hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Stop:
    """Is wished once by the first signal; every one after it says that it takes too long."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hastened: Callable[[], None] = lambda: None
        """What to do where there is haste."""

    def wish(self) -> None:
        """Wish it, or wish it sooner."""
        if self.asked.is_set():
            self.hastened()
        self.asked.set()
