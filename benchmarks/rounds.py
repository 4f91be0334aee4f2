"""Interleaved rounds: a shared machine drifts, so subjects take turns, and what counts is each round's ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

Figures = Mapping[str, float]
"""What one measurement of one subject found, by name."""


class Spread(NamedTuple):
    """A median and the range that it is of."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it as `0.31 (0.29-0.34)`."""
        return f"{self.median:.3g} ({self.low:.3g}-{self.high:.3g})"


def interleaved(subjects: Mapping[str, Callable[[], Figures]], rounds: int) -> list[dict[str, Figures]]:
    """Measure each subject in turn, `rounds` times; every other round goes the other way round."""
    names = list(subjects)
    return [{name: subjects[name]() for name in names[:: 1 if turn % 2 == 0 else -1]} for turn in range(rounds)]


def warmed(subjects: Mapping[str, Callable[[], Figures]], rounds: int) -> list[dict[str, Figures]]:
    """Measure likewise, each subject once before: what is made at the first call of all counts for nothing."""
    for measure in subjects.values():
        measure()
    return interleaved(subjects, rounds)


def spread(values: Iterable[float]) -> Spread:
    """Return median, least and greatest."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def figure(rounds: Sequence[Mapping[str, Figures]], subject: str, name: str) -> Spread:
    """Return a figure of a subject over all rounds."""
    return spread(each[subject][name] for each in rounds)


def ratio(rounds: Sequence[Mapping[str, Figures]], name: str, subject: str, other: str) -> Spread:
    """Return how a figure of a subject compares with another's: the spread of each round's ratio."""
    return spread(each[subject][name] / each[other][name] for each in rounds)


def summary(rounds: Sequence[Mapping[str, Figures]]) -> dict[str, dict[str, Spread]]:
    """Return all figures of all subjects."""
    return {subject: {name: figure(rounds, subject, name) for name in found} for subject, found in rounds[0].items()}
