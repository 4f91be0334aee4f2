"""The jobs of the tenant, and their clock.

A job is a small record and one timer on the event loop, never a task, so that tens of thousands can run at once; a
held call is a future in its job's record. Time is the running loop's own (`loop.time`, `loop.call_at`), which makes
the whole simulator follow a loop whose time is virtual.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType

from gateway.simulator.arguments import Arguments


@dataclass(slots=True, eq=False)
class Job:
    """One execution. Times are loop times; `ended_at` is None while the job runs.

    `reads` counts the calls to its status and output URIs, `hops` the redirects that its long polls have had, `faults`
    the reads that went wrong because its arguments asked for it.
    """

    id: str
    slug: str
    base: str
    mode: str
    arguments: Arguments
    started_at: float
    ended_at: float | None = None
    reads: int = 0
    hops: int = 0
    output_reads: int = 0
    faults: int = 0
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    holds: list[asyncio.Future[None]] | None = field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """Whether the job has come to its end, in success or failure."""
        return self.ended_at is not None

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


class JobTable:
    """Every job of the tenant, by id.

    `starts_by_argument` counts the start requests seen for each correlation tag, `jobs_by_argument` the jobs that
    came of them, and `ended_at` has the loop time at which the tag's (last) job ended; they are kept until `clear`.
    `on_end`, if given, is called with each job as it ends.
    """

    def __init__(self, *, retention: float, seed: int, on_end: Callable[[Job], None] | None = None) -> None:
        self.starts_by_argument: Counter[str] = Counter()
        self.jobs_by_argument: Counter[str] = Counter()
        self.ended_at: dict[str, float] = {}
        self.running = 0
        self._jobs: dict[str, Job] = {}
        self._ended: deque[Job] = deque()
        self._retention = retention
        self._random = Random(seed)  # noqa: S311 - ids that repeat with the seed; the links to them are signed
        self._on_end = on_end

    @property
    def by_id(self) -> Mapping[str, Job]:
        """The jobs that still have a record, by id."""
        return MappingProxyType(self._jobs)

    def count_start(self, arguments: Arguments) -> None:
        """Count a start by its correlation tag, whether a job will come of it or not."""
        if arguments.tag is not None:
            self.starts_by_argument[arguments.tag] += 1

    def start(self, *, slug: str, base: str, mode: str, arguments: Arguments, duration: float) -> Job:
        """Create a job that ends `duration` seconds from now (at once, if that is not positive)."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._forget(now)
        job = Job(f"{self._random.getrandbits(128):032x}", slug, base, mode, arguments, now)
        self._jobs[job.id] = job
        self.running += 1
        if arguments.tag is not None:
            self.jobs_by_argument[arguments.tag] += 1
        if duration > 0:
            job.timer = loop.call_at(now + duration, self.end, job)
        else:
            self.end(job)
        return job

    def end(self, job: Job) -> None:
        """End a running job now and release whoever is held on it."""
        if job.ended:
            return
        now = asyncio.get_running_loop().time()
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        job.ended_at = now
        self.running -= 1
        self._ended.append(job)
        if job.arguments.tag is not None:
            self.ended_at[job.arguments.tag] = now
        job.let_go()
        if self._on_end is not None:
            self._on_end(job)

    def let_go(self) -> None:
        """Release every held call."""
        for job in self._jobs.values():
            job.let_go()

    def stop(self) -> None:
        """Stop the clock of every running job and release every held call; the records can still be looked at."""
        for job in self._jobs.values():
            if job.timer is not None:
                job.timer.cancel()
                job.timer = None
            job.let_go()

    def clear(self) -> None:
        """Stop and forget every job, and every count."""
        self.stop()
        self._jobs.clear()
        self._ended.clear()
        self.running = 0
        self.starts_by_argument.clear()
        self.jobs_by_argument.clear()
        self.ended_at.clear()

    def _forget(self, now: float) -> None:
        """Drop the records whose retention is over; `_ended` is in order of end."""
        while self._ended and (self._ended[0].ended_at or 0.0) + self._retention < now:
            self._jobs.pop(self._ended.popleft().id, None)
