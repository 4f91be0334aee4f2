"""Watching jobs: local ones through the feed alone, others woken by the store, nothing lost when it comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.errors import JobExpired, JobUnavailable, NotFound
from gateway.core.job import Job, State
from gateway.store.port import Gone, Hint, Left, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.feed import Feed
from gateway.worker.tasks import Tasks
from gateway.worker.watches import Watches
from tests.core.strategies import OK, in_state

pytestmark = pytest.mark.looptime

RUNNING = in_state(State.RUNNING)
ENDED = apply(RUNNING, e.Ended(OK), RUNNING.created + 1_000)


class Store:
    """As much of a store as watching needs: records, watchers, and a wake-up channel for each watcher."""

    def __init__(self) -> None:
        self.records: dict[str, Job | Gone] = {}
        self.watched: list[tuple[str, str]] = []
        self.channels: dict[str, asyncio.Queue] = {}
        self.down = False
        self.away: set[str] = set()
        """Jobs that are on a shard that is away."""
        self.takes = 0.0
        """Seconds that a round trip takes."""
        self.bodies: dict[str, bytes] = {}

    async def watch(self, job_id: str, watcher: str) -> Job | Gone:
        if self.down or job_id in self.away:
            raise StoreDown("nobody there")
        self.watched.append((job_id, watcher))
        await asyncio.sleep(self.takes)
        return self.records.get(job_id, Gone.NEVER)

    async def read_body(self, job_id: str) -> bytes | None:
        if self.down:
            raise StoreDown("nobody there")
        return self.bodies.get(job_id)

    async def wakes(self, watcher: str):
        if self.down:
            raise StoreDown("nobody there")
        channel = self.channels[watcher] = asyncio.Queue()
        yield None
        while (message := await channel.get()) is not StoreDown:
            yield message
        raise StoreDown("the connection ended")

    def save(self, job: Job) -> None:
        """Have another replica save a change: every watcher of the job is woken, if it listens."""
        self.records[job.id] = job
        for job_id, watcher in set(self.watched):
            if job_id == job.id and watcher in self.channels:
                self.channels[watcher].put_nowait(job.id)


@dataclass
class Setting:
    store: Store
    feed: Feed
    watches: Watches
    tasks: Tasks
    me: str = "me-1"
    local: dict[str, Job] = field(default_factory=dict)
    failed: list[BaseException] = field(default_factory=list)
    heeded: list[list[str] | None] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)
    somebody_left: asyncio.Event = field(default_factory=asyncio.Event)

    async def heed(self, job_ids: list[str] | None) -> None:
        """Take note that requests of followed jobs were to be read."""
        self.heeded.append(job_ids)


@contextlib.asynccontextmanager
async def setting(*, listening: bool = True):
    """Give watches over a store in this process."""
    store, feed, clock, failed = Store(), Feed(), Clock(), []
    tasks = Tasks(failed.append)
    it = Setting(store, feed, None, tasks, failed=failed)
    it.watches = Watches(
        store,
        feed,
        clock,
        tasks,
        followed=it.local.get,
        me=lambda: it.me,
        heed=it.heed,
        hinted=it.hints.append,
        left=it.somebody_left.set,
    )
    if listening:
        tasks.spawn(it.watches.listen())
        await asyncio.sleep(0.01)
    try:
        yield it
    finally:
        await tasks.close()
        assert failed == []


def soon(seconds: float, call, *arguments) -> None:
    """Do something later."""
    asyncio.get_running_loop().call_later(seconds, call, *arguments)


FAR = 3_600_000


async def test_a_job_followed_here_needs_no_store():
    """Opened, changed and answered while the store is away."""
    async with setting() as it:
        it.store.down = True
        it.local[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            assert watch.job is RUNNING
            soon(5, it.feed.publish, ENDED, OK.body)
            assert await watch.changed(FAR)
            assert (watch.job, watch.body) == (ENDED, OK.body)
        assert it.store.watched == []


async def test_many_wake_ups_are_some_round_trips():
    """Jobs that end at once are read together, each once, however far away the store is."""
    async with setting() as it, contextlib.AsyncExitStack() as stack:
        jobs = [RUNNING.with_(id=f"{number:02x}{'i' * 22}") for number in range(200)]
        it.store.records |= {job.id: job for job in jobs}
        watches = [await stack.enter_async_context(it.watches.open(job.id)) for job in jobs]
        it.store.watched.clear()
        it.store.takes = 0.05
        for job in jobs:
            it.store.channels["me-1"].put_nowait(job.id)
            it.store.records[job.id] = job.with_(state=State.SUCCEEDED, revision=job.revision + 1)
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(watch.changed(FAR) for watch in watches))
        assert asyncio.get_running_loop().time() - begun < 5 * it.store.takes
        assert sorted(job_id for job_id, _ in it.store.watched) == [job.id for job in jobs]
        assert sorted(job_id for heeded in it.heeded[1:] for job_id in heeded) == [job.id for job in jobs]


async def test_what_nobody_waits_for_any_more_is_not_read():
    """A replica whose caller went is still told of the job; it does not ask to be told again."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id):
            pass
        it.store.watched.clear()
        it.store.channels["me-1"].put_nowait(RUNNING.id)
        await asyncio.sleep(1)
        assert it.store.watched == []
        assert it.heeded[-1] == [RUNNING.id]


async def test_a_job_followed_elsewhere_is_woken_by_the_store():
    """What is told is read from the store; its body is not in memory here."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            assert (watch.job, it.store.watched) == (RUNNING, [(RUNNING.id, "me-1")])
            soon(5, it.store.save, ENDED)
            assert await watch.changed(FAR)
            assert (watch.job, watch.body) == (ENDED, None)
            assert it.heeded == [None, [RUNNING.id]], "it might be followed here in a moment"


async def test_a_wait_ends():
    """At `until`, in the store's time; nothing has changed then."""
    async with setting() as it:
        it.local[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            begun = asyncio.get_running_loop().time()
            assert not await watch.changed(round(begun * 1000) + 7_000)
            assert asyncio.get_running_loop().time() - begun == pytest.approx(7, abs=0.01)
            assert not await watch.changed(0)


@pytest.mark.parametrize(("found", "error"), [(Gone.NEVER, NotFound), (Gone.TOMBSTONE, JobExpired)])
async def test_there_may_be_no_job(found: Gone, error: type[Exception]):
    """Nobody's, or no more."""
    async with setting() as it:
        it.store.records["03abc"] = found
        with pytest.raises(error):
            async with it.watches.open("03abc"):
                pass
        assert it.feed.topics == set()


async def test_without_a_store_there_is_no_answer():
    """503 names the job: ask again."""
    async with setting(listening=False) as it:
        it.store.down = True
        with pytest.raises(JobUnavailable) as raised:
            async with it.watches.open(RUNNING.id):
                pass
        assert raised.value.job_id == RUNNING.id
        assert not raised.value.retryable, "a call that started the job would start another"


async def test_bodies():
    """From the store; gone with the record's retention; 503 without a store."""
    async with setting() as it:
        it.store.bodies[ENDED.id] = b""
        assert await it.watches.body(ENDED) == b""
        it.store.bodies.clear()
        with pytest.raises(JobExpired):
            await it.watches.body(ENDED)
        it.store.down = True
        with pytest.raises(JobUnavailable):
            await it.watches.body(ENDED)


async def test_what_changed_while_nobody_listened_is_read_when_listening_begins_again():
    """The store was away for a minute, and the job ended meanwhile."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.store.down = True
            it.store.channels["me-1"].put_nowait(StoreDown)
            await asyncio.sleep(30)
            it.store.records[RUNNING.id] = ENDED
            soon(30, setattr, it.store, "down", False)
            begun = asyncio.get_running_loop().time()
            assert await watch.changed(FAR)
            assert watch.job is ENDED
            assert 29.9 <= asyncio.get_running_loop().time() - begun <= 31


async def test_a_shard_that_is_away_keeps_nothing_from_the_others():
    """What can be read is told, and what was asked of followed jobs is done, though some cannot be read for long."""
    async with setting() as it:
        away = RUNNING.with_(id=f"00{RUNNING.id[2:]}")
        it.store.records |= {away.id: away, RUNNING.id: RUNNING}
        async with it.watches.open(away.id), it.watches.open(RUNNING.id) as watch:
            it.heeded.clear()
            it.store.away.add(away.id)
            it.store.channels["me-1"].put_nowait(StoreDown)
            soon(30, it.store.save, ENDED)
            begun = asyncio.get_running_loop().time()
            assert await watch.changed(FAR)
            assert watch.job is ENDED
            assert asyncio.get_running_loop().time() - begun <= 31
            assert None in it.heeded


async def test_a_wake_up_whose_reading_fails_is_not_lost():
    """The channel lives on while commands fail: what could not be read is read again."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.store.down = True
            it.store.save(ENDED)
            await asyncio.sleep(5)
            assert watch.job is RUNNING
            it.store.down = False
            assert await watch.changed(FAR)
            assert watch.job is ENDED


async def test_a_job_that_the_store_forgot_is_found_once_it_is_back():
    """Its follower puts it back, and the store knows nothing of who watched it."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.store.records.clear()
            it.store.watched.clear()
            for _ in range(3):
                it.store.channels["me-1"].put_nowait(None)
            await asyncio.sleep(100)
            it.store.watched.clear()
            it.store.records[RUNNING.id] = RUNNING
            await asyncio.sleep(31)
            assert it.store.watched == [(RUNNING.id, "me-1")]
            soon(1, it.store.save, ENDED)
            assert await watch.changed(FAR)
            it.store.records.clear()
            it.store.channels["me-1"].put_nowait(None)
        await asyncio.sleep(60)
        assert len(it.tasks) == 2  # the listener and its turn: nobody waits, so nobody looks


async def test_a_job_taken_over_by_another_replica_is_watched_in_the_store():
    """A caller who waited for a local job goes on waiting, for the other replica's saves."""
    async with setting() as it:
        it.local[RUNNING.id] = it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.local.clear()
            it.watches.resume(RUNNING.id)
            await asyncio.sleep(1)
            assert it.store.watched == [(RUNNING.id, "me-1")]
            soon(1, it.store.save, ENDED)
            assert await watch.changed(FAR)


async def test_the_same_while_the_store_is_away():
    """It is tried again, for as long as anybody waits."""
    async with setting() as it:
        it.local[RUNNING.id] = it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.local.clear()
            it.store.down = True
            it.watches.resume(RUNNING.id)
            await asyncio.sleep(60)
            it.store.down = False
            await asyncio.sleep(1)
            soon(1, it.store.save, ENDED)
            assert await watch.changed(FAR)
        it.store.down = True
        it.watches.resume(RUNNING.id)
        await asyncio.sleep(5)
        assert len(it.tasks) == 2  # the listener and its turn: nobody waits, so nobody tries


async def test_nobody_waits_for_what_nobody_asked_for():
    """A lost job without waiters costs the store nothing."""
    async with setting() as it:
        it.watches.resume(RUNNING.id)
        await asyncio.sleep(5)
        assert it.store.watched == []


async def test_a_new_incarnation_listens_under_its_new_name():
    """At once: jobs watched before, and jobs watched after, wake it."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        other = RUNNING.with_(id="04other")
        it.store.records[other.id] = other
        async with it.watches.open(RUNNING.id) as before:
            it.me = "me-2"
            it.watches.resume_all()
            await asyncio.sleep(0.01)
            assert (RUNNING.id, "me-2") in it.store.watched
            async with it.watches.open(other.id) as after:
                soon(1, it.store.save, ENDED.with_(id=other.id))
                assert await after.changed(FAR)
                soon(1, it.store.save, ENDED)
                assert await before.changed(FAR)


async def test_a_listener_under_an_old_name_notices():
    """A cancellation may be lost: the next wake-up under the old name tells, and nothing watched is forgotten."""
    async with setting() as it:
        it.store.records[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id) as watch:
            it.me = "me-2"
            soon(1, it.store.save, ENDED)
            assert await watch.changed(FAR)
            await asyncio.sleep(1)
            assert "me-2" in it.store.channels
            assert (RUNNING.id, "me-2") in it.store.watched


async def test_what_is_followed_here_is_not_read():
    """However often the store wakes this replica for it."""
    async with setting() as it:
        it.local[RUNNING.id] = RUNNING
        async with it.watches.open(RUNNING.id):
            it.store.channels["me-1"].put_nowait(RUNNING.id)
            it.store.channels["me-1"].put_nowait(None)
            await asyncio.sleep(1)
            assert it.store.watched == []


async def test_that_another_has_gone_is_passed_on():
    """To whoever takes jobs over."""
    async with setting() as it:
        it.store.channels["me-1"].put_nowait(Left("other-1"))
        async with asyncio.timeout(1):
            await it.somebody_left.wait()
