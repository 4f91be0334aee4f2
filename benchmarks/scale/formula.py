"""The arithmetic: what jobs a day take, in what they fill one machine, and how many machines hold them."""

from __future__ import annotations

import math

import msgspec

from benchmarks.scale.costs import Costs

DAY = 86_400.0
GIB = 2.0**30
MICRO = 1e-6

FULL = 0.6
"""How much of a core is planned for at the peak: beyond it queues grow faster than load, and a replica may die."""


class Workload(msgspec.Struct, frozen=True):
    """What is asked of an installation. The defaults are those of the gateway, and a minute's job."""

    jobs: float
    """A day."""
    peak: float = 5.0
    """The busiest minutes' rate, as a multiple of the mean."""
    duration: float = 60.0
    """Seconds that a job runs, in the mean."""
    reads: float = 6.0
    """Status reads of a job (of a long-poll: legs)."""
    blocked: float = 1.0
    """The part of the callers that wait on a connection."""
    keyed: float = 0.0
    """The part of the calls that carry an Idempotency-Key."""
    retention: float = 1.0
    """Days that an outcome is kept."""
    tombstone: float = 30.0
    """Days after that."""

    @property
    def mean_rate(self) -> float:
        """Jobs a second."""
        return self.jobs / DAY

    @property
    def peak_rate(self) -> float:
        """Jobs a second, in the busiest minutes."""
        return self.mean_rate * self.peak

    @property
    def running(self) -> float:
        """Jobs that run at once at the peak (Little)."""
        return self.peak_rate * self.duration


class Machines(msgspec.Struct, frozen=True):
    """What one process, one server may use."""

    replica_memory: float = 2 * GIB
    replica_files: int = 20_000
    """Connections of one process."""
    store_memory: float = 24 * GIB
    """Of one server, a copy-on-write rewrite of its log not counted."""


class Needs(msgspec.Struct, frozen=True):
    """What a workload takes."""

    replica_cores: float
    """At the peak."""
    replica_memory: float
    """Bytes at the peak."""
    files: float
    """Connections of callers at the peak."""
    store_cores: float
    """At the peak, each script in a turn of its own: what is served together costs less."""
    store_memory: float
    """Bytes."""
    log: float
    """Bytes a second that the append-only files grow by at the peak."""
    wire: float
    """Bytes a second between replicas and store at the peak."""
    upstream_calls: float
    """A second, at the peak."""
    replicas: int
    """Processes that hold it."""
    stores: int
    """Servers that hold it."""
    stores_for: str
    """What these are needed for: CPU or memory."""


def replica_job(costs: Costs, workload: Workload) -> float:
    """Return the microseconds of CPU that a job takes of a replica: `job + reads * read`."""
    return costs.replica.job + workload.reads * costs.replica.read


def store_bytes(costs: Costs, workload: Workload) -> float:
    """Return the bytes of memory that each job a day keeps of the store: `rate * time kept * size`, over all sizes."""
    store = costs.store
    lives = workload.duration / DAY * workload.peak * store.live
    kept = workload.retention * (store.ended + store.tombstone)
    remembered = workload.tombstone * store.tombstone
    keys = workload.keyed * (workload.retention + workload.tombstone) * store.key
    return lives + kept + remembered + keys


def needs(costs: Costs, workload: Workload, machines: Machines | None = None) -> Needs:
    """Return what a workload takes, and how many machines hold it."""
    machines = machines or Machines()
    replica_cores = workload.peak_rate * replica_job(costs, workload) * MICRO
    store_cores = workload.peak_rate * costs.store.job * MICRO
    callers = workload.running * workload.blocked
    followed = workload.running - callers
    replica_memory = (callers * costs.replica.parked + followed * costs.replica.followed) * 1024
    store_memory = workload.jobs * store_bytes(costs, workload)
    replicas = max(replica_cores / FULL, replica_memory / machines.replica_memory, callers / machines.replica_files, 2)
    stores = {"CPU": store_cores / FULL, "memory": store_memory / machines.store_memory}
    most = max(stores, key=lambda name: stores[name])
    return Needs(
        replica_cores=replica_cores,
        replica_memory=replica_memory,
        files=callers,
        store_cores=store_cores,
        store_memory=store_memory,
        log=workload.peak_rate * costs.store.log,
        wire=workload.peak_rate * costs.store.wire,
        upstream_calls=workload.peak_rate * (1 + workload.reads + 1),
        replicas=math.ceil(replicas),
        stores=math.ceil(stores[most]),
        stores_for=most,
    )


class Wall(msgspec.Struct, frozen=True):
    """Where one machine is full."""

    what: str
    jobs: float
    """A day: at this many, the peak included."""


def walls(costs: Costs, workload: Workload, machines: Machines | None = None) -> list[Wall]:
    """Return at how many jobs a day each thing that one process or one server has runs out, the first one first."""
    machines = machines or Machines()
    rate = DAY / workload.peak
    memory = workload.duration * (
        workload.blocked * costs.replica.parked + (1 - workload.blocked) * costs.replica.followed
    )
    callers = workload.duration * workload.blocked
    found = [
        Wall("one replica's CPU", FULL * rate / (replica_job(costs, workload) * MICRO)),
        Wall("one replica's memory", machines.replica_memory / 1024 / memory * rate),
        Wall("one Redis server's CPU", FULL * rate / (costs.store.job * MICRO)),
        Wall("one Redis server's memory", machines.store_memory / store_bytes(costs, workload)),
    ]
    if callers:
        found.append(Wall("one replica's connections", machines.replica_files / callers * rate))
    return sorted(found, key=lambda wall: wall.jobs)


def mg1_wait(rate: float, services: list[float]) -> float:
    """Return the mean wait in a queue with Poisson arrivals and these equally likely services (Pollaczek-Khinchine)."""
    mean = sum(services) / len(services)
    second = sum(each * each for each in services) / len(services)
    return rate * second / (2 * (1 - rate * mean))
