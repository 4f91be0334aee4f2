"""Hints of Orchestrator's webhooks: a reason to look at a followed job sooner, and never more than that.

A hint that names a job makes that one due. One of a job that is not known here by its key makes jobs of its folder due,
those that were looked at the longest ago first, and no more in a minute than a budget: a webhook must not become a
storm of calls. Orchestrator may tell a folder by a number that means nothing here: then any job may be meant.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from gateway.core.job import Job, State
from gateway.core.jobs_api import is_guid, place
from gateway.core.policy import MINUTE
from gateway.store.port import Hint
from gateway.worker.clock import Clock
from gateway.worker.driver import Driver
from gateway.worker.port import Policies

_BUDGET = 60
"""Jobs made due by hints that name no job, or such hints in vain, a minute."""
_DUE = frozenset({State.RUNNING, State.UNKNOWN})

_AT_ONCE = 10
"""Of them by one hint."""

_EVENTS = 1_000
"""Events that are known when they come again."""


class Hints:
    """Passes hints on to the driver, each event's once. `told` hears of them as well."""

    def __init__(
        self, driver: Driver, policies: Policies, clock: Clock, *, told: Callable[[Hint], None] = lambda _hint: None
    ) -> None:
        self._driver = driver
        self._policies = policies
        self._clock = clock
        self._told = told
        self._events: dict[str, None] = {}
        """The last ones, the oldest first."""
        self._left = float(_BUDGET)
        self._counted = 0

    def take_own(self, hint: Hint) -> bool:
        """Take a hint that came to this replica, if it names a job that is followed here; else every replica is to.

        The store is not asked for leave, so the job is looked at a millisecond sooner, and also while it is away.
        """
        if self._named(hint) is None:
            return False
        self.take(hint)
        return True

    def is_surely_own(self, hint: Hint) -> bool:
        """Whether no other replica can follow the job that `hint` names: after a pause, one may."""
        job_id = self._named(hint)
        return job_id is not None and self._driver.holds(job_id)

    def take(self, hint: Hint) -> None:
        """Take a hint, which every replica is told of."""
        if not self._is_new(hint.event):
            return
        self._told(hint)
        if (job_id := self._named(hint)) is not None:
            self._driver.hurry(job_id)
        elif hint.key is not None or hint.folder is not None:
            self._hurry_some(hint.folder)

    def _is_new(self, event: str) -> bool:
        if event in self._events:
            return False
        self._events[event] = None
        if len(self._events) > _EVENTS:
            del self._events[next(iter(self._events))]
        return True

    def _named(self, hint: Hint) -> str | None:
        """Return the id of the job that is followed here and that `hint` names."""
        job_id = hint.reference if hint.reference is not None else self._driver.followed_as((hint.key or "").lower())
        return None if job_id is None or self._driver.job(job_id) is None else job_id

    def _hurry_some(self, folder: str | None) -> None:
        room = min(_AT_ONCE, int(self._refilled()))
        if room == 0:
            return
        there: dict[str, bool] = {}
        concerned = [job for job in self._driver.followed() if self._may_be_meant(job, folder, there)]
        # Looking through all that is followed has its price, found or not: most of a tenant's jobs are not ours.
        self._left -= max(1, min(room, len(concerned)))
        for job in heapq.nsmallest(room, concerned, key=lambda job: job.progress.read_at):
            self._driver.hurry(job.id)

    def _may_be_meant(self, job: Job, folder: str | None, there: dict[str, bool]) -> bool:
        """Whether `job` may be the one. `there`: what is known of routes so far."""
        # A job whose key is known would have been named.
        if job.upstream_key is not None or job.state not in _DUE:
            return False
        if (known := there.get(job.route)) is None:
            known = there[job.route] = self._is_there(job, folder)
        return known

    def _is_there(self, job: Job, folder: str | None) -> bool:
        own, _ = place(job, self._policies.policy(job.route).binding)
        # A route may have its folder by name, which no event tells.
        return folder is None or own is None or not is_guid(own) or own.lower() == folder.lower()

    def _refilled(self) -> float:
        now = self._clock.now()
        self._left = min(_BUDGET, self._left + (now - self._counted) * _BUDGET / MINUTE)
        self._counted = now
        return self._left
