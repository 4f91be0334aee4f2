"""Leases: one heartbeat, a lost lease that comes back under a new name, the taking over of the dead."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

import pytest

from gateway.core.delivery import Delivery
from gateway.core.job import State
from gateway.store.port import Stored, StoreDown
from gateway.worker.leases import Leases
from tests.worker.doubles import ENDED, FOLLOWED, Bench, bench

pytestmark = pytest.mark.looptime

LEASE = 10.0


@dataclass
class Replica:
    """A replica's leases over the bench's store, and what they told."""

    leases: Leases
    bench: Bench
    followed: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    paused_when_dropping: bool = False
    delivered: list[tuple[Delivery, str]] = field(default_factory=list)
    took_from: list[tuple[str, int]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    renamed: int = 0
    running: asyncio.Task | None = None
    took: asyncio.Event = field(default_factory=asyncio.Event)

    def refollow(self, stored: Stored, follower: str) -> None:
        self.followed.append((stored.job.id, follower))
        self.took.set()

    async def drop_others(self, follower: str) -> None:
        self.dropped.append(follower)
        self.paused_when_dropping = self.leases.paused

    def rename(self) -> None:
        self.renamed += 1

    def run(self) -> None:
        self.running = self.bench.tasks.spawn(self.leases.run())

    def die(self) -> None:
        """Kill -9: no more heartbeats."""
        _cancel(self.running)


def _cancel(task: asyncio.Task) -> None:
    """Cancel again and again: Python 3.11's `wait_for`, in the store's client, may swallow it."""
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, _cancel, task)


@contextlib.asynccontextmanager
async def replicas():
    """Give what makes replicas over one store."""
    async with bench() as it:

        def replica(name: str) -> Replica:
            lives = (f"{name}{life}" for life in "abcdefghij")
            made = Replica(None, it)
            made.leases = Leases(
                it.store,
                it.clock,
                made,
                deliver=lambda delivery, follower: made.delivered.append((delivery, follower)),
                renamed=made.rename,
                new_name=lambda: next(lives),
                took=lambda former, rows: made.took_from.append((former, rows)),
                failed=made.failed.append,
                lease=round(LEASE * 1000),
                granted=it.store.inner._settings.granted,
                elapsed=asyncio.get_running_loop().time,
                chance=random.Random(name).random,
            )
            return made

        yield it, replica
        assert it.failed == []


async def test_a_replica_that_beats_keeps_its_name():
    """For hours, and is healthy."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        await asyncio.sleep(3600)
        assert (one.leases.incarnation, one.leases.healthy, one.renamed) == ("one-a", True, 0)
        assert 3600 / 2.5 - 2 <= it.store.calls["beat"] <= 3600 / 2.5 + 2
        assert await it.store.incarnations() == ["one-a"]


async def test_the_dead_are_taken_over():
    """Within a lease of the death jobs find a new follower; the dead are forgotten when nothing has come for long."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        new = await it.created(follower="one-a")
        await asyncio.sleep(60)
        assert two.followed == []
        one.die()
        died = asyncio.get_running_loop().time()
        await two.took.wait()
        assert 0.9 * LEASE - 2.5 <= asyncio.get_running_loop().time() - died <= 0.9 * LEASE + 0.01
        assert two.followed == [(new.job.id, "two-a")]
        assert two.took_from == [("one-a", 1)]
        await asyncio.sleep(630)
        assert await it.store.incarnations() == ["two-a"]
        assert two.followed == [(new.job.id, "two-a")]


async def test_the_empty_dead_are_looked_at_seldom():
    """What a replica cannot read waits for one that can; looking for it is no part of every heartbeat."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        new = await it.created(follower="one-a")
        await it.store.inner._redis.hset(it.store.inner._keys.job(new.job.id), "rec", b"of a later version")
        one.die()
        await asyncio.sleep(LEASE)
        await asyncio.sleep(600)
        looks = it.store.takes
        await asyncio.sleep(600)
        assert it.store.takes - looks <= 600 / 15
        assert two.followed == []
        assert "one-a" in await it.store.incarnations()


async def test_what_is_created_under_a_dead_name_is_found():
    """A command that the network held back comes long after the take-over; somebody looks for that for a while."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        one.die()
        for leases in (2, 5, 7):
            await asyncio.sleep(leases * LEASE)
            new = await it.created(follower="one-a")
            await asyncio.sleep(20)
            assert two.followed[-1] == (new.job.id, "two-a")


async def test_looking_for_the_dead_costs_little():
    """The longer a name has been dead, the more seldom it is looked at."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        one.die()
        await asyncio.sleep(19 * LEASE)
        assert await it.store.incarnations() == ["one-a", "two-a"]
        assert 0 < it.store.takes < 25


async def test_many_replicas_look_as_often_as_one():
    """At each dead, in all: the looks after a rolling restart are not replicas times replicas. Late rows are found."""
    async with replicas() as (it, replica):
        living = [replica(f"{number}-") for number in range(20)]
        for each in living:
            await each.leases.join(alone=False)
            each.run()
        await asyncio.sleep(LEASE)
        living.pop().die()
        await asyncio.sleep(5 * LEASE)
        at_first = it.store.takes
        new = await it.created(follower="19-a")
        await asyncio.sleep(13 * LEASE)
        assert 0 < it.store.takes - at_first < 40
        assert [job_id for each in living for job_id, _ in each.followed] == [new.job.id]
        await asyncio.sleep(20 * LEASE)
        assert "19-a" not in await it.store.incarnations()


class SlowToSay:
    """A store that takes its time to say that somebody has left nothing."""

    def __init__(self, inner, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self.asked: set[str] = set()

    def __getattr__(self, verb: str):
        return getattr(self._inner, verb)

    async def take_over(self, dead: str, follower: str):
        self.asked.add(dead)
        await asyncio.sleep(self._seconds)
        async for rows in self._inner.take_over(dead, follower):
            yield rows


async def test_however_many_have_died_the_heartbeat_goes_on():
    """Looking for all of them would take longer than the lease: whoever did so would be dead to the others."""
    async with replicas() as (it, replica):
        gone = {f"gone-{number}" for number in range(300)}
        for name in gone:
            await it.store.beat(name, join=True)
        await asyncio.sleep(2 * LEASE)
        one, two = replica("one-"), replica("two-")
        slow = one.leases._store = SlowToSay(it.store, 0.05)
        for each in (one, two):
            await each.leases.join(alone=False)
        one.run()
        new = await it.created(follower="two-a")  # whose replica makes no more heartbeats
        died = asyncio.get_running_loop().time()
        await one.took.wait()
        assert asyncio.get_running_loop().time() - died < LEASE
        assert one.followed == [(new.job.id, "one-a")]
        assert slow.asked < gone | {"two-a"}
        await asyncio.sleep(10 * LEASE)
        assert slow.asked == gone | {"two-a"}
        assert (one.leases.incarnation, one.renamed) == ("one-a", 0)


async def test_what_is_being_created_comes_along_to_a_new_name():
    """The lease is lost while a job is on its way into the store: nothing is taken along before it is there."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        with one.leases.naming() as name:
            it.store.down.add("beat")
            await asyncio.sleep(30)
            it.store.down.clear()
            await asyncio.sleep(5)
            assert (name, one.leases.incarnation, one.dropped) == ("one-a", "one-b", [])
            new = await it.created(follower=name)
        await asyncio.sleep(5)
        assert one.followed == [(new.job.id, "one-b")]
        assert one.dropped[0] == "one-b"


async def test_what_was_created_and_is_not_yet_answered_is_followed_once():
    """It is in the store under the former name, and its creator about to follow it: nobody here does so before."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        with one.leases.naming() as name:
            it.store.down.add("beat")
            await asyncio.sleep(30)
            new = await it.created(follower=name)
            it.store.down.clear()
            await asyncio.sleep(5)
            assert (one.leases.incarnation, one.followed) == ("one-b", [])
        await asyncio.sleep(5)
        assert one.followed == [(new.job.id, "one-b")]


async def test_a_shard_that_is_away_is_owed_once():
    """Heartbeats come through, taking over does not, for an hour: one look makes up for it."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        one.die()
        taking = it.store.take_over

        async def nobody_there(dead: str, follower: str):
            raise StoreDown("one of the shards")
            yield

        it.store.take_over = nobody_there
        await asyncio.sleep(3600)
        it.store.take_over, looks = taking, it.store.takes
        await asyncio.sleep(2.5)
        assert it.store.takes - looks <= 2
        assert two.leases.healthy


async def test_deliveries_are_taken_over_too():
    """Each to whoever follows deliveries."""
    async with replicas() as (it, replica):
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
        await it.store.beat("replica-1", join=True)
        await it.until(await it.followed(callback_url="https://caller.example/"), State.SUCCEEDED)
        two = replica("two-")
        await two.leases.join(alone=False)
        two.run()
        await asyncio.sleep(30)
        ((delivery, follower),) = two.delivered
        assert (delivery.id, follower) == (it.delivered[0][0].id, "two-a")


async def test_alone_takes_over_at_once():
    """With an embedded store no other replica can live: what was followed before the restart is ours now."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        new = await it.created(follower="one-a")
        again = replica("again-")
        await again.leases.join(alone=True)
        assert again.followed == [(new.job.id, "again-a")]


async def test_together_waits_for_the_lease_to_run_out():
    """With a shared store the others may well live."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        await it.created(follower="one-a")
        two = replica("two-")
        await two.leases.join(alone=False)
        assert two.followed == []


async def test_leaving_hands_over_at_once():
    """A replica that goes in order is not waited for."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        new = await it.created(follower="one-a")
        one.die()
        await one.leases.leave()
        two.leases.hurry()
        await asyncio.sleep(0.1)
        assert two.followed == [(new.job.id, "two-a")]


async def test_leaving_ends_the_heartbeat():
    """For good: one that was on its way does not come back under another name, and take its jobs back."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        new = await it.created(follower="one-a")
        beating = it.store.hang("beat")
        one.leases.hurry()
        await asyncio.sleep(1)
        leaving = it.tasks.spawn(one.leases.leave())
        await asyncio.sleep(1)
        assert not leaving.done()
        beating.set()
        await leaving
        await asyncio.sleep(60)
        assert (one.leases.incarnation, one.followed, one.renamed) == ("one-a", [], 0)
        assert one.running.done()
        two = replica("two-")
        await two.leases.join(alone=False)
        assert two.followed == [(new.job.id, "two-a")]


async def test_a_lost_lease_comes_back_under_a_new_name():
    """The store was away for longer than the lease: what is still there is kept, the rest is dropped, watches told."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        new = await it.created(follower="one-a")
        it.store.down.add("beat")
        await asyncio.sleep(30)
        assert (one.leases.incarnation, one.leases.healthy, one.followed) == ("one-a", False, [])
        it.store.down.clear()
        await asyncio.sleep(5)
        assert (one.leases.incarnation, one.leases.healthy) == ("one-b", True)
        assert one.followed[0] == (new.job.id, "one-b")
        assert one.dropped[0] == "one-b"
        assert one.renamed >= 1


async def test_what_others_have_taken_stays_theirs():
    """A paused replica wakes up and finds its job gone: it is not followed twice."""
    async with replicas() as (it, replica):
        one, two = replica("one-"), replica("two-")
        for each in (one, two):
            await each.leases.join(alone=False)
            each.run()
        new = await it.created(follower="one-a")
        one.die()
        await asyncio.sleep(30)
        one.run()
        await asyncio.sleep(30)
        assert two.followed == [(new.job.id, "two-a")]
        assert one.followed == []
        assert (one.leases.incarnation, one.dropped[0]) == ("one-b", "one-b")


async def test_a_pause_is_remembered_until_what_others_took_is_dropped():
    """A new name says nothing of what happened under the old one: an old answer is not told from memory meanwhile."""
    async with replicas() as (_it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        await asyncio.sleep(30)
        one.die()
        await asyncio.sleep(30)
        one.run()
        await asyncio.sleep(4)
        assert (one.dropped, one.paused_when_dropping) == (["one-b"], True)
        await asyncio.sleep(4)
        assert not one.leases.paused


async def test_a_replica_knows_until_when_its_lease_holds():
    """From when the heartbeat was sent, and again once it has another name: whoever starts jobs asks for it."""
    async with replicas() as (it, replica):
        one = replica("one-")
        assert not one.leases.holds("one-a")
        await one.leases.join(alone=False)
        one.run()
        await asyncio.sleep(60)
        assert one.leases.holds("one-a")
        it.store.down.add("beat")
        await asyncio.sleep(0.9 * LEASE - 2.6)
        assert one.leases.holds("one-a")
        await asyncio.sleep(2.7)
        assert not one.leases.holds("one-a")
        it.store.down.clear()
        await asyncio.sleep(3)
        assert (one.leases.holds("one-a"), one.leases.holds("one-b")) == (False, True)


async def test_a_short_outage_costs_nothing():
    """Two heartbeats may be lost before the lease is."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        await asyncio.sleep(4)
        it.store.down.add("beat")
        await asyncio.sleep(5)
        assert not one.leases.healthy
        it.store.down.clear()
        await asyncio.sleep(5)
        assert (one.leases.incarnation, one.leases.healthy) == ("one-a", True)


async def test_joining_needs_the_store():
    """A gateway without one does not begin to serve."""
    async with replicas() as (it, replica):
        it.store.down.add("beat")
        with pytest.raises(StoreDown):
            await replica("one-").leases.join(alone=False)


async def test_the_clock_is_set_by_every_beat():
    """The store's time is everybody's."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        await asyncio.sleep(1)
        original = it.store.inner._now
        it.store.inner._now = lambda: original() + 5_000
        before = it.clock.now()
        await asyncio.sleep(3)
        assert it.clock.now() - before == pytest.approx(8_000, abs=2)


async def test_a_defect_does_not_stop_the_heartbeat():
    """It is told, the replica is not healthy, and the next beat is made all the same."""
    async with replicas() as (it, replica):
        one = replica("one-")
        await one.leases.join(alone=False)
        one.run()
        it.store.broken.add("beat")
        await asyncio.sleep(LEASE / 2)
        assert one.failed
        assert not one.leases.healthy
        it.store.broken.clear()
        await asyncio.sleep(LEASE / 2)
        assert one.leases.healthy
        assert one.leases.incarnation == "one-a"
