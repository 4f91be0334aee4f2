"""A limit on how often something may be done in a minute."""

from __future__ import annotations

import asyncio
import math
from collections import deque

_MINUTE = 60.0


class PerMinute:
    """Grants `limit` calls in any sixty seconds of loop time; None grants all."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._granted: deque[float] = deque()

    def take(self) -> int:
        """Grant a call and return 0, or return after how many whole seconds the next would be granted."""
        if self._limit is None:
            return 0
        now = asyncio.get_running_loop().time()
        while self._granted and self._granted[0] <= now - _MINUTE:
            self._granted.popleft()
        if len(self._granted) >= self._limit:
            oldest = self._granted[0] if self._granted else now
            return max(1, math.ceil(oldest + _MINUTE - now))
        self._granted.append(now)
        return 0

    def reset(self) -> None:
        """Forget what was granted."""
        self._granted.clear()
