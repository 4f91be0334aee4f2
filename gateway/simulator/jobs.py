"""The jobs of the tenant, and their clock.

A job is a small record and one timer on the event loop, never a task, so that tens of thousands can run at once; a
held call is a future in its job's record. Time is the running loop's own (`loop.time`, `loop.call_at`), which makes
the whole simulator follow a loop whose time is virtual.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from gateway.simulator.arguments import Arguments
from gateway.simulator.catalog import Process
from gateway.simulator.job import FROM_TRIGGER, STATES, Job, Strategy


class JobTable:
    """Every job of the tenant, by id.

    `starts_by_argument` counts the start requests seen for each correlation tag, `jobs_by_argument` the jobs that
    came of them; `starts_by_reference` and `jobs_by_reference` do so for each reference given to `StartJobs`;
    `ended_at` has the loop time at which the tag's (last) job ended. All are kept until `clear`.
    `on_start` and `on_end`, if given, are called with each job as it is created and as it ends.
    """

    def __init__(
        self,
        *,
        retention: float,
        seed: int,
        on_start: Callable[[Job], None] | None = None,
        on_end: Callable[[Job], None] | None = None,
    ) -> None:
        self.starts_by_argument: Counter[str] = Counter()
        self.jobs_by_argument: Counter[str] = Counter()
        self.starts_by_reference: Counter[str] = Counter()
        self.jobs_by_reference: Counter[str] = Counter()
        self.ended_at: dict[str, float] = {}
        self.running = 0
        self._jobs: dict[str, Job] = {}
        self._by_number: dict[int, Job] = {}
        self._last_number = 0
        self._ended: deque[Job] = deque()
        self._retention = retention
        self._random = Random(seed)  # noqa: S311 - ids that repeat with the seed; the links to them are signed
        self._on_start = on_start
        self._on_end = on_end

    @property
    def by_id(self) -> Mapping[str, Job]:
        """The jobs that still have a record, by id."""
        return MappingProxyType(self._jobs)

    @property
    def by_number(self) -> Mapping[int, Job]:
        """The jobs that still have a record, by Orchestrator's integer id."""
        return MappingProxyType(self._by_number)

    def count_start(self, arguments: Arguments, reference: str | None = None) -> None:
        """Count a start by its correlation tag and its reference, whether a job will come of it or not."""
        if arguments.tag is not None:
            self.starts_by_argument[arguments.tag] += 1
        if reference is not None:
            self.starts_by_reference[reference] += 1

    def start(
        self,
        *,
        process: Process,
        base: str,
        mode: str,
        arguments: Arguments,
        duration: float,
        pending: float = 0.0,
        source: str = FROM_TRIGGER,
        reference: str | None = None,
        input_file: str | None = None,
    ) -> Job:
        """Create a job that runs `pending` seconds from now, and ends `duration` seconds later (0 and 0: at once)."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._forget(now)
        self._last_number += 1
        job = Job(
            f"{self._random.getrandbits(128):032x}",
            self._last_number,
            process,
            base,
            mode,
            arguments,
            now,
            now + pending if pending > 0 else now,
            source,
            reference,
            input_file,
        )
        self._add(job)
        if self._on_start is not None:
            self._on_start(job)
        ends_at = job.runs_at + duration
        if ends_at > now:
            job.timer = loop.call_at(ends_at, self.end, job)
        else:
            self.end(job)
        return job

    def end(self, job: Job, *, stopped: bool = False) -> None:
        """End a running job now, by itself or because it was stopped, and release whoever is held on it."""
        if job.ended:
            return
        now = asyncio.get_running_loop().time()
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        job.ended_at = now
        job.stopped = stopped
        self.running -= 1
        self._ended.append(job)
        if job.arguments.tag is not None:
            self.ended_at[job.arguments.tag] = now
        job.let_go()
        if self._on_end is not None:
            self._on_end(job)

    def ask_to_stop(self, job: Job, strategy: Strategy, delay: float) -> None:
        """Stop a job `delay` seconds from now, unless it ends by itself before; one that is pending stops at once.

        A soft stop of a job whose arguments say `ignoreStop` leaves it Stopping until it ends by itself. A kill goes
        over an earlier soft stop, and never the other way round.
        """
        if job.ended or (job.stop is not None and strategy <= job.stop):
            return
        loop = asyncio.get_running_loop()
        pending = job.state(loop.time()) == STATES[0]
        job.stop = strategy
        if pending:
            self.end(job, stopped=True)
            return
        at = loop.time() + delay
        ignored = strategy is Strategy.SOFT_STOP and job.arguments.flag("ignoreStop")
        if job.timer is not None and not ignored and at < job.timer.when():
            job.timer.cancel()
            job.timer = loop.call_at(at, functools.partial(self.end, job, stopped=True))

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
        self._by_number.clear()
        self._ended.clear()
        self.running = 0
        self.starts_by_argument.clear()
        self.jobs_by_argument.clear()
        self.starts_by_reference.clear()
        self.jobs_by_reference.clear()
        self.ended_at.clear()

    def _add(self, job: Job) -> None:
        """Note a new job, and count it by its tag and its reference."""
        self._jobs[job.id] = job
        self._by_number[job.number] = job
        self.running += 1
        if job.arguments.tag is not None:
            self.jobs_by_argument[job.arguments.tag] += 1
        if job.reference is not None:
            self.jobs_by_reference[job.reference] += 1

    def _forget(self, now: float) -> None:
        """Drop the records whose retention is over; `_ended` is in order of end."""
        while self._ended and (self._ended[0].ended_at or 0.0) + self._retention < now:
            job = self._ended.popleft()
            self._jobs.pop(job.id, None)
            self._by_number.pop(job.number, None)
