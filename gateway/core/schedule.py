"""What was learned of a route, as its jobs are planned by it (`scheduling` makes it): when to read, when they end."""

from __future__ import annotations

from bisect import bisect_right

import msgspec

_LAST_STEPS = 3


class Schedule(msgspec.Struct, frozen=True):
    """What was learned of a route: when to read its jobs, and when they end. Ages in ms, ascending."""

    reads: tuple[int, ...]
    quantiles: tuple[int, ...]
    """Ages by which equal parts of the jobs have ended."""

    def overdue(self, age: int) -> tuple[int, int]:
        """Return how much older than all that was learned from a job of `age` is, and how wide the last steps were."""
        last, steps = self.reads[-1], min(len(self.reads) - 1, _LAST_STEPS)
        step = (last - self.reads[-1 - steps]) // steps if steps else last
        return age - last, step

    def next_read(self, age: int) -> int | None:
        """Return the next age to read at after `age`; None for a job older than what was learned from."""
        at = bisect_right(self.reads, age)
        return self.reads[at] if at < len(self.reads) else None

    def room(self, age: int) -> int | None:
        """Return how far the read after `age` is from the one after that; None where there is no such."""
        at = bisect_right(self.reads, age)
        return self.reads[at + 1] - self.reads[at] if at + 1 < len(self.reads) else None

    def likely_end(self, age: int) -> int | None:
        """Return the age by which half of those jobs end that are as old as `age`; None for one older than all."""
        at = bisect_right(self.quantiles, age)
        left = len(self.quantiles) - at
        return self.quantiles[at + left // 2] if left else None
