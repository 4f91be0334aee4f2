"""Many jobs' states by one list: what a follower asks of its job may be known from a list that others caused.

A list never gives an outcome (its arguments and outputs are null) and may be behind, so all that is taken from it is
that a job still runs; whatever else it says, or fails to say, has the job read by itself, as if there were no lists.
A list is begun by a job that is due. It takes along those that nothing was heard of for long: of those that run, the
next read is put off as if they had been read then, and those that have ended are read at once. Orchestrator rations
lists by the minute: half of the gateway's part of them is left to those who look for jobs in doubt, and the more of the
other half is gone, the more reads a list has to save.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.upstream.budget import Budget
from gateway.upstream.listing import Listing, Place, Trouble
from gateway.upstream.port import Spawn
from gateway.upstream.sharing import Shared

MOST = 50
"""Jobs in one list: as many as UiPath's own SDK asks for."""
_FEWEST = 1.5
"""Reads that a list has to save at least: it is a call itself."""
_SHARE = 0.5
"""Of the budget, for grouped reads."""

_STALE = 3.0
"""Intervals, and a minute at least: whoever has not asked for so long follows the job no longer."""
_MINUTE = 60.0

_TIMEOUT = 5.0
"""Seconds for one list."""
_PAUSE = 60.0
"""Seconds without lists after one that failed: the credential may read jobs and not list them."""
_BELIEVED = 20
"""How often in a row lists are believed that a job runs, some minutes: one that is behind for good loses no job."""
_PRUNED_AT = 1024
"""Jobs after which those that nobody asks for any more are looked for."""


class _Group(msgspec.Struct, frozen=True):
    """Jobs that one list can tell of: those of a folder, as one credential sees them."""

    folder: str | None
    credential: bytes
    """A hash: credentials themselves are not remembered here."""


class _Watched:
    """One job, by the questions that its follower asks. Times are seconds of the loop."""

    __slots__ = ("believed", "heard", "interval", "seen")

    def __init__(self, now: float) -> None:
        self.heard = now
        """The newest that its follower knows of it."""
        self.interval = 0.0
        """For how long that was enough, the last time; 0: it has not asked twice."""
        self.seen: float | None = None
        """When a list was asked for that says that it ran, and that its follower does not know of yet."""
        self.believed = 0
        """How often in a row its follower was told by lists that it runs."""

    def tell(self, now: float) -> float | None:
        """Return how long ago the job was last seen running, where its follower, who asks now, does not know."""
        self.interval = now - self.heard
        self.heard, seen, self.seen = now if self.seen is None else self.seen, self.seen, None
        return None if seen is None else now - seen

    def ripeness(self, now: float) -> float:
        """Return which part of a question it saves to hear of the job now: 1 when that would be due."""
        since = self.heard if self.seen is None else self.seen
        return min((now - since) / self.interval, 1.0) if self.interval else 0.0

    def stale(self, now: float) -> bool:
        """Whether nobody asks for it any more."""
        return now - self.heard > max(_MINUTE, _STALE * self.interval)


class GroupReads:
    """Knows of jobs that they still run. `ended` is told the key of each that a list says has ended, unasked."""

    def __init__(self, listing: Listing, budget: Budget, spawn: Spawn, ended: Callable[[str], None]) -> None:
        self._listing = listing
        self._budget = budget
        self._ended = ended
        self._watched: dict[_Group, dict[str, _Watched]] = {}
        self._until_pruned = _PRUNED_AT
        """New jobs."""
        self._paused: dict[_Group, float] = {}
        """Until when groups are not listed."""
        self._lists: Shared[Place, str, frozenset[str]] = Shared(self._running, spawn)

    async def ran(self, where: Place, key: str, *, timeout: float) -> float | None:
        """Return how many seconds ago a list said that the job of this key, in lower case, runs; None: read it.

        No list says it twice. `timeout` is seconds; a list that takes longer is of use to others.
        """
        now = asyncio.get_running_loop().time()
        jobs = self._watched.setdefault(_group(where), {})
        ago = None
        if (job := jobs.get(key)) is None:
            job = jobs[key] = _Watched(now)
            self._grown(now)
        else:
            ago = job.tell(now)
        if job.believed >= _BELIEVED:
            job.believed = 0
            return None
        if ago is None and await self._listed(where, key, timeout):
            ago = 0.0
        job.believed = 0 if ago is None else job.believed + 1
        return ago

    async def _listed(self, where: Place, key: str, timeout: float) -> bool:
        """Whether a list that is made now says that a job runs."""
        try:
            async with asyncio.timeout(timeout):
                return key in await self._lists.ask(where, key)
        except TimeoutError:
            return False

    def forget(self, where: Place, key: str) -> None:
        """Forget a job that has ended."""
        self._watched.get(_group(where), {}).pop(key, None)

    async def _running(self, where: Place, keys: Sequence[str]) -> frozenset[str]:
        """Return those of `keys` that a list says run."""
        group, loop = _group(where), asyncio.get_running_loop()
        jobs = self._watched.get(group, {})
        running: frozenset[str] = frozenset()
        due = list(dict.fromkeys(keys))
        while due and (left := self._left(group)) > 0:
            listed, due = due[:MOST], due[MOST:]
            others = _longest_unheard_of(jobs, MOST - len(listed), besides=frozenset(keys))
            saved = len(listed) + sum(jobs[key].ripeness(loop.time()) for key in others)
            if saved < max(_FEWEST, MOST * (1 - left)):
                break
            running |= await self._list(where, [*listed, *others], asked=frozenset(keys))
        return running

    def _left(self, group: _Group) -> float:
        paused = self._paused.get(group, 0.0) > asyncio.get_running_loop().time()
        return 0.0 if paused else self._budget.left(_SHARE)

    async def _list(self, where: Place, keys: Sequence[str], asked: frozenset[str]) -> frozenset[str]:
        """Return those that run of `keys`, and note it; tell of those that have ended and were not `asked` for."""
        group, sent = _group(where), asyncio.get_running_loop().time()
        listed = await self._listing.states(where, keys, self._budget, timeout=_TIMEOUT)
        if isinstance(listed, Trouble):
            self._paused[group] = asyncio.get_running_loop().time() + _PAUSE
            return frozenset()
        jobs = self._watched.get(group, {})
        ended = {job.key.lower() for job in listed if job.ended is not None}
        running = frozenset(job.key.lower() for job in listed if job.runs) - ended
        for key in running & jobs.keys():
            if key not in asked:
                jobs[key].seen = sent
        for key in (ended & jobs.keys()) - asked:
            self._ended(key)
        return running

    def _grown(self, now: float) -> None:
        """Count a job more, and now and then drop those that are followed here no longer."""
        self._until_pruned -= 1
        if self._until_pruned > 0:
            return
        for group, jobs in list(self._watched.items()):
            for key in [key for key, job in jobs.items() if job.stale(now)]:
                del jobs[key]
            if not jobs:
                del self._watched[group]
        self._paused = {group: until for group, until in self._paused.items() if until > now}
        self._until_pruned = max(_PRUNED_AT, sum(map(len, self._watched.values())))


def _group(where: Place) -> _Group:
    return _Group(where.folder, hashlib.blake2b((where.bearer or "").encode(), digest_size=16).digest())


def _longest_unheard_of(jobs: Mapping[str, _Watched], count: int, besides: frozenset[str]) -> list[str]:
    """Return `count` jobs that nothing was heard of for the longest part of their intervals."""
    now = asyncio.get_running_loop().time()
    others = ((job.ripeness(now), key) for key, job in jobs.items() if key not in besides and not job.stale(now))
    return [key for _, key in heapq.nlargest(count, others)]
