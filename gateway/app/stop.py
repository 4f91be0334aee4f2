"""The wish that a gateway stop, the second one, that it hurry, and how long it may take at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

ANSWER_LAST = 3.0
"""Seconds of the drain kept for answers that are given because the replica goes; it has as many if it drains less."""

HAND_OVER = 10.0
"""Seconds after the drain for starts that are unanswered still: one that is cut off leaves its job in doubt."""

_CLOSE = 5.0
"""Seconds after that for last answers to leave, and the lease to end. Who stops a gateway is told to wait 15 s longer
than it drains (docs/deployment.md)."""


def stops_within(drain: float) -> float:
    """Return the seconds after which a gateway that was to stop, and to drain so many, must be stuck if it is there."""
    return max(drain, ANSWER_LAST) + HAND_OVER + _CLOSE


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
