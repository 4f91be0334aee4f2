"""The parent of several workers: has them serve, replaces those that die, and reloads them one by one.

It serves nobody itself. It holds what they share: the ports (`dealer`), and the store's server where that is embedded.
A worker is a whole replica, so the store knows it, and siblings take over from it, as from any other; only its death is
known sooner here than a lease runs out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from gateway.app.stop import Stop
from gateway.app.workers.dealer import Dealer
from gateway.app.workers.worker import Worker, WorkerFailed
from gateway.config import Config

_LIVES = 10.0
"""Seconds after which the death of a worker counts as the first in a row again."""

_AT_ONCE = 5
"""Deaths in a row after each of which the successor comes at once."""

_LONGEST_REST = 30.0
"""Seconds at most before the next one comes. The first rest is one second, and each is twice the last."""

_log = structlog.get_logger("gateway")

Spawn = Callable[[int, Config], Awaitable[Worker]]
"""Starts a worker's process under a number. Raises `WorkerFailed`."""


@dataclass
class _Place:
    """Where one worker serves after the other."""

    number: int
    worker: Worker | None = None
    since: float = 0.0
    deaths: int = 0
    """In a row, each soon after the worker's start."""
    filling: asyncio.Task[None] | None = field(default=None, repr=False)

    def rest(self) -> float:
        """Return how many seconds to wait before the next worker is started."""
        return 0.0 if self.deaths <= _AT_ONCE else min(2.0 ** (self.deaths - _AT_ONCE - 1), _LONGEST_REST)


class Supervisor:
    """Keeps `count` workers. `bury` is called once for every one that has ended otherwise than it should."""

    def __init__(
        self, config: Config, count: int, *, dealer: Dealer, spawn: Spawn, bury: Callable[[Worker], Awaitable[None]]
    ) -> None:
        self._config = config
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._dealer = dealer
        self._spawn = spawn
        self._bury = bury
        self._alive: set[Worker] = set()
        self._stopping = False
        self._reloading: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()

    async def run(self, stop: Stop, serving: Callable[[], None]) -> None:
        """Have workers serve until `stop`, then have them all drain. `serving` is called once callers are let in.

        They are when all have started: else those who come first, and stay, would all be the first worker's. Raises
        `WorkerFailed` if none comes to serve.
        """
        tried = await asyncio.gather(*(self._tried(place) for place in self._places))
        failures = [error for error in tried if isinstance(error, WorkerFailed)]
        if len(failures) == len(tried):
            raise failures[0]
        async with self._group:
            for place, worker in zip(self._places, tried, strict=True):
                if isinstance(worker, WorkerFailed):
                    self._failed(place, worker)
                    self._fill(place)
                else:
                    self._install(place, worker)
            self._dealer.listen()
            serving()
            stop.hastened = self._hasten
            await stop.asked.wait()
            self._stop()

    def reload(self, config: Config) -> None:
        """Begin to replace all workers by such with another configuration. One that is under way is given up for it."""
        if not self._stopping:
            former = self._reloading
            if former is not None:
                former.cancel()
            self._reloading = self._group.create_task(self._reload(config, former), name="reload")

    async def _reload(self, config: Config, former: asyncio.Task[None] | None) -> None:
        """Replace them one by one, each before its predecessor goes.

        If one does not come to serve, its predecessor stays, and so do those of the places after it.
        """
        if former is not None:
            await asyncio.wait([former])
        for place in self._places:
            try:
                await self._replace(place, config)
            except WorkerFailed as error:
                _log.error("reload given up", worker=place.number, error=str(error))
                return
        _log.info("reloaded", workers=len(self._places))

    def _stop(self) -> None:
        self._stopping = True
        for task in (self._reloading, *(place.filling for place in self._places)):
            if task is not None:
                task.cancel()
        for worker in self._alive:
            worker.tell("stop")

    def _hasten(self) -> None:
        for worker in self._alive:
            worker.tell("hasten")

    async def _tried(self, place: _Place) -> Worker | WorkerFailed:
        try:
            return await self._start(place, self._config)
        except WorkerFailed as error:
            return error

    async def _start(self, place: _Place, config: Config) -> Worker:
        """Start a worker and wait until it serves. Raises `WorkerFailed`."""
        worker = await self._spawn(place.number, config)
        try:
            await worker.served()
        except BaseException:
            await worker.kill()
            worker.channel.close()
            await self._bury(worker)
            raise
        return worker

    def _install(self, place: _Place, worker: Worker) -> None:
        place.worker, place.since = worker, asyncio.get_running_loop().time()
        self._alive.add(worker)
        self._dealer.add(worker.channel)
        self._group.create_task(self._attend(place, worker), name=f"worker {worker.number}")
        _log.info("worker serves", worker=worker.number, pid=worker.pid)

    async def _attend(self, place: _Place, worker: Worker) -> None:
        """See a worker to its end, and have another in its place where it should not have ended."""
        code = await worker.ended(leaving=lambda: self._relieve(place, worker))
        self._alive.discard(worker)
        self._dealer.remove(worker.channel)
        worker.channel.close()
        expected = self._stopping or place.worker is not worker
        (_log.info if expected else _log.error)("worker ended", worker=worker.number, pid=worker.pid, code=code)
        if not expected:
            place.worker = None
            lived = asyncio.get_running_loop().time() - place.since
            place.deaths = 1 if lived > _LIVES else place.deaths + 1
            self._fill(place)
        if code != 0:  # one that ended well has said so in the store itself
            await self._bury(worker)

    def _relieve(self, place: _Place, worker: Worker) -> None:
        """Retire a worker that somebody has told to go, and have another in its place."""
        if place.worker is worker and not self._stopping:
            place.worker = None
            self._retire(worker)
            self._fill(place)

    def _retire(self, worker: Worker) -> None:
        _log.info("worker retires", worker=worker.number, pid=worker.pid)
        self._dealer.remove(worker.channel)  # first: what was given before the order comes to it before the order
        worker.tell("retire")

    def _fill(self, place: _Place) -> None:
        place.filling = self._group.create_task(self._filled(place), name=f"place {place.number}")

    async def _filled(self, place: _Place) -> None:
        """Start workers until one serves."""
        while place.worker is None:
            await asyncio.sleep(place.rest())
            try:
                worker = await self._start(place, self._config)
            except WorkerFailed as error:
                self._failed(place, error)
            else:
                self._install(place, worker)

    def _failed(self, place: _Place, error: WorkerFailed) -> None:
        place.deaths += 1
        _log.error("worker failed", worker=place.number, error=str(error), again_in=place.rest())

    async def _replace(self, place: _Place, config: Config) -> None:
        """Start a successor, then retire who is there. Raises `WorkerFailed`."""
        successor = await self._start(place, config)
        self._config = config  # Now, for whoever comes in its place while its predecessor drains.
        former = place.worker
        if place.filling is not None:
            place.filling.cancel()
        place.deaths = 0
        self._install(place, successor)
        if former is not None:
            self._retire(former)
            await former.gone()
