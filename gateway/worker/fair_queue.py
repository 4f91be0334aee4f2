"""Whose turn it is: receivers one after the other, each with a small share of what is under way at once.

A receiver that never answers holds its share for as long as a time-out lasts, and nothing of what is others'. Pure.
"""

from __future__ import annotations

from collections import OrderedDict


class _Line:
    """What one receiver has waiting and under way."""

    __slots__ = ("silent", "under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: OrderedDict[str, None] = OrderedDict()
        """Keys in the order in which they came; a key waits once. A plain dict's first key is the slower to find the
        more were taken before it: of a receiver that was away for days, many wait."""
        self.under_way = 0
        self.silent = False
        """The last time it gave no answer."""


class FairQueue:
    """Keys by receiver. `at_once`: under way in all; `share`: for one receiver; `silent_share`: for a silent one."""

    def __init__(self, *, at_once: int, share: int, silent_share: int) -> None:
        self._at_once = at_once
        self._share = share
        self._silent_share = silent_share
        self._lines: dict[str, _Line] = {}
        self._open: dict[str, None] = {}
        """Receivers that have something waiting and room for it, in the order of their turns."""
        self._under_way = 0

    def put(self, receiver: str, key: str) -> None:
        """Have `key` wait for its turn, after what already waits for this receiver."""
        line = self._lines.setdefault(receiver, _Line())
        line.waiting[key] = None
        self._offer(receiver, line)

    def take(self) -> tuple[str, str] | None:
        """Return whose turn it is, receiver and key, which from now on is under way; None if nobody's."""
        if self._under_way >= self._at_once or not self._open:
            return None
        receiver = next(iter(self._open))
        del self._open[receiver]
        line = self._lines[receiver]
        key, _ = line.waiting.popitem(last=False)
        line.under_way += 1
        self._under_way += 1
        self._offer(receiver, line)
        return receiver, key

    def done(self, receiver: str, *, answered: bool | None) -> None:
        """Note that one of this receiver's is under way no more. `answered`: whether it did; None if not asked."""
        line = self._lines[receiver]
        line.under_way -= 1
        self._under_way -= 1
        if answered is not None:
            line.silent = not answered
        if line.waiting:
            self._offer(receiver, line)
        elif not line.under_way:
            del self._lines[receiver]

    def _offer(self, receiver: str, line: _Line) -> None:
        if line.waiting and line.under_way < (self._silent_share if line.silent else self._share):
            self._open.setdefault(receiver)
