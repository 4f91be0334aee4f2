"""The simulation against a real run: other jobs than those that the costs were measured on, at another rate.

For real they were a hundred and twenty calls a second for ten seconds, of jobs that run from a fifth of a second to
two; their CPU and their reads are held against what the simulation says of such calls.
"""

from __future__ import annotations

import msgspec

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import arrivals
from benchmarks.scale.gateway import Gateway, Setup
from benchmarks.scale.measure import OTHER, Paid
from gateway.core.policy import Pace

TOLERANCE = 0.25
"""How far off the simulation may be: two cores of a shared machine differ by nearly as much from run to run."""


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
    # On this machine the processes wait for its few cores, and then do at once what came meanwhile.
    fewer = (store.turns / jobs - real.turns) * costs.store.turn
    return [
        Compared("a replica's CPU for a job, µs", gateway.replicas[0].busy / jobs * 1e6, real.gateway),
        Compared("Redis' CPU for a job, in as many turns, µs", store.cpu / jobs * 1e6 - fewer, real.store),
        Compared("status reads of a job", gateway.reads / jobs, real.reads),
    ]
