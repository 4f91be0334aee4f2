"""How long a route's jobs take, as a histogram of a few dozen numbers that replicas share and that forgets.

A poller sees that a job ran at one age and had ended at another. The end lay somewhere between: it is counted there as
the ends of jobs before it lie, and as one more that may have been anywhere (the self-consistent estimate of B. W.
Turnbull, 1976, one step of it a job). Counting it where it was seen would take the reads' own instants for the jobs'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

HALF_LIFE = 512
"""A job counts half as much as one so many jobs after it: what was deployed anew is learned anew."""

_PER_OCTAVE = 16
"""Bins are 4.4 % wide."""
_FIRST = 16
"""Milliseconds: what is shorter is one bin."""
_PIECES = 16
"""A job is counted in no more pieces, so that what is known of it stays few numbers."""
LAST_BIN = 24 * _PER_OCTAVE - 1
"""Three days. What takes longer is in it too."""


def bin_of(duration: float) -> int:
    """Return the bin that `duration` (ms) falls into."""
    return min(int(_PER_OCTAVE * math.log2(duration / _FIRST)) + 1, LAST_BIN) if duration > _FIRST else 0


def lower_edge(number: int) -> float:
    """Return where a bin begins, in ms; its end is where the next one begins."""
    return _FIRST * 2.0 ** ((number - 1) / _PER_OCTAVE) if number else 0.0


_EDGES = tuple(lower_edge(number) for number in range(LAST_BIN + 2))


class Durations(msgspec.Struct, frozen=True):
    """A histogram: of bins, how many jobs are in them, where a recent job counts as one."""

    weights: Mapping[int, float] = {}

    @property
    def jobs(self) -> float:
        """How many jobs it knows of; never much more than 1.44 half-lives."""
        return sum(self.weights.values())

    def shares(self, ran: float, ended: float) -> dict[int, float]:
        """Return the bins of a job that ran at the age `ran` and had ended at `ended` (ms): its shares, 1 in all."""
        first, last = bin_of(ran), bin_of(ended)
        if first == last or ended <= ran:
            return {last: 1.0}
        even = 1 / (ended - ran)
        shares: dict[int, float] = {}
        for number in range(first, last + 1):
            begin, end = _EDGES[number], _EDGES[number + 1]
            within = (ended if ended < end else end) - (ran if ran > begin else begin)  # noqa: FURB136 - no calls, a job has dozens
            if within > 0:
                shares[number] = within * (self.weights.get(number, 0.0) / (end - begin) + even)
        return _in_pieces(shares)

    def after(self, ended: Mapping[int, float], jobs: int) -> Durations:
        """Return the histogram once `jobs` more have ended, whose shares are `ended`: the store does the same."""
        faded = 2.0 ** (-jobs / HALF_LIFE)
        merged = {number: weight * faded for number, weight in self.weights.items()}
        for number, share in ended.items():
            merged[number] = merged.get(number, 0.0) + share
        return Durations(merged)

    def differs(self, other: Durations) -> float:
        """Return how many jobs are in one of them and not in the other."""
        numbers = self.weights.keys() | other.weights.keys()
        return sum(abs(self.weights.get(number, 0.0) - other.weights.get(number, 0.0)) for number in numbers)


def _in_pieces(shares: Mapping[int, float]) -> dict[int, float]:
    """Return `shares` as parts of 1, with small ones moved on to the next bin until they are a piece."""
    pieces: dict[int, float] = {}
    carried, total = 0.0, sum(shares.values())
    for number, share in shares.items():
        carried += share / total
        if carried >= 1 / _PIECES:
            pieces[number] = carried
            carried = 0.0
    if carried:
        last = max(pieces)
        pieces[last] += carried
    return pieces
