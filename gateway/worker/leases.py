"""Leases: one heartbeat for all that this replica follows, and the taking over of what a dead replica followed.

A lease belongs to an incarnation: one life of one replica. An incarnation whose lease has run out never lives again;
a replica that was only paused comes back as a new incarnation, and takes over from its old one what others have not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from gateway.core.delivery import Delivery
from gateway.store.port import Beat, Row, Store, Stored, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.pauses import Pauses

_BEATS_PER_LEASE = 4

_JUST_AFTER = 0.002
"""Seconds: a lease still holds in its last millisecond."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the process is stopped, and on Linux while the machine sleeps. An event loop's own time may stand still
until its next turn."""

_LOOKED_AT_FOR = 20
"""Leases for which a dead incarnation is looked at again: a process that was paused, or a command that the network
held back, may create a row under the old name long after others have taken all that there was."""

_LOOK_SELDOM = 15.0
"""Seconds between two looks at most, of all who live together."""

_LOOKS_PER_BEAT = 0.25
"""The part of the time between two heartbeats that goes into looking: of many who have died, the rest wait for the
next one. A replica that is late with its heartbeat would be the next to be taken over from."""


class Follower(Protocol):
    """What is told of rows to follow."""

    def refollow(self, stored: Stored, follower: str) -> None:
        """Follow a job under the incarnation `follower`."""
        ...

    async def drop_others(self, follower: str) -> None:
        """Stop following jobs of other incarnations. Raises `StoreDown`."""
        ...


class _Dead:
    """A dead incarnation: since when it is known here to be dead, and when to look for rows of it next."""

    __slots__ = ("look_at", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.look_at = 0.0


class _Naming(AbstractContextManager[str]):
    """Counts, among those that are being created under a name, one row."""

    __slots__ = ("_creating", "_name")

    def __init__(self, name: str, creating: Counter[str]) -> None:
        self._name = name
        self._creating = creating

    def __enter__(self) -> str:
        self._creating[self._name] += 1
        return self._name

    def __exit__(self, *_error: object) -> None:
        self._creating[self._name] -= 1
        if not self._creating[self._name]:
            del self._creating[self._name]


class Leases:
    """Keeps this replica's lease. `granted` is how long (ms) a heartbeat counts, `elapsed` a clock in seconds.

    `new_name` gives a fresh incarnation's name; `took` is told of whom how many rows were taken over from, `failed` of
    defects; `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        follower: Follower,
        *,
        deliver: Callable[[Delivery, str], None],
        renamed: Callable[[], None],
        new_name: Callable[[], str],
        took: Callable[[str, int], None],
        failed: Callable[[BaseException], None],
        lease: int,
        granted: int,
        elapsed: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._follower = follower
        self._deliver = deliver
        self._renamed = renamed
        self._new_name = new_name
        self._took = took
        self._failed = failed
        self._interval = lease / 1000 / _BEATS_PER_LEASE
        self._looked_at_for = lease / 1000 * _LOOKED_AT_FOR
        self._granted = granted / 1000
        self._elapsed = elapsed
        self._chance = chance
        self._holds_until = 0.0
        self._pauses = Pauses(self._granted, elapsed)
        self.incarnation = new_name()
        self.healthy = False
        """Whether the last heartbeat came through."""
        self.living = 1
        """How many replicas there were at the last heartbeat, this one included."""
        self._owed: set[str] = set()
        """Names of ours under which the store may hold rows that nobody follows here."""
        self._creating: Counter[str] = Counter()
        """How many rows are being created under each name of ours."""
        self._dead: dict[str, _Dead] = {}
        self._next: int | None = None
        """When the next of the others may be dead."""
        self._hurried = asyncio.Event()
        self._turning = asyncio.Lock()
        self._left = False

    async def join(self, *, alone: bool) -> None:
        """Begin this incarnation's lease. `alone`: no other replica can live, so what they followed is ours at once.

        Raises `StoreDown`.
        """
        beat = await self._beat(join=True)
        self.healthy = True
        if alone:
            for other in await self._store.incarnations():
                if other != self.incarnation:
                    await self._store.leave(other)
            beat = await self._beat()
        await self._take_over(beat)

    async def run(self) -> None:
        """Beat until cancelled, or until this replica leaves."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._pauses.watch())
            await self._keep_beating()
            watching.cancel()

    async def _keep_beating(self) -> None:
        while not self._left:
            await self._pause()
            try:
                async with self._turning:
                    await self._turn()
                self.healthy = True
            except StoreDown:
                self.healthy, self._next = False, None
            except Exception as error:  # noqa: BLE001 - without a heartbeat all jobs here would be lost to others
                self.healthy, self._next = False, None
                self._failed(error)

    def holds(self, follower: str) -> bool:
        """Whether `follower`'s lease holds for certain: others do not look into its jobs yet.

        That of a former name does not, though this replica has a new one.
        """
        return follower == self.incarnation and self._elapsed() < self._holds_until

    @property
    def paused(self) -> bool:
        """Whether this process stood still for so long that what it has in hand may be out of date.

        Unlike a lease, it is not lost by a store that is away: then nobody else follows our jobs either.
        """
        return self._pauses.long

    def hurry(self) -> None:
        """Beat at once: somebody is said to have gone."""
        self._hurried.set()

    def naming(self) -> AbstractContextManager[str]:
        """Give the name to create a row under. Until the block ends, nothing comes along from it to a later name."""
        return _Naming(self.incarnation, self._creating)

    async def leave(self) -> None:
        """End the lease for good, so that others take over at once. Raises `StoreDown`."""
        self._left = True
        # Not between a heartbeat and what follows from it: that could begin a new lease.
        async with self._turning:
            await self._store.leave(self.incarnation)

    async def _pause(self) -> None:
        """Wait for the next heartbeat; it is due sooner when another's lease may run out before it."""
        wait = self._interval
        if self._next is not None:
            wait = min(wait, max(0, self._next - self._clock.now()) / 1000 + _JUST_AFTER)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._hurried.wait()
        self._hurried.clear()

    async def _turn(self) -> None:
        if self._left:
            return
        beat = await self._beat()
        if not beat.alive:
            # Never the old name again: others may have taken its jobs over, or may be about to.
            self._owed.add(self.incarnation)
            self.incarnation = self._new_name()
            beat = await self._beat(join=True)
        former = self._owed - {self.incarnation}
        # What is just being created under a former name would be left behind.
        if self._owed and not former & self._creating.keys():
            await self._come_back()
        await self._take_over(beat)

    async def _beat(self, *, join: bool = False) -> Beat:
        loop = asyncio.get_running_loop()
        asked, begun = loop.time(), self._elapsed()
        beat = await self._store.beat(self.incarnation, join=join)
        self._holds_until = begun + self._granted if beat.alive else 0.0
        # Where rows are owed, others may have taken what is still followed here under a former name.
        if self._elapsed() < self._holds_until and not self._owed:
            self._pauses.forget()
        self._clock.synchronise(beat.now, asked, loop.time())
        self._next = beat.next
        self.living = max(1, beat.living)
        return beat

    async def _come_back(self) -> None:
        """Take over from our own former names what is still there; what is not has another follower by now."""
        owed = set(self._owed)
        for former in owed:
            await self._take(former)
        await self._follower.drop_others(self.incarnation)
        self._owed -= owed
        self._renamed()

    async def _take_over(self, beat: Beat) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        ends = now + self._interval * _LOOKS_PER_BEAT
        # Who has died last comes first, of those that were never looked at.
        self._dead = {name: self._dead.get(name) or _Dead(now) for name in reversed(beat.dead)}
        for name, dead in sorted(self._dead.items(), key=lambda each: each[1].look_at):
            if dead.look_at > now or loop.time() > ends:
                return
            # One of our own, under which a row is being created: that would be followed twice, here and there.
            if name not in self._creating:
                dead.look_at = await self._look(name, dead.since)

    async def _look(self, name: str, since: float) -> float:
        """Take over what a dead incarnation followed; return when to look again."""
        now = asyncio.get_running_loop().time()
        if await self._take(name):
            return now
        if now >= since + self._looked_at_for:
            # Rows of a later version stay, and so does the name: for a replica that can read them.
            await self._store.forget(name)
            return now + self._shared(_LOOK_SELDOM)
        return now + self._shared(min(now - since, _LOOK_SELDOM))

    def _shared(self, pause: float) -> float:
        """Return what one replica pauses so that all together do something each `pause` seconds.

        After a rolling restart there are as many dead as living: if each looked at each, that would be a square.
        """
        return pause * (1 + 2 * (self.living - 1) * self._chance())

    async def _take(self, former: str) -> bool:
        """Follow all that `former` followed; return whether there was anything."""
        count = 0
        try:
            async for rows in self._store.take_over(former, self.incarnation):
                count += len(rows)
                self._follow(rows)
        except StoreDown:
            # The answer may be what was lost: then rows are ours in the store, and nobody's here.
            self._owed.add(self.incarnation)
            raise
        if count:
            self._took(former, count)
        return count > 0

    def _follow(self, rows: list[Row]) -> None:
        for row in rows:
            if isinstance(row, Stored):
                self._follower.refollow(row, self.incarnation)
            else:
                self._deliver(row, self.incarnation)
