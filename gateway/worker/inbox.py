"""What was asked of followed jobs, through any replica: read from the store when it is told of, and handed over.

A message says only that there is something to read. It may come a moment before this replica knows that it follows
the job: then it is read as soon as the job is followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from gateway.store.port import Requests, Store, StoreDown
from gateway.worker.tasks import Tasks

_TOLD_EARLY = 1_000
"""Jobs that are remembered so; it is a matter of milliseconds until one is followed."""
_ASK_AGAIN = 0.5
"""Seconds between tries to read what was asked of one."""

_BATCH = 500
"""Jobs that the store is asked about in one go."""


class Inbox:
    """Reads requests.

    `followed` are the ids of the jobs that are followed here, as they are at any time; `take` is given what was asked
    of one of them.
    """

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        *,
        followed: Collection[str],
        take: Callable[[str, Requests], None],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._followed = followed
        self._take = take
        self._told_early: dict[str, None] = {}
        """Jobs of which something was asked, or which have changed, that were not followed here just then."""

    async def heed(self, job_ids: Sequence[str] | None = None) -> None:
        """Have done what was asked of these jobs, or of all, as far as they are followed here. Raises `StoreDown`."""
        if job_ids is None:
            job_ids = tuple(self._followed)
        else:
            self._keep_in_mind(each for each in job_ids if each not in self._followed)
        here = [each for each in job_ids if each in self._followed]
        for begin in range(0, len(here), _BATCH):
            for job_id, requests in (await self._store.requests(here[begin : begin + _BATCH])).items():
                self._take(job_id, requests)

    def begin(self, job_id: str) -> None:
        """Heed a job that is followed from now on, if something was asked of it before that was known here."""
        if job_id in self._told_early:
            del self._told_early[job_id]
            self._tasks.spawn(self._heed_surely(job_id), name=f"requests of {job_id}")

    def _keep_in_mind(self, job_ids: Iterable[str]) -> None:
        self._told_early |= dict.fromkeys(job_ids)
        while len(self._told_early) > _TOLD_EARLY:
            del self._told_early[next(iter(self._told_early))]

    async def _heed_surely(self, job_id: str) -> None:
        while job_id in self._followed:
            with suppress(StoreDown):
                await self.heed([job_id])
                return
            await asyncio.sleep(_ASK_AGAIN)
