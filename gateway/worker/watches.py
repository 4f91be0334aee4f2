"""Watching jobs that any replica follows: local ones through the feed alone, others woken by the store.

A wake-up is only a hint: what is answered is always read from the store, and whenever messages may have been lost,
everything watched is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import Any, Self

from gateway.core.errors import JobExpired, NotFound
from gateway.core.job import Job
from gateway.store.port import Gone, Hint, Left, Store, StoreDown
from gateway.worker import outages
from gateway.worker.clock import Clock
from gateway.worker.feed import Feed, Matters, Topic, anything
from gateway.worker.tasks import Tasks

_AGAIN = 0.5
"""Seconds between tries to listen or to read again."""

_BATCH = 500
"""Jobs that the store is asked about in one go."""

_SEEK = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between looks for a job that the store does not know any more; the last one repeats."""

NOT_FOUND = "no job has this id, or it is not yours"


class Watch:
    """One caller's view of one job, while its `async with` block lasts. `job` is the newest record that it may see.

    `find` gives the record as it is now, or raises.
    """

    __slots__ = ("_clock", "_find", "_job_id", "_subscription", "_topic")

    def __init__(self, feed: Feed, clock: Clock, job_id: str, find: Callable[[str], Awaitable[Job]]) -> None:
        self._clock = clock
        self._job_id = job_id
        self._find = find
        self._subscription = feed.subscribed(job_id)
        self._topic: Topic

    async def __aenter__(self) -> Self:
        self._topic = self._subscription.__enter__()
        try:
            # Subscribed before it is read: what comes in between is not missed.
            self._topic.offer(await self._find(self._job_id))
        except BaseException:
            self._subscription.__exit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._subscription.__exit__()

    @property
    def job(self) -> Job:
        """The newest record."""
        assert self._topic.job is not None, "a watch is opened with a record"
        return self._topic.job

    @property
    def body(self) -> bytes | None:
        """The outcome's body, if the job's end was seen by this replica."""
        return self._topic.body

    def changed(self, until: int, matters: Matters = anything) -> Coroutine[Any, Any, bool]:
        """Wait for a newer record that `matters` until `until` (ms of the store's time). Return whether one came."""
        return self._topic.changed((until - self._clock.now()) / 1000, matters)


class Watches:
    """Opens watches. `followed` gives the record of a job that this replica follows, `me` its incarnation.

    `heed` has this replica do what was asked of jobs that it follows (None: of all of them), `hinted` is told of hints,
    `left` that another replica has gone.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        clock: Clock,
        tasks: Tasks,
        *,
        followed: Callable[[str], Job | None],
        me: Callable[[], str],
        heed: Callable[[Sequence[str] | None], Awaitable[None]],
        hinted: Callable[[Hint], None],
        left: Callable[[], None],
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._tasks = tasks
        self._followed = followed
        self._me = me
        self._heed = heed
        self._hinted = hinted
        self._left = left
        self._listening: asyncio.Task[None] | None = None
        self._sought: set[str] = set()
        """Jobs that somebody here waits for, and the store does not know."""

    def open(self, job_id: str) -> Watch:
        """Watch a job, in an `async with` block. Entering it raises `NotFound`, `JobExpired`, `JobUnavailable`."""
        return Watch(self._feed, self._clock, job_id, self._find)

    async def _find(self, job_id: str) -> Job:
        return self._followed(job_id) or await self._from_store(job_id)

    async def _from_store(self, job_id: str) -> Job:
        with outages.told(job_id):
            found = await self._store.watch(job_id, self._me())
        return present(found, job_id)

    async def body(self, job: Job) -> bytes:
        """Return the body of an ended job's outcome. Raises `JobExpired`, `JobUnavailable`."""
        with outages.told(job.id):
            body = await self._store.read_body(job.id)
        if body is None:
            raise JobExpired(job_id=job.id)
        return body

    def resume(self, job_id: str) -> None:
        """Have the store wake those who wait here for a job that another replica now follows."""
        if job_id in self._feed.topics:
            self._tasks.spawn(self._resume(job_id), name=f"watch {job_id}")

    async def _resume(self, job_id: str) -> None:
        while job_id in self._feed.topics:
            with suppress(StoreDown):
                await self._read_again([job_id])
                return
            await asyncio.sleep(_AGAIN)

    def resume_all(self) -> None:
        """The same for all jobs, after this replica's incarnation has changed: it listens under its new name."""
        if self._listening is not None:
            self._listening.cancel()

    async def _read_again(self, job_ids: Sequence[str]) -> None:
        """Read what somebody waits for here and another replica follows, many at a time.

        Raises `StoreDown` once all that can be read has been: some may be on a shard that is away, or of a later
        version.
        """
        failure: BaseException | None = None
        elsewhere = [each for each in job_ids if each in self._feed.topics and self._followed(each) is None]
        for begin in range(0, len(elsewhere), _BATCH):
            some = elsewhere[begin : begin + _BATCH]
            found = await asyncio.gather(
                *(self._store.watch(job_id, self._me()) for job_id in some), return_exceptions=True
            )
            for job_id, record in zip(some, found, strict=True):
                if isinstance(record, BaseException):
                    failure = record
                else:
                    self._take(job_id, record)
        if failure is not None:
            raise failure

    def _take(self, job_id: str, found: Job | Gone) -> None:
        if isinstance(found, Job):
            self._feed.publish(found)
        elif found is Gone.NEVER and job_id not in self._sought:
            # There was one. A store that forgot it gets it back from its follower, and knows no watchers then.
            self._sought.add(job_id)
            self._tasks.spawn(self._seek(job_id), name=f"seek {job_id}")

    async def _seek(self, job_id: str) -> None:
        try:
            for pause in chain(_SEEK, repeat(_SEEK[-1])):
                await asyncio.sleep(pause)
                if job_id not in self._feed.topics or self._followed(job_id) is not None:
                    return
                with suppress(StoreDown):
                    found = await self._store.watch(job_id, self._me())
                    if isinstance(found, Job):
                        self._feed.publish(found)
                    if found is not Gone.NEVER:
                        return
        finally:
            self._sought.discard(job_id)

    async def listen(self) -> None:
        """Pass the store's wake-ups on to the feed, until cancelled."""
        while True:
            turn = self._listening = self._tasks.spawn(self._listen_as(self._me()), name="wake-ups")
            try:
                await asyncio.wait({turn})
            finally:
                turn.cancel()
            if not turn.cancelled():
                await asyncio.sleep(_AGAIN)

    async def _listen_as(self, me: str) -> None:
        """Listen under one name until it is another, or until something was not heard or not read: then begin anew."""
        told = _Told()
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_told(told))
                await self._hear(me, told)
                reading.cancel()
        except* StoreDown:
            pass

    async def _hear(self, me: str, told: _Told) -> None:
        async for wake in self._store.wakes(me):
            if me != self._me():
                return
            match wake:
                case None:
                    await _both(self._read_again(list(self._feed.topics)), self._heed(None))
                case Hint():
                    self._hinted(wake)
                case Left():
                    self._left()
                case job_id:
                    told.add(job_id)

    async def _read_told(self, told: _Told) -> None:
        """Read what wake-ups are about, and together what came meanwhile.

        So a thousand jobs that end at once are some round trips to the store, and not a thousand.
        """
        while True:
            job_ids = await told.all()
            # Of one that is not followed here yet, the follower keeps in mind that it was told.
            await self._heed(job_ids)
            await self._read_again(job_ids)


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Wait for both, and then raise what either raised."""
    for failure in await asyncio.gather(one, other, return_exceptions=True):
        if failure is not None:
            raise failure


class _Told:
    """Jobs that wake-ups were about, each once, until they are asked for."""

    def __init__(self) -> None:
        self._job_ids: dict[str, None] = {}
        self._some = asyncio.Event()

    def add(self, job_id: str) -> None:
        self._job_ids[job_id] = None
        self._some.set()

    async def all(self) -> list[str]:
        await self._some.wait()
        self._some.clear()
        job_ids, self._job_ids = list(self._job_ids), {}
        return job_ids


def present(found: Job | Gone, job_id: str) -> Job:
    """Return the record that was found. Raises `JobExpired` for a tombstone, else `NotFound`."""
    if isinstance(found, Job):
        return found
    if found is Gone.TOMBSTONE:
        over = "its outcome was kept for the route's retention, which is over, or it was erased"
        raise JobExpired(over, job_id=job_id)
    raise NotFound(NOT_FOUND)
