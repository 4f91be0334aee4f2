"""What one job takes of each machine, as measured: the only figures of this package that are not arithmetic."""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE = Path(__file__).parent.parent / "results" / "scale-costs.json"

SCRIPTS = 4
"""Of a job, at the store: it is created, its start is intended, answered, and it has ended."""


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    cpu: str
    cpus: int
    python: str
    redis: str


class StoreCosts(msgspec.Struct, frozen=True):
    """Of a Redis server. CPU is microseconds of all its threads, with `appendfsync everysec` where nothing is said."""

    scripts: float
    """How many scripts a job had run; those that now and then concern many jobs are counted by their part."""
    script: float
    """One of a job's four, without what a turn of the server's loop takes besides."""
    turn: float
    """A turn of the loop: sockets asked, read and written, the log written."""
    turn_always: float
    """The same with `appendfsync always`, the wait for the disk not counted."""
    fsync: list[float]
    """Milliseconds that the disk took, as 20 quantiles in rising order."""
    look: float
    """A look for rows of one dead replica in all 256 partitions."""
    take: float
    """Taking one row over, all commands that it needs."""
    expire: float
    """The going away of one job's three keys."""
    live: float
    """Bytes of memory of a job that runs, its start answered."""
    ended: float
    """Bytes of one that has ended, with an outcome of 1 KiB; its tombstone not counted."""
    tombstone: float
    """Bytes of what is left of it after `retention`."""
    key: float
    """Bytes of an Idempotency-Key, which lives as long as the tombstone."""
    log: float
    """Bytes that a job adds to the append-only file."""
    wire: float
    """Bytes between replicas and store for a job, both ways."""

    @property
    def job(self) -> float:
        """CPU of one job's scripts, each in a turn of its own, and of its expiry."""
        return SCRIPTS * (self.script + self.turn) + self.expire


class ReplicaCosts(msgspec.Struct, frozen=True):
    """Of a gateway's process. CPU is microseconds, memory KiB."""

    job: float
    """A whole blocking call but for the reads of its status."""
    read: float
    """One read of its status."""
    idle: float
    """CPU a second while nothing happens: heartbeats and timers."""
    take: float
    """Following one more job of a dead replica."""
    parked: float
    """Memory of a blocked caller and its job."""
    followed: float
    """Memory of a followed job that nobody waits for."""
    shape: list[float]
    """How a job's CPU is spread: 20 quantiles, in rising order, as parts of the mean."""


class Costs(msgspec.Struct, frozen=True):
    """All of them."""

    machine: Machine
    store: StoreCosts
    replica: ReplicaCosts


def load(path: Path = FILE) -> Costs:
    """Return what was measured."""
    return msgspec.json.decode(path.read_bytes(), type=Costs)


def save(costs: Costs, path: Path = FILE) -> None:
    """Keep what was measured."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
