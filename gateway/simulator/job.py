"""A job: what is known of one execution, and the calls that are held for it."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

from gateway.simulator.arguments import Arguments
from gateway.simulator.catalog import Process

STATES = (
    "Pending",
    "Running",
    "Stopping",
    "Terminating",
    "Faulted",
    "Successful",
    "Stopped",
    "Suspended",
    "Resumed",
)
"""Orchestrator's states of a job, in the order of their numbers; the simulator's jobs are never suspended."""

FROM_TRIGGER = "HttpTrigger"
"""The source type of a job that an API trigger started."""


class Strategy(enum.IntEnum):
    """How a job is stopped, by Orchestrator's numbers."""

    SOFT_STOP = 1
    """The process is asked to stop, and does so when it looks."""
    KILL = 2


@dataclass(slots=True, eq=False)
class Job:
    """One execution. Times are loop times; `ended_at` is None while the job runs.

    `id` is 32 hex digits and `number` Orchestrator's integer. The job is created at `started_at` and runs from
    `runs_at`. `mode` is the call mode of its trigger, or empty where `StartJobs` started it (the only start with a
    `reference` or an `input_file`); `source` is who started it, as Orchestrator's source type.

    `stop` is how the job was asked to stop, `stopped` whether it ended of that. `reads` counts the calls to its status
    and output URIs and the reads of it in the Jobs API, `hops` the redirects that its long polls have had, `faults` the
    reads that went wrong because its arguments asked for it.
    """

    id: str
    number: int
    process: Process
    base: str
    mode: str
    arguments: Arguments
    started_at: float
    runs_at: float
    source: str = FROM_TRIGGER
    reference: str | None = None
    input_file: str | None = None
    stop: Strategy | None = None
    stopped: bool = False
    ended_at: float | None = None
    reads: int = 0
    hops: int = 0
    output_reads: int = 0
    faults: int = 0
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    holds: list[asyncio.Future[None]] | None = field(default=None, repr=False)

    @property
    def slug(self) -> str:
        """The slug of the trigger, which is the name of the process."""
        return self.process.name

    @property
    def key(self) -> str:
        """The id as Orchestrator writes it: a GUID."""
        return f"{self.id[:8]}-{self.id[8:12]}-{self.id[12:16]}-{self.id[16:20]}-{self.id[20:]}"

    @property
    def ended(self) -> bool:
        """Whether the job has come to its end, in success or failure."""
        return self.ended_at is not None

    @property
    def failed(self) -> bool:
        """Whether the job faults at its end, unless it is stopped before."""
        return self.arguments.text("fail") is not None

    def state(self, now: float) -> str:
        """Return the state at a loop time: one of `STATES`."""
        if self.ended:
            return "Stopped" if self.stopped else "Faulted" if self.failed else "Successful"
        if self.stop is not None:
            return "Terminating" if self.stop is Strategy.KILL else "Stopping"
        return "Pending" if now < self.runs_at else "Running"

    def count_fault(self, change: int) -> None:
        """Count a read that goes wrong as the job's arguments asked (+1), or does not after all (-1)."""
        self.faults += change

    async def wait(self, seconds: float) -> bool:
        """Hold the caller until the job ends, but no longer than `seconds`; return whether it has ended."""
        if self.ended or seconds <= 0:
            return self.ended
        loop = asyncio.get_running_loop()
        hold: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, release, hold)
        self.holds = self.holds or []
        self.holds.append(hold)
        try:
            await hold
        finally:
            timer.cancel()
            self.holds.remove(hold)
        return self.ended

    def let_go(self) -> None:
        """Release every held call, whether the job has ended or not."""
        for hold in self.holds or ():
            release(hold)


def release(hold: asyncio.Future[None]) -> None:
    """Complete a held call's future, unless its caller has gone already."""
    if not hold.done():
        hold.set_result(None)
