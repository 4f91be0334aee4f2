"""The feed: whoever waits for a job on this replica waits here, on one topic a job, whatever their number.

A topic holds the newest record it was offered. Publishing wakes all waiters; it costs nothing where nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, KeysView
from contextlib import contextmanager

from gateway.core.job import Job


class Topic:
    """What is known here of one job, and who waits for more."""

    __slots__ = ("_waiters", "body", "job", "subscribers")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.body: bytes | None = None
        """The outcome's body, if the end was seen here."""
        self.subscribers = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def offer(self, job: Job, body: bytes | None = None) -> None:
        """Take `job` over if it is newer, and wake all waiters."""
        if self.job is not None and job.revision <= self.job.revision:
            return
        self.job = job
        self.body = body
        self.wake()

    def wake(self) -> None:
        """Wake all waiters."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def changed(self, timeout: float) -> bool:
        """Wait for the next newer record, for `timeout` seconds at most. Return whether one came."""
        if timeout <= 0:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True


class Feed:
    """The topics of this replica."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}

    @contextmanager
    def subscribed(self, job_id: str) -> Iterator[Topic]:
        """Give the job's topic, which lives as long as anybody is subscribed."""
        topic = self._topics.setdefault(job_id, Topic())
        topic.subscribers += 1
        try:
            yield topic
        finally:
            topic.subscribers -= 1
            if topic.subscribers == 0:
                del self._topics[job_id]

    def wake_all(self) -> None:
        """Wake every waiter though nothing has changed: there is something else to consider."""
        for topic in self._topics.values():
            topic.wake()

    def publish(self, job: Job, body: bytes | None = None) -> None:
        """Offer `job` to whoever waits for it."""
        topic = self._topics.get(job.id)
        if topic is not None:
            topic.offer(job, body)

    @property
    def topics(self) -> KeysView[str]:
        """The jobs that somebody waits for, as they are at any time."""
        return self._topics.keys()
