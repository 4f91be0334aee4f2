"""The world around the worker, as its tests have it: a store that fails and hangs at will, an upstream with a script.

The store is the real one over fakeredis, so that fences and idempotence are the product's own; only the way to it is
obstructed. Everything runs in virtual time (looptime): an hour's wait costs nothing, and instants are exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from gateway.auth.keyring import generate, parse
from gateway.core import events as e
from gateway.core.ids import make_id
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import HOUR, Policy
from gateway.core.start import StartRequest
from gateway.store.port import NewJob, Save, Stored, StoreDown
from gateway.store.redis import RedisStore
from gateway.store.settings import StoreSettings
from gateway.worker.clock import Clock
from gateway.worker.driver import Driver
from gateway.worker.feed import Feed
from gateway.worker.held import Held
from gateway.worker.tasks import Tasks
from gateway.worker.vault import Vault
from tests.support.fake_store import fake_servers

BORN = 1_700_000_000_000
"""What the store's clock says when a test's loop begins."""
ME = "replica-1"
START = StartRequest("POST", "https://orchestrator.example/t/0f3c/add", (("Accept", "*/*"),), b'{"n":1}')
STATUS = Leg(LegKind.STATUS, "https://orchestrator.example/status/1")
HOLD = Leg(LegKind.HOLD, "https://orchestrator.example/hold/1")
OK = Outcome(200, (("Content-Type", "application/json"),), b'{"sum":3}')

FOLLOWED = e.Followed(UpstreamMode.ASYNC, STATUS)
RUNNING = e.StillRunning()
ENDED = e.Ended(OK)


def elapsed() -> int:
    """Return the milliseconds of virtual time since the loop began."""
    return round(asyncio.get_running_loop().time() * 1000)


def store_time() -> int:
    """Return the store's clock: virtual too."""
    return BORN + elapsed()


def store() -> RedisStore:
    """Return a store over a fakeredis of its own."""
    return RedisStore(fake_servers(), StoreSettings(prefix=f"t{secrets.token_hex(4)}"), now=store_time)


class ObstructedStore:
    """A store whose verbs fail, hang or break on demand; all other calls pass through."""

    def __init__(self, inner: RedisStore) -> None:
        self.inner = inner
        self.calls: dict[str, int] = defaultdict(int)
        self.down: set[str] = set()
        """Verbs that do nothing, of which nobody knows."""
        self.refusing: set[str] = set()
        """Verbs that do nothing, as everybody knows."""
        self.deaf: set[str] = set()
        """Verbs that are carried out, and whose reply is lost."""
        self.broken: set[str] = set()
        """Verbs that fail as no store should."""
        self.takes = 0
        self._open: dict[str, asyncio.Event] = {}

    def take_over(self, dead: str, follower: str) -> AsyncIterator[list]:
        """Count the looks at what the dead left behind."""
        self.takes += 1
        return self.inner.take_over(dead, follower)

    def hang(self, verb: str) -> asyncio.Event:
        """Have `verb` hang until the event is set."""
        return self._open.setdefault(verb, asyncio.Event())

    def __getattr__(self, verb: str) -> Callable:
        method = getattr(self.inner, verb)
        if not inspect.iscoroutinefunction(method):
            return method

        async def obstructed(*args: object, **kwargs: object) -> object:
            self.calls[verb] += 1
            if verb in self._open:
                await self._open[verb].wait()
            if verb in self.down:
                raise StoreDown(f"{verb}: nobody there")
            if verb in self.refusing:
                raise StoreDown(f"{verb}: no", perhaps=False)
            if verb in self.broken:
                raise RuntimeError(f"{verb} is broken")
            result = await method(*args, **kwargs)
            if verb in self.deaf:
                raise StoreDown(f"{verb}: the reply was lost")
            return result

        return obstructed


@dataclass
class Called:
    """One call of the upstream: when (ms since the test began), with what, and under which bearer."""

    at: int
    what: StartRequest | Leg
    bearer: str | None


class Upstream:
    """Answers starts and reads from a script, in order: events, exceptions, or futures of either."""

    def __init__(self) -> None:
        self.starts: list[Called] = []
        self.reads: list[Called] = []
        self.on_start: list[object] = []
        self.on_read: list[object] = []
        self.asked: list[tuple[int, str]] = []
        """Requests to reconcile or to stop: when, and which."""
        self.on_reconcile: list[object] = []
        self.on_stop: list[object] = []

    async def start(self, start, asked, bearer, *, timeout, max_idle):
        """See the port."""
        self.starts.append(Called(elapsed(), start, bearer))
        return await self._say(self.on_start)

    async def read(self, leg, bearer, *, timeout, redirects=0, failures=0, told=False):
        """See the port. The last line of the script is said again and again."""
        self.reads.append(Called(elapsed(), leg, bearer))
        return await self._say(self.on_read, keep_last=True)

    async def reconcile(self, job, binding, bearer, *, timeout):
        """See the port."""
        self.asked.append((elapsed(), "reconcile"))
        return await self._say(self.on_reconcile, keep_last=True)

    async def stop(self, job, binding, strategy, bearer, *, timeout):
        """See the port."""
        self.asked.append((elapsed(), strategy.value))
        return await self._say(self.on_stop, keep_last=True)

    async def _say(self, script: list[object], *, keep_last: bool = False) -> object:
        assert script, "the upstream was asked more often than its script has lines"
        line = script[0] if keep_last and len(script) == 1 else script.pop(0)
        if isinstance(line, asyncio.Future):
            line = await line
        if isinstance(line, BaseException):
            raise line
        return line


class OnePolicy:
    """Every route's policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def policy(self, route: str) -> Policy:
        """See the port."""
        return self._policy


@dataclass
class Bench:
    """A driver with everything around it, and what it told."""

    store: ObstructedStore
    upstream: Upstream
    vault: Vault
    clock: Clock
    feed: Feed
    tasks: Tasks
    driver: Driver
    policy: Policy
    seen: list[tuple[Job, e.Event]] = field(default_factory=list)
    ended: list[tuple[Job, Job, e.Event, bool]] = field(default_factory=list)
    delivered: list[tuple[object, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    holds: bool = True
    """Whether the driver's replica has its lease."""
    paused: bool = False
    """Whether its process stood still for long."""
    held: Held = field(default_factory=Held)
    lapsed: set[str] = field(default_factory=set)
    """Its incarnations whose leases have run out."""

    def new(self, *, bearer: str | None = "bearer-1", **fields: object) -> NewJob:
        """Return a job that was just accepted, sealed as the store gets it."""
        job_id = make_id(3, secrets.token_bytes(16))
        given = {
            "id": job_id, "route": "add", "principal": "who", "token": "how", "mode": CallerMode.SYNC,
            "asked": UpstreamMode.ASYNC, "created": self.clock.now(), "deadline": self.clock.now() + HOUR,
            "changed": self.clock.now(),
        }  # fmt: skip
        sealed = None if bearer is None else self.vault.seal_credential(job_id, bearer)
        return NewJob(Job(**(given | fields)), self.vault.seal_start(job_id, START), sealed, operation=job_id)

    async def created(self, *, follower: str = ME, **fields: object) -> NewJob:
        """Create a job in the store, and do not follow it yet."""
        new = self.new(**fields)
        await self.store.inner.create(new, follower, keep=HOUR)
        return new

    async def followed(self, **fields: object) -> str:
        """Create a job and have the driver follow it; return its id."""
        new = await self.created(**fields)
        self.driver.follow(Stored(new.job, new.start, new.credential), ME)
        return new.job.id

    async def reading(self) -> tuple[str, asyncio.Future[e.Event]]:
        """Bring a job to where it runs and is read; return its id, and what its first read is to be answered with."""
        answer: asyncio.Future[e.Event] = asyncio.get_running_loop().create_future()
        self.upstream.on_start, self.upstream.on_read = [FOLLOWED], [answer]
        job_id = await self.followed()
        await self.until(job_id, State.RUNNING)
        return job_id, answer

    async def inherited(self, state: State, **fields: object) -> Stored:
        """Return what a replica finds of a job that a dead one has brought to `state`."""
        new = await self.created(**fields)
        job = new.job
        way = {State.ACCEPTED: 0, State.STARTING: 1, State.RUNNING: 2}[state]
        for event in (e.StartIntended(), FOLLOWED)[:way]:
            after = _applied(job, event, self.clock.now())
            await self.store.inner.save(Save(after, job.revision, secrets.token_hex(4), keep=HOUR), ME)
            job = after
        return Stored(job, None if state is State.RUNNING else new.start, new.credential)

    async def saved(self, job_id: str) -> Job:
        """Return the record that the store has."""
        found = await self.store.inner.read(job_id)
        assert isinstance(found, Job)
        return found

    async def until(self, job_id: str, *states: State, within: float = 7 * 24 * 3600) -> Job:
        """Wait until the feed, as to any caller, tells of a job in one of `states`."""
        with self.feed.subscribed(job_id) as topic:
            if (known := self.driver.job(job_id)) is not None:
                topic.offer(known)
            async with asyncio.timeout(within):
                while topic.job is None or topic.job.state not in states:
                    await topic.changed(within)
            return topic.job


def _applied(job: Job, event: e.Event, now: int) -> Job:
    from gateway.core.apply import apply

    return apply(job, event, now)


@contextlib.asynccontextmanager
async def bench(**rules: object) -> AsyncIterator[Bench]:
    """Give a driver on the bench; nothing of it is left over at the end. `rules` change the policy."""
    failed: list[BaseException] = []
    policy = msgspec.structs.replace(Policy(), **rules)
    inner = store()
    obstructed, upstream, clock, feed, tasks = ObstructedStore(inner), Upstream(), Clock(), Feed(), Tasks(failed.append)
    vault = Vault(parse(generate()))
    now = asyncio.get_running_loop().time()
    clock.synchronise(store_time(), now, now)
    counter = itertools.count()
    parts = Bench(obstructed, upstream, vault, clock, feed, tasks, None, policy, failed=failed)
    parts.driver = Driver(
        store=obstructed,
        upstream=upstream,
        vault=vault,
        policies=OnePolicy(policy),
        clock=clock,
        feed=feed,
        tasks=tasks,
        observe=lambda job, event: parts.seen.append((job, event)),
        ended=lambda *end: parts.ended.append(end),
        random=lambda size: next(counter).to_bytes(size, "big"),
        deliver=lambda delivery, follower: parts.delivered.append((delivery, follower)),
        lost=parts.lost.append,
        holds=lambda follower: parts.holds and follower not in parts.lapsed,
        paused=lambda: parts.paused,
        failed=failed.append,
        held=parts.held,
    )
    try:
        yield parts
    finally:
        await parts.driver.stop(0)
        await tasks.close()
        await inner.close()
