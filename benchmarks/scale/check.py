"""The simulation against a real run: other jobs than those that the costs were measured on, at another rate.

For real they were a hundred and twenty calls a second for ten seconds, of jobs that run from a fifth of a second to
two; their CPU and their reads are held against what the simulation says of such calls.
"""

from __future__ import annotations

import msgspec

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import arrivals
from benchmarks.scale.gateway import Gateway, Setup
from benchmarks.scale.measure_gateway import OTHER, Paid
from gateway.core.policy import Pace

TOLERANCE = 1 / 3
"""How far off the simulated CPU may be: two cores of a shared machine differ by nearly as much from run to run."""
CPUS = ("a replica's CPU for a job with as many reads, µs", "Redis' CPU for a job in as many turns, µs")


class Compared(msgspec.Struct, frozen=True):
    """One figure, as simulated and as it was."""

    what: str
    simulated: float
    real: float

    @property
    def off(self) -> float:
        """How far the simulation was off, as a part of what was real."""
        return self.simulated / self.real - 1


class _Even(Gateway):
    """Jobs whose durations are spread evenly, as the load generator's are."""

    def duration(self, **_: bool) -> float:
        """See `Gateway`."""
        return self.random.uniform(OTHER.least, OTHER.most) / 1000


def compare(costs: Costs, real: Paid) -> list[Compared]:
    """Simulate those calls and return both."""
    setup = Setup(replicas=1, stores=1, network=0.0001, upstream=0.001, pace=Pace(floor=100, ceiling=100))
    gateway = _Even(setup, costs)
    jobs, store = OTHER.number, gateway.stores[0]
    arrivals(gateway.engine, (number / OTHER.rate for number in range(jobs)), gateway.call)
    gateway.engine.run(jobs / OTHER.rate + 10)
    # Where the processes wait for a core, they read later and so less often, and do at once what came meanwhile.
    reads, turns = gateway.reads / jobs, store.turns / jobs
    fewer_reads = (reads - real.reads) * costs.replica.read
    fewer_turns = (turns - real.turns) * costs.store.turn
    return [
        Compared(CPUS[0], gateway.replicas[0].busy / jobs * 1e6 - fewer_reads, real.gateway),
        Compared(CPUS[1], store.cpu / jobs * 1e6 - fewer_turns, real.store),
        Compared("status reads of a job", reads, real.reads),
    ]


def agrees(compared: list[Compared]) -> bool:
    """Whether what was simulated takes as much CPU as what was real, for as many reads and turns."""
    return all(abs(each.off) <= TOLERANCE for each in compared if each.what in CPUS)
