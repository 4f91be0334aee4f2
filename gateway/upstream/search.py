"""Finding jobs of ours in Orchestrator when all that is known of them is what their starts carried.

A job of mode `Jobs` has the gateway's id as its `Reference`, which lists can be filtered by. A trigger's job has it in
an in-argument, which lists leave out: those that the trigger started about then are read one by one, which Orchestrator
does not ration as it does lists. What a start carried never changes, so each job is read once, whoever looks for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.job import Job
from gateway.core.jobs_api import argument_of, place
from gateway.core.modes import UpstreamMode
from gateway.core.policy import MINUTE, Binding
from gateway.core.timestamps import timestamp
from gateway.upstream.budget import Budget
from gateway.upstream.listing import Listing, Place, Trouble
from gateway.upstream.metadata import TriggerIds
from gateway.upstream.port import Spawn
from gateway.upstream.sharing import Shared

SKEW = 2 * MINUTE
"""How far Orchestrator's clock may be from the store's."""

_REFERENCES_PER_LIST = 20
"""Orchestrator takes 100 nodes in a filter; each reference is four, with its `or`."""
_TOGETHER = 10 * MINUTE
"""Starts this close together share lists; a list over a longer time would name too many others' jobs."""
_READS = 8
"""Candidates read at once."""
_REMEMBERED = 4096
"""Jobs whose argument is remembered, about 1 MB."""


class Found(msgspec.Struct, frozen=True):
    """The keys of the jobs that carry an id: one, none so far, or several."""

    keys: tuple[str, ...]


class _Started(msgspec.Struct, frozen=True):
    """Jobs that a trigger started: what must be equal for two searches to be one."""

    place: Place
    trigger: str
    argument: str
    when: int


class _Window(msgspec.Struct, frozen=True):
    """Store times (ms) between which a job was created."""

    since: int
    until: int


class _Carried(msgspec.Struct, frozen=True):
    """What jobs carry: their keys by the ids; `trouble` if not all could be read."""

    keys: Mapping[str, tuple[str, ...]]
    trouble: Trouble | None = None


class Search:
    """Finds jobs. `triggers` knows the ids of triggers that routes do not name."""

    def __init__(self, listing: Listing, budget: Budget, triggers: TriggerIds, spawn: Spawn) -> None:
        self._listing = listing
        self._budget = budget
        self._triggers = triggers
        self._by_reference: Shared[Place, str, _Carried] = Shared(self._referring, spawn)
        self._by_argument: Shared[_Started, _Window, _Carried] = Shared(self._started, spawn)
        self._arguments: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def find(self, job: Job, binding: Binding, bearer: str | None, *, timeout: float) -> Found | Trouble:
        """Return the keys of the jobs that `job`'s start made; `Trouble` if that cannot be told now.

        `timeout` is seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                carried = await self._carried(job, binding, bearer)
        except TimeoutError:
            return Trouble("Orchestrator did not list its jobs in time")
        if isinstance(carried, Trouble):
            return carried
        return carried.trouble or Found(carried.keys.get(job.id, ()))

    async def _carried(self, job: Job, binding: Binding, bearer: str | None) -> _Carried | Trouble:
        folder, slug = place(job, binding)
        where = Place(folder, bearer)
        if job.asked is UpstreamMode.JOBS:
            return await self._by_reference.ask(where, job.id)
        if binding.correlation is None:
            return Trouble("the start carried nothing that its job could be told by (correlation)")
        trigger = binding.trigger or await self._triggers.find(where, slug)
        if isinstance(trigger, Trouble):
            return trigger
        since, until = job.intended or job.created, job.started or job.changed
        group = _Started(where, trigger, binding.correlation, since // _TOGETHER)
        return await self._by_argument.ask(group, _Window(since, until))

    async def _referring(self, where: Place, references: Sequence[str]) -> _Carried:
        keys: dict[str, tuple[str, ...]] = {}
        for first in range(0, len(references), _REFERENCES_PER_LIST):
            some = references[first : first + _REFERENCES_PER_LIST]
            listed = await self._listing.matching(
                where, " or ".join(f"Reference eq '{reference}'" for reference in some), self._budget
            )
            if isinstance(listed, Trouble):
                return _Carried({}, listed)
            for each in listed:
                if each.reference is not None:
                    keys[each.reference] = (*keys.get(each.reference, ()), each.key)
        return _Carried(keys)

    async def _started(self, group: _Started, windows: Sequence[_Window]) -> _Carried:
        since = timestamp(min(window.since for window in windows) - SKEW)
        until = timestamp(max(window.until for window in windows) + SKEW)
        listed = await self._listing.matching(
            group.place,
            f"StartingTriggerId eq {group.trigger} and CreationTime ge {since} and CreationTime le {until}",
            self._budget,
        )
        if isinstance(listed, Trouble):
            return _Carried({}, listed)
        return await self._read(group, [job.key for job in listed])

    async def _read(self, group: _Started, candidates: Sequence[str]) -> _Carried:
        """Return what the candidates carry, reading those that nobody has read yet."""
        troubles: list[Trouble] = []
        slots = asyncio.Semaphore(_READS)

        async def read(key: str) -> None:
            async with slots:
                job = await self._listing.one(group.place, key)
            if isinstance(job, Trouble):
                troubles.append(job)
            elif job is not None:
                self._remember((key, group.argument), argument_of(job, group.argument))
            # One that is listed and not there was read too early, or it is gone: that says nothing of what it carries.

        async with asyncio.TaskGroup() as reads:
            for key in candidates:
                if (key, group.argument) not in self._arguments:
                    reads.create_task(read(key))
        keys: dict[str, tuple[str, ...]] = {}
        for key in candidates:
            carried = self._arguments.get((key, group.argument))
            if carried is not None:
                keys[carried] = (*keys.get(carried, ()), key)
        return _Carried(keys, troubles[0] if troubles else None)

    def _remember(self, key: tuple[str, str], carried: str | None) -> None:
        self._arguments[key] = carried
        while len(self._arguments) > _REMEMBERED:
            self._arguments.popitem(last=False)
