"""The gateway as queues: replicas, store servers, and the life of a job between them.

A replica is one event loop on one core, a store server serves all who wait together; the network and Orchestrator take
time and nothing else. What is simulated is a blocking call over a trigger in mode AsyncRequestReply: request, creation,
intent, start, status reads when the gateway would make them, outcome, the end's save, answer.
"""

from __future__ import annotations

import math
import random
from itertools import count

import msgspec

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import Bulk, Engine, Fifo, Process
from gateway.core.policy import Pace
from gateway.core.timing import jittered, poll_interval

MICRO, MILLI = 1e-6, 1e-3

_UNTIL_CREATED, _UNTIL_INTENDED, _UNTIL_SENT = 0.40, 0.15, 0.15
"""Parts of a job's CPU on its replica; of the rest, half comes before the end's save and half after it."""
_UNTIL_ASKED = 0.5
"""Of a status read's CPU."""

BEATS = 0.4
"""Heartbeats of a replica, a second: four in a lease of 10 s."""
_ROWS = 500
"""Taken over together."""
_STEP = 10
"""Rows that a replica begins to follow before it does something else."""


class Setup(msgspec.Struct, frozen=True):
    """What is simulated. Times are seconds."""

    replicas: int
    stores: int
    always: bool = False
    """`appendfsync always`."""
    fsync: float | None = None
    """How long the disk takes then; None: as measured."""
    duration: float = 60.0
    """A job's, in the mean; log-normal."""
    spread: float = 0.5
    """Its coefficient of variation."""
    network: float = 0.2e-3
    """From a replica to the store and back."""
    upstream: float = 50e-3
    """Until Orchestrator has answered."""
    pace: Pace = Pace(typical=60_000)
    """The gateway's own plan of reads."""
    together: float = math.inf
    """When all jobs that run then end, and webhooks say so."""
    seed: int = 1


class Gateway:
    """Replicas and store servers with their queues, and what is seen of them."""

    def __init__(self, setup: Setup, costs: Costs) -> None:
        self.setup = setup
        self.costs = costs
        self.engine = Engine()
        self.random = random.Random(setup.seed)
        self.replicas = [Fifo(self.engine) for _ in range(setup.replicas)]
        self.stores = [Bulk(self.engine, self._turn) for _ in range(setup.stores)]
        self.starts: list[float] = []
        """From a call's arrival until its start was sent: what the gateway adds before."""
        self.answers: list[float] = []
        """From Orchestrator's last answer until the caller had it: what the gateway adds after."""
        self.reads = 0
        self.all_answered = 0.0
        """When the last of the jobs that end together was answered."""
        self.all_taken = 0.0
        """When the last row of a dead replica was."""
        self._shape = costs.replica.shape
        self._numbers = count()

    def duration(self, *, of_running: bool = False) -> float:
        """Return how long a job runs; or one of those that run at some moment, among which long ones are more often."""
        mean, spread = self.setup.duration, self.setup.spread
        variance = math.log(1 + spread * spread)
        mu = math.log(mean) + (variance / 2 if of_running else -variance / 2)
        return math.exp(self.random.gauss(mu, math.sqrt(variance)))

    def call(self, arrived: float) -> Process:
        """A blocking call, from its arrival to its answer."""
        number, store = next(self._numbers), self.random.choice(self.stores)
        replica = self.replicas[number % len(self.replicas)]
        script, whole, setup = self.costs.store.script * MICRO, self.costs.replica.job, self.setup
        yield replica, self._cpu(whole * _UNTIL_CREATED)
        yield setup.network
        yield store, script
        yield replica, self._cpu(whole * _UNTIL_INTENDED)
        yield setup.network
        yield store, script
        yield replica, self._cpu(whole * _UNTIL_SENT)
        self.starts.append(self.engine.now - arrived)
        yield setup.upstream
        yield setup.network
        yield store, script
        yield from self._rest(number, replica, store, self.engine.now, self.duration())

    def earlier(self, replica: Fifo, started: float, duration: float) -> Process:
        """A job that was started some time ago, by somebody, and is followed on from now on."""
        return self._rest(next(self._numbers), replica, self.random.choice(self.stores), started, duration)

    def _rest(self, number: int, replica: Fifo, store: Bulk, started: float, duration: float) -> Process:
        setup, engine, read = self.setup, self.engine, self.costs.replica.read
        ends = min(started + duration, max(setup.together, started))
        followed = engine.now
        at = started
        for attempt in count(1):
            at += wait(setup.pace, at - started, seed=f"{number}.{attempt}")
            if at < followed:
                continue
            # Whoever is told of an end looks at once.
            yield max(0.0, (min(at, ends) if ends == setup.together else at) - engine.now)
            yield replica, self._cpu(read * _UNTIL_ASKED)
            asked = engine.now
            yield setup.upstream
            yield replica, self._cpu(read * (1 - _UNTIL_ASKED))
            self.reads += 1
            if asked >= ends:
                break
            at = engine.now
        yield setup.upstream
        yield from self._answer(replica, store)
        if ends == setup.together:
            self.all_answered = engine.now

    def _answer(self, replica: Fifo, store: Bulk) -> Process:
        ended = self.engine.now
        rest = self.costs.replica.job * (1 - _UNTIL_CREATED - _UNTIL_INTENDED - _UNTIL_SENT)
        yield replica, self._cpu(rest / 2)
        yield self.setup.network
        yield store, self.costs.store.script * MICRO
        yield replica, self._cpu(rest / 2)
        self.answers.append(self.engine.now - ended)

    def beat(self, replica: Fifo) -> Process:
        """A replica's heartbeats, and with them all that it does for no job."""
        yield self.random.random() / BEATS
        while True:
            yield replica, self.costs.replica.idle * MICRO / BEATS
            yield self.stores[0], self.costs.store.script * MICRO
            yield 1 / BEATS

    def expiries(self, rate: float) -> Process:
        """What has been kept for long enough goes away, at a store server, ten times a second (Redis' `hz`)."""
        while True:
            for store in self.stores:
                yield store, rate / len(self.stores) / 10 * self.costs.store.expire * MICRO
            yield 0.1

    def take_over(self, taker: Fifo, rows: list[tuple[float, float]]) -> Process:
        """What one replica does about a dead one: it looks everywhere, and takes its part (starts and durations)."""
        yield self.stores[0], self.costs.store.look * MICRO
        for begin in range(0, len(rows), _ROWS):
            batch = rows[begin : begin + _ROWS]
            yield self.setup.network
            for store in self.stores:
                yield store, self.costs.store.take * MICRO * len(batch) / len(self.stores)
            for first in range(0, len(batch), _STEP):
                some = batch[first : first + _STEP]
                yield taker, self.costs.replica.take * MICRO * len(some)
                for started, duration in some:
                    self.engine.resume(self.earlier(taker, started, duration))
        self.all_taken = self.engine.now

    def _turn(self) -> tuple[float, float]:
        store, setup = self.costs.store, self.setup
        if not setup.always:
            return store.turn * MICRO, 0.0
        disk = self.random.choice(store.fsync) * MILLI if setup.fsync is None else setup.fsync
        return store.turn_always * MICRO + disk, disk

    def _cpu(self, microseconds: float) -> float:
        return microseconds * MICRO * self._shape[int(self.random.random() * len(self._shape))]


def wait(pace: Pace, age: float, *, seed: str) -> float:
    """Return how long (seconds) the gateway waits to read the status of a job of this age."""
    return jittered(poll_interval(int(age * 1000), pace), seed) / 1000
