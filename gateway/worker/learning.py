"""Learning how long a route's jobs take, and the routes' policies with what was learned.

A job's end costs the hot path two numbers in a list. What has ended here is counted in the store by one command a
route, within a second while it is news, else within ten; the answer is what all replicas know. What could not be
counted is lost: it was an estimate, and more jobs come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from gateway.core import events as e
from gateway.core.durations import Durations
from gateway.core.job import Job, Leg, LegKind, State
from gateway.core.policy import Policy
from gateway.core.scheduling import learned
from gateway.core.timing import began
from gateway.store.port import Store, StoreDown
from gateway.worker.port import Policies

_TOGETHER = 1.0
"""Seconds for which ends are gathered."""
_AT_LAST = 10.0
"""Seconds after which they are counted though they are little news."""
_AT_ONCE = 200
"""Jobs of a route that are counted of each gathering: more would tell no more."""
_ROUTES = 1_000
"""Routes remembered: in pass-through any path may be one. Of more, those that were learned of first are forgotten."""
_LITTLE = 1 / 16
"""Of the jobs that are known of: as many new ones are not."""
_NEWS = 1 / 8
"""A schedule is made anew when this part of the jobs that it would be made from is another."""


class _Route:
    """What is known of one route here."""

    __slots__ = ("durations", "planned_by", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.durations = Durations()
        self.planned_by = self.durations
        """What the policy's schedule was made from."""

    def take(self, durations: Durations) -> None:
        """Plan by `durations` from now on, if they tell anything new."""
        self.durations = durations
        if durations.differs(self.planned_by) < _NEWS * durations.jobs:
            return
        self.planned_by, pace = durations, self.policy.pace
        pace = msgspec.structs.replace(pace, learned=learned(durations, pace))
        self.policy = msgspec.structs.replace(self.policy, pace=pace)


class _Ended:
    """Jobs of one route that have ended and are not counted yet."""

    __slots__ = ("ages", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.ages: list[tuple[int, int]] = []
        """Of each, an age at which it ran and one at which it had ended (ms)."""

    def are_due(self, known: float, now: float) -> bool:
        """Whether they are to be counted at `now`, when `known` jobs are known of."""
        jobs = len(self.ages)
        return jobs == 0 or jobs > known * _LITTLE or now >= self.since + _AT_LAST

    def shares(self, known: Durations) -> dict[int, float]:
        """Return where they ended, by what is `known` of those before them."""
        shares: dict[int, float] = {}
        for ran, ended in self.ages:
            for number, share in known.shares(ran, ended).items():
                shares[number] = shares.get(number, 0.0) + share
        return shares


class Learning:
    """The configured policies of `policies`, each with what its route's jobs have told.

    `name` gives the keyed hash that the store knows a route by, `random` bytes for ids of operations; `failed` is told
    of defects.
    """

    def __init__(
        self,
        store: Store,
        policies: Policies,
        *,
        name: Callable[[str], str],
        random: Callable[[int], bytes],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._policies = policies
        self._name = name
        self._random = random
        self._failed = failed
        self._routes: dict[str, _Route] = {}
        self._ended: dict[str, _Ended] = {}
        """By route; one of which nothing has ended here is to be asked about."""
        self._news = asyncio.Event()

    def policy(self, route: str) -> Policy:
        """See the port. A route that is new here is asked about, and its policy is as configured until that is told."""
        known = self._routes.get(route)
        return (self._new(route) if known is None else known).policy

    def ended(self, before: Job, after: Job, event: e.Event, told: bool) -> None:
        """Take note of what `event` made of a job, if it tells of the job's own end.

        `told`: the read came because something said so, not because it was planned: the end was just then.
        """
        seen = _ages(before, after, event, told=told)
        if seen is None:
            return
        known = self._known(after.route)
        if not known.policy.pace.learn:
            return
        ages = self._to_count(after.route).ages
        if len(ages) < _AT_ONCE:
            ages.append(seen)

    async def run(self) -> None:
        """Count and ask whenever there is something to, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_TOGETHER)
            await self.refresh()

    async def refresh(self) -> None:
        """Count what has ended here, and plan by what is known then. A store that is away learns nothing."""
        for route, ended in self._due().items():
            try:
                await self._count(route, ended)
            except StoreDown:
                continue
            except Exception as error:  # noqa: BLE001 - jobs go on by what is known, and other routes are learned
                self._failed(error)

    async def _count(self, route: str, ended: _Ended) -> None:
        known = self._routes.get(route)
        if known is None:
            return  # Forgotten meanwhile.
        shares, operation = ended.shares(known.durations), self._random(9).hex()
        known.take(await self._store.learn(self._name(route), shares, len(ended.ages), operation))

    def _due(self) -> dict[str, _Ended]:
        """Take what is to be counted now from what has ended."""
        now = asyncio.get_running_loop().time()
        due = {route: ended for route, ended in self._ended.items() if ended.are_due(self._jobs(route), now)}
        self._ended = {route: ended for route, ended in self._ended.items() if route not in due}
        if not self._ended:
            self._news.clear()
        return due

    def _jobs(self, route: str) -> float:
        known = self._routes.get(route)
        return 0.0 if known is None else known.durations.jobs

    def _known(self, route: str) -> _Route:
        known = self._routes.get(route)
        return self._new(route) if known is None else known

    def _new(self, route: str) -> _Route:
        if len(self._routes) >= _ROUTES:
            forgotten = next(iter(self._routes))
            del self._routes[forgotten]
            # Nor is it asked about: as long as the store takes, so many more may come.
            self._ended.pop(forgotten, None)
        known = self._routes[route] = _Route(self._policies.policy(route))
        if known.policy.pace.learn:
            self._to_count(route)
        return known

    def _to_count(self, route: str) -> _Ended:
        if (ended := self._ended.get(route)) is None:
            ended = self._ended[route] = _Ended(asyncio.get_running_loop().time())
            self._news.set()
        return ended


def _ages(before: Job, after: Job, event: e.Event, *, told: bool) -> tuple[int, int] | None:
    """Return an age at which the job ran, and one at which it had ended (ms); None where that is not what it tells.

    What was asked to stop says nothing of how long the others take, and while reads failed nobody looked. A held start
    that is answered with 4xx was nearly always refused: one caller's bad arguments are no short jobs.
    """
    if before.cancel_requested or before.progress.failures:
        return None
    seen = after.progress.read_at
    match event:
        case e.Ended(outcome) if before.state is State.STARTING:
            if 400 <= outcome.status < 500:
                return None
            # The start was held until the end.
            held = seen - (before.intended or seen)
            return held, held
        case e.Ended() if before.leg is not None and before.leg.kind is LegKind.HOLD:
            return seen - began(before), seen - began(before)
        case e.Ended() | e.Redirected() if before.leg is not None and _is_polled(before.leg, after.leg):
            ended = seen - began(before)
            return (ended if told else before.progress.read_at - began(before)), ended
        case _:
            return None


def _is_polled(read: Leg, following: Leg | None) -> bool:
    """Whether what a leg told is that the job had ended since it was read before."""
    onward = following is None or following.kind is LegKind.OUTPUT
    return onward and read.kind in {LegKind.STATUS, LegKind.JOB}
