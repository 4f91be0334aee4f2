"""How long a route's jobs take, as a histogram of a few dozen numbers that replicas share and that forgets.

A poller sees that a job ran at one age and had ended at another. The end lay somewhere between: it is counted there as
the ends of jobs before it lie, and as one more that may have been anywhere (the self-consistent estimate of B. W.
Turnbull, 1976, one step of it a job). Counting it where it was seen would take the reads' own instants for the jobs'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

HALF_LIFE = 512
"""A job counts half as much as one so many jobs after it: what was deployed anew is learned anew."""

_PER_OCTAVE = 16
"""Bins are 4.4 % wide."""
_FIRST = 64
"""Milliseconds: what is shorter is one bin."""
_PIECES = 16
"""A job is counted in no more pieces, so that what is known of it stays few numbers."""
LAST_BIN = 22 * _PER_OCTAVE - 1
"""Three days. What takes longer is in it too."""
_EDGES: tuple[float, ...] = (0.0, *(_FIRST * 2.0 ** (number / _PER_OCTAVE) for number in range(LAST_BIN + 1)))
"""Where each bin begins, and the last one ends."""


def bin_of(duration: float) -> int:
    """Return the bin that `duration` (ms) falls into."""
    return min(int(_PER_OCTAVE * math.log2(duration / _FIRST)) + 1, LAST_BIN) if duration > _FIRST else 0


def lower_edge(number: int) -> float:
    """Return where a bin begins, in ms; its end is where the next one begins."""
    return _EDGES[number]


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
        begins = [ran, *_EDGES[first + 1 : last + 1]]
        ends = [*_EDGES[first + 1 : last + 1], ended]
        known = [self.weights.get(number, 0.0) for number in range(first, last + 1)]
        # Of the first and the last bin only a part was not looked at.
        known[0] *= (ends[0] - ran) / (ends[0] - _EDGES[first])
        known[-1] *= min((ended - begins[-1]) / (_EDGES[last + 1] - begins[-1]), 1.0)
        each, total = 1 / (ended - ran), sum(known) + 1
        return _in_pieces(
            first,
            [(weight + (end - begin) * each) / total for weight, begin, end in zip(known, begins, ends, strict=True)],
        )

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


def _in_pieces(first: int, shares: Sequence[float]) -> dict[int, float]:
    """Return shares of the bins from `first` on, with small ones moved on to the next bin until they are a piece."""
    pieces: dict[int, float] = {}
    carried = 0.0
    for number, share in enumerate(shares, first):
        carried += share
        if carried >= 1 / _PIECES:
            pieces[number] = carried
            carried = 0.0
    pieces[max(pieces)] += carried
    return pieces
