"""The feed: whoever waits for a job on this replica waits here, on one topic a job, whatever their number.

A topic holds the newest record it was offered. Publishing wakes all waiters; it costs nothing where nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, KeysView

from gateway.core.job import Job

Matters = Callable[[Job], bool]
"""Whether a record is news to a waiter. Called by whoever publishes it: quick, and without effect."""


def anything(_job: Job) -> bool:
    """Every record is news."""
    return True


class Topic:
    """What is known here of one job, and who waits for more."""

    __slots__ = ("_waiters", "body", "job", "subscribers")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.body: bytes | None = None
        """The outcome's body, if the end was seen here."""
        self.subscribers = 0
        self._waiters: dict[asyncio.Future[bool], Matters] = {}

    def offer(self, job: Job, body: bytes | None = None) -> None:
        """Take `job` over if it is newer, and wake the waiters to whom it matters."""
        if self.job is not None and job.revision <= self.job.revision:
            return
        self.job = job
        self.body = body
        # Most changes on a job's way are nothing to a caller who waits for its end: asking is cheaper than waking.
        for waiter, matters in self._waiters.items():
            if waiter.done():
                continue
            try:
                news = matters(job)
            except Exception:  # noqa: BLE001 - a defect of the waiter's: it meets it again when it looks for itself
                news = True
            if news:
                waiter.set_result(True)

    def wake(self) -> None:
        """Wake all waiters."""
        for waiter in self._waiters:
            _end(waiter, news=True)

    async def changed(self, timeout: float, matters: Matters = anything) -> bool:
        """Wait for the next newer record that matters, for `timeout` seconds at most. Return whether one came."""
        if timeout <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = matters
        # A bare timer: `asyncio.timeout` costs ten times as much, and every caller waits here.
        timer = loop.call_later(timeout, _end, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]


def _end(waiter: asyncio.Future[bool], *, news: bool = False) -> None:
    if not waiter.done():
        waiter.set_result(news)


class _Subscription:
    """Holds a job's topic open."""

    __slots__ = ("_job_id", "_topics")

    def __init__(self, topics: dict[str, Topic], job_id: str) -> None:
        self._topics = topics
        self._job_id = job_id

    def __enter__(self) -> Topic:
        topic = self._topics.get(self._job_id)
        if topic is None:
            topic = self._topics[self._job_id] = Topic()
        topic.subscribers += 1
        return topic

    def __exit__(self, *_error: object) -> None:
        topic = self._topics[self._job_id]
        topic.subscribers -= 1
        if topic.subscribers == 0:
            del self._topics[self._job_id]


class Feed:
    """The topics of this replica."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}

    def subscribed(self, job_id: str) -> _Subscription:
        """Give the job's topic to a `with` block; it lives as long as anybody is subscribed."""
        return _Subscription(self._topics, job_id)

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
