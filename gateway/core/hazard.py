"""Which part of a route's jobs has ended by which age: the histogram as a distribution that reads can be planned on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from gateway.core.durations import Durations, lower_edge

_MEANT = 12.0
"""Jobs that a stretch needs for its density to mean something; fewer are taken together with their neighbours."""
_APART = 8
"""Empty bins (a factor of 1.4) that part two modes: across them nothing is taken together."""
_NEGLIGIBLE = 0.5
"""Of a job: what has faded to less, above all that is longer, is forgotten."""

_Stretch = tuple[float, float, float]
"""From one age to another, so many jobs, evenly."""


class Ends:
    """A distribution of durations, piecewise linear. It holds one job more than was learned, which may end anywhere."""

    def __init__(self, durations: Durations) -> None:
        stretches = list(_stretches(durations))
        top = stretches[-1][1]
        jobs = durations.jobs + 1
        self._ages = [0.0]
        self._ended = [0.0]
        self._moments = [0.0]
        reached = 0.0
        for begin, end, weight in stretches:
            if begin > reached:
                self._extend(begin, (begin - reached) / top / jobs)
            self._extend(end, (weight + (end - begin) / top) / jobs)
            reached = end
        # What was forgotten is missing from the sum.
        whole = self._ended[-1]
        self._ended = [part / whole for part in self._ended]
        self._moments = [part / whole for part in self._moments]

    def _extend(self, age: float, part: float) -> None:
        middle = (self._ages[-1] + age) / 2
        self._ages.append(age)
        self._ended.append(self._ended[-1] + part)
        self._moments.append(self._moments[-1] + part * middle)

    @property
    def last(self) -> float:
        """The age by which all have ended, in ms."""
        return self._ages[-1]

    @property
    def mean(self) -> float:
        """The mean duration, in ms."""
        return self._moments[-1]

    def by(self, age: float) -> tuple[float, float]:
        """Return the part of the jobs that has ended by `age`, and their first moment: the sum of their durations."""
        if age >= self.last:
            return 1.0, self.mean
        if age <= 0:
            return 0.0, 0.0
        at = bisect_right(self._ages, age) - 1
        begin, end = self._ages[at], self._ages[at + 1]
        part = (self._ended[at + 1] - self._ended[at]) * (age - begin) / (end - begin)
        return self._ended[at] + part, self._moments[at] + part * (begin + age) / 2

    def quantile(self, part: float) -> float:
        """Return the age by which `part` (0 to 1) of the jobs has ended."""
        at = bisect_left(self._ended, part)
        if at == 0:
            return 0.0
        if at == len(self._ended):
            return self.last
        begin, end = self._ended[at - 1], self._ended[at]
        return self._ages[at - 1] + (self._ages[at] - self._ages[at - 1]) * (part - begin) / (end - begin)

    def density(self) -> Iterator[tuple[float, float, float]]:
        """Yield each stretch: its length in ms, the part that ends in it, the part that is there at its middle."""
        for at in range(1, len(self._ages)):
            part = self._ended[at] - self._ended[at - 1]
            yield self._ages[at] - self._ages[at - 1], part, 1 - self._ended[at - 1] - part / 2


def _stretches(durations: Durations) -> Iterator[_Stretch]:
    """Yield what is known, in order: stretches of a few jobs each, so that their density is more than chance."""
    stretches: list[list[float]] = []
    parted = -_APART
    for number in _remembered(durations):
        weight = durations.weights[number]
        adjoins = number - parted <= _APART
        if adjoins and stretches and stretches[-1][2] < _MEANT:
            stretches[-1][1] = lower_edge(number + 1)
            stretches[-1][2] += weight
        else:
            stretches.append([lower_edge(number), lower_edge(number + 1), weight])
        parted = number + 1
    for begin, end, weight in stretches:
        yield begin, end, weight


def _remembered(durations: Durations) -> list[int]:
    """Return the bins that count, in order."""
    numbers = sorted(number for number, weight in durations.weights.items() if weight > 0)
    longer = 0.0
    while len(numbers) > 1 and (longer := longer + durations.weights[numbers[-1]]) < _NEGLIGIBLE:
        numbers.pop()
    return numbers
