"""What time the tenant says it is: the event loop's own clock, read as a date."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class WallClock:
    """Dates for loop times. They are fixed to the machine's clock once, so that virtual time moves them along.

    `skew` seconds are added: a tenant's clock is not its clients' one.
    """

    def __init__(self, skew: float = 0.0) -> None:
        self._skew = skew
        self._origin: datetime | None = None

    def fix(self) -> None:
        """Have the loop's time be the machine's from now on, unless it is already: when the tenant opens."""
        if self._origin is None:
            elapsed = asyncio.get_running_loop().time()
            machine = datetime.now(UTC)  # noqa: TID251 - the tenant stands for a machine of its own
            self._origin = machine - timedelta(seconds=elapsed - self._skew)

    def at(self, loop_time: float) -> datetime:
        """Return the date of a loop time, in UTC, to the millisecond."""
        assert self._origin is not None, "the application runs"
        date = self._origin + timedelta(seconds=loop_time)
        return date.replace(microsecond=date.microsecond // 1000 * 1000)
