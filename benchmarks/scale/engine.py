"""A discrete-event engine: virtual time, processes that are generators, and two kinds of servers they queue at.

A process yields what it waits for: a float (seconds that pass), or a visit to a server. Nothing here knows of jobs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

Visit = tuple["Server", float]
"""A server, and how long (seconds) it is needed."""
Process = Generator[float | Visit, None, None]


class Server(Protocol):
    """What a process can visit."""

    def join(self, process: Process, service: float) -> None:
        """Resume `process` once it has been served."""
        ...


class Engine:
    """Runs processes. `now` is seconds since the beginning, which may be negative for what came before."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Process | Callable[[], None]]] = []
        self._count = 0

    def at(self, time: float, what: Process | Callable[[], None]) -> None:
        """Resume a process, or call a function, at `time`; of one time, in the order in which they were given."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, what))

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, what = heapq.heappop(events)
            if callable(what):
                what()
            else:
                self.resume(what)
        self.now = until

    def resume(self, process: Process) -> None:
        """Let a process go on to where it waits next."""
        wanted = next(process, None)
        if wanted is None:
            return
        if isinstance(wanted, float):
            self.at(self.now + wanted, process)
        else:
            server, service = wanted
            server.join(process, service)


class Fifo:
    """One server that serves one at a time, in order of arrival: an event loop on its core.

    By Lindley's recursion the end of a visit is known when it begins, so a queue needs no list.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free_at = 0.0
        self.busy = 0.0
        """Seconds of service given out."""
        self.waited: list[float] = []
        """What each visit waited for its service to begin."""

    def join(self, process: Process, service: float) -> None:
        """See `Server`."""
        now = self._engine.now
        begins = max(now, self._free_at)
        self._free_at = begins + service
        self.busy += service
        self.waited.append(begins - now)
        self._engine.at(self._free_at, process)

    @property
    def backlog(self) -> float:
        """Seconds until all who are here have been served."""
        return max(0.0, self._free_at - self._engine.now)


class Bulk:
    """One server that serves all who wait together, and lets them go together.

    Such is Redis: it reads every socket that has something, runs the commands, writes its log once, with
    `appendfsync always` to the disk, and then answers.

    `each_time` gives the seconds that a turn takes besides its services, and how many of them are no CPU.
    """

    def __init__(self, engine: Engine, each_time: Callable[[], tuple[float, float]]) -> None:
        self._engine = engine
        self._each_time = each_time
        self._waiting: list[tuple[Process, float, float]] = []
        self._serving: list[tuple[Process, float, float]] = []
        self._paused_until = 0.0
        self.busy = 0.0
        """Seconds that it was not idle."""
        self.cpu = 0.0
        """The part of them that is CPU."""
        self.turns = 0
        self.took: list[float] = []
        """What each visit took, waiting and service."""

    def join(self, process: Process, service: float) -> None:
        """See `Server`."""
        self._waiting.append((process, service, self._engine.now))
        if not self._serving:
            self._begin()

    @property
    def backlog(self) -> float:
        """Seconds of service that are asked for and not yet begun."""
        return sum(service for _, service, _ in self._waiting)

    def pause(self, until: float) -> None:
        """Begin no turn before `until`."""
        self._paused_until = until

    def _begin(self) -> None:
        self._serving, self._waiting = self._waiting, []
        extra, idle = self._each_time()
        service = sum(each for _, each, _ in self._serving) + extra
        self.turns += 1
        self.busy += service
        self.cpu += service - idle
        self._engine.at(max(self._engine.now, self._paused_until) + service, self._end)

    def _end(self) -> None:
        served, self._serving = self._serving, []
        self.took += [self._engine.now - since for _, _, since in served]
        for process, _, _ in served:
            self._engine.resume(process)
        if self._waiting and not self._serving:
            self._begin()


def arrivals(engine: Engine, times: Iterator[float], make: Callable[[float], Process]) -> None:
    """Begin a process at each of `times`, which are in order; only the next one is ever kept."""

    def arrive() -> None:
        engine.resume(make(engine.now))
        schedule()

    def schedule() -> None:
        if (time := next(times, None)) is not None:
            engine.at(time, arrive)

    schedule()
