"""The ages at which a route's jobs are read: those that see their ends soonest, for as many reads as are granted.

For a job of age t that ends with hazard h(t), expected delay and the price c of reads are least together when reads
come every sqrt(2c/h(t)). That rule is of many reads. With few it matters where each one is, so the ages are found
exactly, by dynamic programming over candidates: of all ways to read up to an age the best one ends with the best last
step. A step's cost is convex in its length, so the best last step of a later age begins no earlier, and each search
begins where the one before ended. The price is then the one at which the mean job has the granted number of reads.

Left to itself the least mean delay has a few jobs wait long. So what is waited for longer than a bit more than the
interval of equally spaced reads counts many times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from gateway.core.durations import Durations
from gateway.core.hazard import Ends
from gateway.core.policy import Pace
from gateway.core.schedule import Schedule
from gateway.core.timing import paced_reads

_QUANTILES = 64
"""Candidates for reads: where so many equal parts of the jobs have ended, and steps in between where that is far."""
_STEP = 0.5
"""Of the equally spaced interval: no two candidates are further apart, up to where hardly any job is left."""
_STEPS = 300
"""So many are enough, where a few jobs take very much longer than most."""
_HARDLY_ANY = 0.992
_GROWTH = 0.02
"""Of the age: from there on the steps may grow with it."""
_AGE_SHARE = 0.1
"""Of the age: no steps are wider, so that few jobs that take very much longer leave the others theirs."""

_LONG_WAIT = 1.15
"""Of the equally spaced interval."""
_LONG_WAIT_COUNTS = 16.0

_SEARCHES = 10
_CLOSE = 0.01
"""Of the granted reads: they need not be spent to the last hundredth."""

_TOLD = 64
"""Quantiles kept to tell when a job may end."""

ENOUGH = 12.0
"""Jobs to learn from before anything is planned by them."""


def learned(durations: Durations, pace: Pace) -> Schedule | None:
    """Return the schedule for as many reads a job as `pace` alone would spend; None if too little is known."""
    if durations.jobs < ENOUGH:
        return None
    ends = Ends(durations)
    return schedule(ends, paced_reads(ends, pace), pace.floor, pace.ceiling)


def schedule(ends: Ends, granted: float, floor: int, ceiling: int) -> Schedule:
    """Return the schedule that costs a job at most `granted` reads in the mean, where so few can be enough.

    No two are closer than `floor` ms. Steps wider than `ceiling` are left in: whoever follows the schedule reads
    every `ceiling` ms in them, and that is reckoned with.
    """
    ages = _search(_Candidates(ends, granted, floor, ceiling), ends, granted)
    # To read early sees nothing of an end that a read at the very moment sees.
    quantiles = (ends.quantile((part + 0.5) / _TOLD) for part in range(_TOLD))
    return Schedule(tuple(math.ceil(age) for age in ages), tuple(round(age) for age in quantiles))


def _search(candidates: _Candidates, ends: Ends, granted: float) -> list[float]:
    """Return the ages to read at under the lowest price at which no more than the granted reads are spent."""
    price = _price(ends, granted)
    found, reads = candidates.cheapest(price)
    best = (reads <= granted, reads if reads <= granted else -reads, found)
    too_low, enough = 0.0, math.inf
    for _ in range(_SEARCHES):
        if (1 - _CLOSE) * granted <= reads <= granted:
            break
        if reads > granted:
            too_low = price
        else:
            enough = price
        # The number of reads goes with the root of their price.
        guess = price * (reads / granted) ** 2 * (1 + _CLOSE)
        inside = too_low < guess < enough
        price = guess if inside else math.sqrt(max(too_low, price / 16) * min(enough, price * 16))
        found, reads = candidates.cheapest(price)
        best = max(best, (reads <= granted, reads if reads <= granted else -reads, found))
    return best[2]


def _price(ends: Ends, granted: float) -> float:
    """Return the price of a read, in ms of delay, at which the rule of the hazard's root spends the granted reads."""
    spent = sum(math.sqrt(length * part * there) for length, part, there in ends.density())
    # What is granted has half a read more than the rule counts: the one that comes when all have ended.
    return (spent / max(granted - 0.5, 0.5)) ** 2 / 2


class _Candidates:
    """The ages at which a read may be, and what is known of each."""

    def __init__(self, ends: Ends, granted: float, floor: int, ceiling: int) -> None:
        even = ends.mean / max(granted - 0.5, 0.5)
        self._floor = floor
        self._ceiling = ceiling
        self._long = min(_LONG_WAIT * even, ceiling)
        self._ages = list(_ages(ends, max(_STEP * even, floor), floor))
        self._by = [ends.by(age) for age in self._ages]
        self._long_by = [ends.by(age - self._long) for age in self._ages]

    def cheapest(self, price: float) -> tuple[list[float], float]:
        """Return the ages to read at that are the best at this price of a read, and how many reads a job then has."""
        ages, by = self._ages, self._by
        count = len(ages)
        cost = [0.0] * count
        came_from = [0] * count
        earliest = 0
        for to in range(1, count):
            age = ages[to]
            ended, moment = by[to]
            long_ago = age - self._long
            ended_long, moment_long = self._long_by[to]
            least = math.inf
            for begin in range(earliest, to):
                step = age - ages[begin]
                if step < self._floor:
                    break
                ended_before, moment_before = by[begin]
                total = cost[begin] + age * (ended - ended_before) - (moment - moment_before)
                if step > self._long:
                    waits = long_ago * (ended_long - ended_before) - (moment_long - moment_before)
                    total += _LONG_WAIT_COUNTS * waits
                total += price * (1 - ended_before) * (step / self._ceiling if step > self._ceiling else 1.0)
                if total < least:
                    least, earliest = total, begin
            cost[to], came_from[to] = least, earliest
        return self._path(came_from)

    def _path(self, came_from: list[int]) -> tuple[list[float], float]:
        path = []
        at = len(came_from) - 1
        reads = 0.0
        while at:
            path.append(self._ages[at])
            begin = came_from[at]
            within = math.ceil((self._ages[at] - self._ages[begin]) / self._ceiling)
            there = 1 - self._by[begin][0]
            # The reads within a wide step are those of ever fewer jobs.
            reads += there + (within - 1) * (there + 1 - self._by[at][0]) / 2
            at = begin
        return path[::-1], reads


def _ages(ends: Ends, step: float, floor: int) -> Iterator[float]:
    """Yield the candidates in order; the first is 0, by the last all have ended. Which are too close, a path says."""
    yield (reached := 0.0)
    far = ends.quantile(_HARDLY_ANY)
    step = max(step, far / _STEPS)
    parts = (ends.quantile(part / _QUANTILES) for part in range(1, _QUANTILES))
    for age in (*parts, max(ends.last, floor)):
        while age - reached > (wide := _wide(reached, far, step, floor)):
            yield (reached := reached + wide)
        if age > reached:
            yield (reached := age)


def _wide(age: float, far: float, step: float, floor: int) -> float:
    """Return how far the candidate after one at `age` may be."""
    wide = step if age < far else max(step, _GROWTH * age)
    return max(min(wide, _AGE_SHARE * age), floor)
