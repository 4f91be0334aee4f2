"""The three volumes, what the formula gives them, and every scenario run on that."""

from __future__ import annotations

import msgspec

from benchmarks.scale.costs import Costs
from benchmarks.scale.formula import Needs, Workload, needs
from benchmarks.scale.gateway import Setup
from benchmarks.scale.scenarios import BURST, Installation, Result

VOLUMES = (1e4, 1e6, 1e8)
"""Jobs a day."""

_MOST = 600.0
"""Calls a second that are simulated: of more, a part of the machines with its part of the calls, as they are alike."""
_FEWEST = 6
"""Replicas that such a part has at least: a death among few is another matter than among many."""


class Plan(msgspec.Struct, frozen=True):
    """One volume."""

    workload: Workload
    needs: Needs
    part: int
    """One of so many alike was simulated."""
    results: tuple[Result, ...]


def plan(costs: Costs, jobs: float, *, seed: int = 1) -> Plan:
    """Return what a volume needs, and what happens to it in each scenario."""
    workload = Workload(jobs)
    needed = needs(costs, workload)
    part = max(1, min(int(workload.peak_rate / _MOST), needed.replicas // _FEWEST))
    setup = Setup(replicas=round(needed.replicas / part), stores=max(1, round(needed.stores / part)), seed=seed)
    it = Installation(setup, costs, window=10.0 if part == 1 and jobs < VOLUMES[-1] else 3.0)
    mean, peak = workload.mean_rate / part, workload.peak_rate / part
    always = msgspec.structs.replace(it, setup=msgspec.structs.replace(setup, always=True))
    slow = msgspec.structs.replace(it, setup=msgspec.structs.replace(setup, always=True, fsync=0.003))
    results = (
        it.constant(mean, "the day's mean"),
        it.constant(peak, "the peak"),
        always.constant(peak, "the peak, `appendfsync always`"),
        slow.constant(peak, "the same on a disk that takes 3 ms"),
        it.burst(mean, jobs * BURST / part),
        it.together(peak),
        it.death(peak),
        it.pause(peak),
    )
    return Plan(workload, needed, part, tuple(_whole(each, part) for each in results))


def _whole(result: Result, part: int) -> Result:
    return msgspec.structs.replace(result, rate=result.rate * part)


def plans(costs: Costs, *, seed: int = 1) -> list[Plan]:
    """Return all three."""
    return [plan(costs, jobs, seed=seed) for jobs in VOLUMES]
