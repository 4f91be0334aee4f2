"""Target P5: how late ends are seen by learned reads and by equally spaced ones, at equal reads. Pure, no I/O, seeded.

    python -m benchmarks.polling [--json] [--jobs 4000] [--seeds 3]

Each route begins with nothing known. 300 jobs are read at fixed intervals, 600 more at learned ages, planned anew every
100 jobs, all of them known only as a poller knows them: ran at this age, had ended at that. Then jobs are read by the
product's own `poll_interval` and `jittered`, and the same jobs by the fixed interval that costs exactly as many reads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from gateway.core.durations import Durations
from gateway.core.hazard import Ends
from gateway.core.policy import DAY, SECOND, Pace
from gateway.core.scheduling import learned, schedule
from gateway.core.timing import jitter_room, jittered, poll_interval

Distribution = Callable[[float], float]
"""A duration in ms for a part (0 to 1, both excluded) of the jobs: the inverse of the distribution's function."""

FIRST, PER_PLAN, PLANS = 300, 100, 6
FLUSH = 10
"""Jobs that are counted together."""
READS = (4, 8, 16)
BOUNDLESS = Pace(floor=1, ceiling=DAY)


def _normal(mean: float, deviation: float) -> Distribution:
    return lambda part: max(statistics.NormalDist(mean, deviation).inv_cdf(part) * SECOND, 1.0)


def _halves(short: Distribution, long: Distribution) -> Distribution:
    return lambda part: short(2 * part) if part < 0.5 else long(max(2 * part - 1, 1e-9))


DISTRIBUTIONS: dict[str, Distribution] = {
    "normal, cv 0.05": _normal(60, 3),
    "normal, cv 0.1": _normal(60, 6),
    "normal, 60±10 s": _normal(60, 10),
    "log-normal": lambda part: 60 * SECOND * math.exp(0.5 * statistics.NormalDist().inv_cdf(part)),
    "Pareto": lambda part: 30 * SECOND * (1 - part) ** (-1 / 2),
    "uniform": lambda part: max(120 * SECOND * part, 1.0),
    "exponential": lambda part: max(-60 * SECOND * math.log(1 - part), 1.0),
    "two modes": _halves(_normal(20, 2), _normal(100, 10)),
}
NARROW = frozenset({"normal, cv 0.05", "normal, cv 0.1"})


@dataclass
class Cell:
    """One distribution at one budget. Delays in ms; ratios are learned by fixed."""

    distribution: str
    granted: int
    reads: float
    """A job, in the mean; the fixed interval has as many."""
    mean_delay: float
    fixed_mean_delay: float
    mean_ratio: float
    p99_ratio: float

    @property
    def met(self) -> bool:
        """Whether target P5 is met."""
        return self.mean_ratio <= (0.5 if self.distribution in NARROW else 1.05) and self.p99_ratio <= 1.3


@dataclass
class Warmed:
    """A route as configured by default, before anything is learned and after. Delays in ms."""

    distribution: str
    scale: float
    """What its minute is multiplied by."""
    cold_reads: float
    cold_delay: float
    learned_reads: float
    learned_delay: float


def read(duration: float, pace: Pace, name: str) -> list[int]:
    """Return the ages at which a job is read, as it is planned by `pace`, up to the read that sees its end."""
    ages: list[int] = []
    age = 0
    while age < duration:
        interval = poll_interval(age, pace)
        age += jittered(interval, f"{name}{len(ages)}", jitter_room(age, pace))
        ages.append(age)
    return ages


def simulate(name: str, granted: int, seed: int, jobs: int) -> Cell:
    """Learn a route, then read `jobs` of it both ways."""
    draw, duration_of = random.Random(f"{name} {granted} {seed}"), DISTRIBUTIONS[name]
    durations = learn(draw, duration_of, granted)
    pace = planned(durations, granted)
    # Evenly from all parts of the distribution, so that the comparison is not of chance.
    drawn = [duration_of((number + 0.5) / jobs) for number in range(jobs)]
    reads = [read(duration, pace, f"{number} ") for number, duration in enumerate(drawn)]
    delays = sorted(ages[-1] - duration for ages, duration in zip(reads, drawn, strict=True))
    mean_reads = statistics.fmean(map(len, reads))
    interval = fixed_interval(drawn, mean_reads)
    fixed = sorted(math.ceil(duration / interval) * interval - duration for duration in drawn)
    mean, fixed_mean, last = statistics.fmean(delays), statistics.fmean(fixed), int(jobs * 0.99)
    return Cell(name, granted, mean_reads, mean, fixed_mean, mean / fixed_mean, delays[last] / fixed[last])


def learn(draw: random.Random, duration_of: Distribution, granted: int) -> Durations:
    """Return what a poller knows of a route after its first jobs."""
    durations = Durations()
    first = [duration_of(draw.random()) for _ in range(FIRST)]
    interval = fixed_interval(first, granted)
    for duration in first:
        ended = math.ceil(duration / interval) * interval
        durations = durations.after(durations.shares(ended - interval, ended), 1)
    for plan in range(PLANS):
        pace = planned(durations, granted)
        for batch in range(PER_PLAN // FLUSH):
            counted: dict[int, float] = {}
            for number in range(FLUSH):
                ages = [0, *read(duration_of(draw.random()), pace, f"{plan} {batch} {number} ")]
                for bin_number, share in durations.shares(ages[-2], ages[-1]).items():
                    counted[bin_number] = counted.get(bin_number, 0.0) + share
            durations = durations.after(counted, FLUSH)
    return durations


def planned(durations: Durations, granted: float) -> Pace:
    """Return a pace without bounds, with the schedule of so many reads."""
    made = schedule(Ends(durations), granted, BOUNDLESS.floor, BOUNDLESS.ceiling)
    return Pace(floor=BOUNDLESS.floor, ceiling=BOUNDLESS.ceiling, learned=made)


def fixed_interval(durations: list[float], reads: float) -> float:
    """Return the interval at which these jobs are read so often in the mean."""
    low, high = min(durations) / 1000, max(durations) * 2
    for _ in range(40):
        middle = math.sqrt(low * high)
        if sum(math.ceil(duration / middle) for duration in durations) > reads * len(durations):
            low = middle
        else:
            high = middle
    return high


def warm(name: str, scale: float, jobs: int) -> Warmed:
    """Compare a route's first jobs with those after it has learned, under the default pace."""
    cold, draw, duration_of = Pace(), random.Random(f"{name} {scale}"), DISTRIBUTIONS[name]
    durations = Durations()
    pace = cold
    for number in range(FIRST + PLANS * PER_PLAN):
        if number % PER_PLAN == 0:
            pace = Pace(learned=learned(durations, cold))
        ages = [0, *read(scale * duration_of(draw.random()), pace, f"{number} ")]
        durations = durations.after(durations.shares(ages[-2], ages[-1]), 1)
    drawn = [scale * duration_of((number + 0.5) / jobs) for number in range(jobs)]

    def told(by: Pace) -> tuple[float, float]:
        reads = [read(duration, by, f"{number} ") for number, duration in enumerate(drawn)]
        late = (ages[-1] - duration for ages, duration in zip(reads, drawn, strict=True))
        return statistics.fmean(map(len, reads)), statistics.fmean(late)

    return Warmed(name, scale, *told(cold), *told(pace))


def report(jobs: int, seeds: int) -> dict[str, object]:
    """Return all cells, each that of the median ratio over `seeds`, and routes before and after they have learned."""
    cells = []
    for name, granted in itertools.product(DISTRIBUTIONS, READS):
        runs = sorted((simulate(name, granted, seed, jobs) for seed in range(seeds)), key=lambda cell: cell.mean_ratio)
        middle = runs[len(runs) // 2]
        spread = [round(runs[0].mean_ratio, 3), round(runs[-1].mean_ratio, 3)]
        worst = max(run.p99_ratio for run in runs)
        cells.append(asdict(middle) | {"met": middle.met, "ratios": spread, "worst_p99_ratio": worst})
    routes = [
        asdict(warm(name, scale, 300))
        for name, scale in itertools.product(("normal, cv 0.1", "log-normal", "exponential"), (1 / 60, 1, 10))
    ]
    return {"target": "P5", "met": all(cell["met"] for cell in cells), "cells": cells, "default_pace": routes}


def _table(told: dict[str, object]) -> str:
    lines = [f"{'':17} reads a job   delay      fixed      mean ratio (over seeds)   p99 ratio (worst)"]
    lines += [
        f"{cell['distribution']:17} {cell['reads']:6.2f} {cell['mean_delay'] / SECOND:11.2f} s "
        f"{cell['fixed_mean_delay'] / SECOND:8.2f} s {cell['mean_ratio']:9.2f} ({cell['ratios'][0]:.2f} to "
        f"{cell['ratios'][1]:.2f}) {cell['p99_ratio']:14.2f} ({cell['worst_p99_ratio']:.2f})"
        f"{'' if cell['met'] else '  MISSED'}"
        for cell in told["cells"]
    ]
    lines.append("\nWith the default pace, cold and learned:")
    lines += [
        f"{route['distribution']:17} of {60 * route['scale']:4.0f} s: {route['cold_reads']:6.1f} reads, "
        f"{route['cold_delay'] / SECOND:6.2f} s late; then {route['learned_reads']:6.1f}, "
        f"{route['learned_delay'] / SECOND:6.2f} s"
        for route in told["default_pace"]
    ]
    return "\n".join(lines)


def main() -> int:
    """Print the table, or JSON; the exit status says whether the target is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    told = report(options.jobs, options.seeds)
    print(json.dumps(told, indent=2) if options.json else _table(told))
    return 0 if told["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
