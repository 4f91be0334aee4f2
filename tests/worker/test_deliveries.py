"""Following callback deliveries: the schedule over days, in virtual time, and everything that may come between."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pytest

from gateway.core.delivery import SCHEDULE, Attempt, Delivery, DeliveryState
from gateway.core.job import State
from gateway.core.policy import DAY
from gateway.store.codec import encode
from gateway.store.port import Saved
from gateway.worker.deliveries import Deliveries
from tests.worker.doubles import BORN, ENDED, FOLLOWED, ME, OK, Bench, bench, elapsed

pytestmark = pytest.mark.looptime

WEEK = 7 * 24 * 3600


@dataclass
class Posted:
    """One attempt as the postman saw it."""

    at: int
    id: str
    url: str
    body: bytes


@dataclass
class Postman:
    """Answers attempts by its script: a status, a pair of status and hint, an exception, an event to wait for."""

    script: list = field(default_factory=list)
    by_url: dict = field(default_factory=dict)
    posted: list[Posted] = field(default_factory=list)

    async def deliver(self, delivery: Delivery, job, body: bytes, now: int):
        self.posted.append(Posted(elapsed(), delivery.id, delivery.url, body))
        said = self.by_url.get(delivery.url) or (self.script.pop(0) if len(self.script) > 1 else self.script[0])
        if isinstance(said, asyncio.Event):
            await said.wait()
            said = 200
        if isinstance(said, Exception):
            raise said
        status, hint = said if isinstance(said, tuple) else (said, 0)
        return Attempt(now, 1, status, None if status else "ClientConnectorError"), hint


@dataclass
class Round:
    """A bench with deliveries on it."""

    bench: Bench
    deliveries: Deliveries
    postman: Postman
    told: list[Delivery]

    async def due(self, url: str = "https://caller.example/hook") -> Delivery:
        """Bring a job to its end, have its delivery followed, and return it."""
        it = self.bench
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
        await it.until(await it.followed(callback_url=url), State.SUCCEEDED)
        await asyncio.sleep(0.01)
        delivery, follower = it.delivered.pop()
        self.deliveries.follow(delivery, follower)
        return delivery

    async def left(self, follower: str = ME) -> list[Delivery]:
        """Return the deliveries that the store still has for `follower`, and leave them to another."""
        return [row async for rows in self.bench.store.inner.take_over(follower, "other") for row in rows]


@contextlib.asynccontextmanager
async def on_the_round(*script: object):
    """Give deliveries over a store in this process, and a postman with a script."""
    async with bench() as it:
        postman, told = Postman(list(script)), []
        deliveries = Deliveries(
            it.store, postman, it.clock, it.tasks, told=told.append, receiver=partial(it.vault.hash, "receiver")
        )
        try:
            yield Round(it, deliveries, postman, told)
        finally:
            deliveries.stop()


async def test_a_delivery_that_arrives():
    """At once, with the outcome's body; then it is over, in the store too."""
    async with on_the_round(200) as it:
        delivery = await it.due()
        await asyncio.sleep(WEEK)
        assert [(post.id, post.url, post.body) for post in it.postman.posted] == [(delivery.id, delivery.url, OK.body)]
        assert [(told.state, told.revision) for told in it.told] == [(DeliveryState.DELIVERED, 2)]
        assert await it.left() == []


async def test_a_receiver_that_is_never_there():
    """Every attempt of the schedule, under one webhook id; then a dead letter."""
    async with on_the_round(None) as it:
        delivery = await it.due()
        await asyncio.sleep(WEEK)
        assert {post.id for post in it.postman.posted} == {delivery.id}
        waits = [after.at - before.at for before, after in zip(it.postman.posted, it.postman.posted[1:], strict=False)]
        assert len(waits) == len(SCHEDULE) - 1
        assert all(plan <= wait <= plan * 1.1 + 5 for plan, wait in zip(SCHEDULE[1:], waits, strict=True))
        assert [told.state for told in it.told] == [DeliveryState.PENDING] * 9 + [DeliveryState.FAILED]
        assert await it.left() == []


async def test_a_save_under_the_former_name_is_made_again():
    """It was on its way while this replica took over from itself: the delivery is not another's."""
    async with on_the_round(None, 200) as it:
        release = it.bench.store.hang("save_delivery")
        await it.due()
        await asyncio.sleep(1)
        async for rows in it.bench.store.inner.take_over(ME, "replica-1b"):
            for row in rows:
                it.deliveries.follow(row, "replica-1b")
        release.set()
        await asyncio.sleep(WEEK)
        assert [told.state for told in it.told] == [DeliveryState.PENDING, DeliveryState.DELIVERED]
        assert await it.left("replica-1b") == []


async def test_a_receiver_that_wants_no_more():
    """410, and it is left alone."""
    async with on_the_round(410) as it:
        await it.due()
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 1
        assert it.told[-1].state is DeliveryState.DISABLED


async def test_a_receiver_that_wants_no_more_is_left_alone_for_a_day():
    """Other deliveries of the same caller to the same URL are disabled unsent; other URLs get theirs."""
    async with on_the_round(410) as it:
        it.postman.by_url["https://other.example/"] = 200
        await it.due()
        await asyncio.sleep(1)
        await it.due()
        await it.due("https://other.example/")
        await asyncio.sleep(1)
        assert [post.url for post in it.postman.posted] == ["https://caller.example/hook", "https://other.example/"]
        assert [told.state for told in it.told] == [
            DeliveryState.DISABLED, DeliveryState.DISABLED, DeliveryState.DELIVERED,
        ]  # fmt: skip
        assert it.told[1].attempts[-1].error == "the receiver answered 410 before"
        it.postman.script[:] = [200]
        (key,) = [key async for key in it.bench.store.inner._redis.scan_iter("*:silent:*")]
        assert DAY - 10_000 <= await it.bench.store.inner._redis.pttl(key) <= DAY
        await it.bench.store.inner._redis.delete(key)
        await it.due()
        await asyncio.sleep(1)
        assert it.told[-1].state is DeliveryState.DELIVERED


async def test_a_receiver_that_asks_for_time():
    """It gets what it asks for; then the delivery arrives."""
    async with on_the_round((503, 600_000), 204) as it:
        await it.due()
        await asyncio.sleep(WEEK)
        first, second = it.postman.posted
        assert 600_000 <= second.at - first.at <= 600_002
        assert it.told[-1].state is DeliveryState.DELIVERED


async def test_a_dead_receiver_does_not_delay_others():
    """While one attempt hangs, the others' go out."""
    async with on_the_round(200) as it:
        hanging = it.postman.by_url["https://dead.example/"] = asyncio.Event()
        for _ in range(10):
            await it.due("https://dead.example/")
        await it.due()
        handed_over = elapsed()
        await asyncio.sleep(1)
        assert it.postman.posted[-1].at - handed_over < 20
        assert [told.url for told in it.told] == ["https://caller.example/hook"]
        hanging.set()


async def test_a_receiver_has_a_share_of_the_attempts():
    """However many are due to it: the rest waits for room, and comes."""
    async with on_the_round(200) as it:
        hanging = it.postman.by_url["https://slow.example/"] = asyncio.Event()
        for _ in range(20):
            await it.due("https://slow.example/")
        await asyncio.sleep(1)
        assert len(it.postman.posted) == 8
        hanging.set()
        await asyncio.sleep(1)
        assert len(it.postman.posted) == 20


async def test_a_black_hole_holds_up_nobody():
    """A thousand deliveries to one that takes and never answers; those to others go out at once all the same."""
    async with on_the_round(200) as it:
        one = await it.due("https://hole.example/")
        hole = it.postman.by_url["https://hole.example/"] = asyncio.Event()
        await asyncio.sleep(1)
        for number in range(1_000):
            it.deliveries.follow(msgspec.structs.replace(one, id=f"03{number:022}"), ME)
        for _ in range(3):
            handed_over = elapsed()
            await it.due()
            await asyncio.sleep(1)
            assert it.postman.posted[-1].url == "https://caller.example/hook"
            assert it.postman.posted[-1].at - handed_over < 200
        hole.set()


async def test_what_waits_has_no_task():
    """Thousands may wait for days: each is an entry of the schedule, or of the queue."""
    async with on_the_round(None) as it:
        one = await it.due("https://hole.example/")
        await asyncio.sleep(1)
        before = len(asyncio.all_tasks())
        later = elapsed() + BORN + DAY
        for number in range(5_000):
            it.deliveries.follow(msgspec.structs.replace(one, id=f"03{number:022}", due=later), ME)
        await asyncio.sleep(1)
        assert len(it.deliveries) == 5_001
        assert len(asyncio.all_tasks()) == before


async def test_an_attempt_whose_save_is_lost_is_made_again():
    """At least once, under the same id."""
    async with on_the_round(200) as it:
        it.bench.store.down.add("save_delivery")
        delivery = await it.due()
        await asyncio.sleep(5)
        it.bench.store.down.clear()
        await asyncio.sleep(5)
        assert len(it.postman.posted) >= 2
        assert {post.id for post in it.postman.posted} == {delivery.id}
        assert [told.state for told in it.told] == [DeliveryState.DELIVERED]
        posted = len(it.postman.posted)
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == posted


async def test_nothing_is_posted_while_the_outcome_cannot_be_read():
    """The store is away: later, every second."""
    async with on_the_round(200) as it:
        it.bench.store.down.add("read_body")
        await it.due()
        await asyncio.sleep(60)
        assert it.postman.posted == []
        assert it.bench.store.calls["read_body"] <= 61
        it.bench.store.down.clear()
        await asyncio.sleep(2)
        assert len(it.postman.posted) == 1


async def test_a_delivery_that_another_replica_follows_is_dropped():
    """Its row tells before anything is sent; the other one goes on."""
    async with on_the_round(None) as it:
        delivery = await it.due()
        await asyncio.sleep(1)
        (row,) = await it.left()
        assert (row.id, len(row.attempts)) == (delivery.id, 1)
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 1
        assert len(it.deliveries) == 0


async def test_a_delivery_that_is_taken_over_in_the_middle_of_an_attempt():
    """What it came to is not saved over what the other one does."""
    async with on_the_round(200) as it:
        it.postman.by_url["https://slow.example/"] = answering = asyncio.Event()
        await it.due("https://slow.example/")
        await asyncio.sleep(1)
        (row,) = await it.left()
        answering.set()
        await asyncio.sleep(WEEK)
        assert (await it.bench.store.inner.read_delivery(row.id)).delivery == row
        assert len(it.deliveries) == 0


async def test_a_delivery_that_comes_back_in_the_middle_of_an_attempt():
    """Sent again by somebody's wish while it was being sent: that is done too, once the attempt is over."""
    async with on_the_round(200) as it:
        it.postman.by_url["https://slow.example/"] = answering = asyncio.Event()
        delivery = await it.due("https://slow.example/")
        await asyncio.sleep(1)
        again = delivery.again(elapsed() + BORN)
        assert await it.bench.store.inner.redeliver(again, delivery.revision, ME, keep=DAY) is Saved.SAVED
        it.deliveries.follow(again, ME)
        await asyncio.sleep(1)
        assert len(it.postman.posted) == 1
        answering.set()
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 2
        held = (await it.bench.store.inner.read_delivery(delivery.id)).delivery
        assert (held.state, held.revision, len(held.attempts)) == (DeliveryState.DELIVERED, 3, 1)


async def test_a_delivery_taken_over_goes_on_where_it_stood():
    """What another replica has tried counts."""
    async with on_the_round(None) as it:
        await it.due()
        await asyncio.sleep(1)
        (row,) = await it.left()
        it.deliveries.follow(row, "other")
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == len(SCHEDULE)
        assert it.told[-1].state is DeliveryState.FAILED


async def test_a_defect_costs_a_pause():
    """It is told, and the delivery is not forgotten for it."""
    async with on_the_round(RuntimeError("a bug"), 200) as it:
        await it.due()
        await asyncio.sleep(300)
        assert [str(error) for error in it.bench.failed] == ["a bug"]
        assert 50_000 <= it.postman.posted[1].at - it.postman.posted[0].at <= 70_000
        assert it.told[-1].state is DeliveryState.DELIVERED


@pytest.mark.parametrize("kind", ["job", "body"])
async def test_an_outcome_that_is_no_longer_kept(kind: str):
    """Nothing is left to deliver: a dead letter, and no loop without end."""
    async with on_the_round((503, DAY), 200) as it:
        delivery = await it.due()
        await asyncio.sleep(1)
        keys = it.bench.store.inner._keys
        await it.bench.store.inner._redis.delete(getattr(keys, kind)(delivery.job_id))
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 1
        assert it.told[-1].state is DeliveryState.FAILED
        assert it.told[-1].attempts[-1].error == "the outcome is no longer kept"
        assert await it.left() == []


async def test_an_end_that_the_store_has_forgotten():
    """A replica of it lagged and was promoted: nothing is sent until the job has ended there again."""
    async with on_the_round(200) as it:
        it.bench.store.down.add("read_delivery")
        delivery = await it.due()
        store = it.bench.store.inner
        key = store._keys.job(delivery.job_id)
        record = await store._redis.hget(key, "rec")
        before = (await store.read(delivery.job_id)).with_(state=State.RUNNING, outcome=None)
        await store._redis.hset(key, "rec", encode(before))
        it.bench.store.down.clear()
        await asyncio.sleep(60)
        assert it.postman.posted == []
        await store._redis.hset(key, "rec", record)
        await asyncio.sleep(15)
        assert [told.state for told in it.told] == [DeliveryState.DELIVERED]


async def test_stopping_begins_no_more_attempts():
    """What is due is for the next replica, which finds it in the store."""
    async with on_the_round(None) as it:
        await it.due()
        await asyncio.sleep(1)
        it.deliveries.stop()
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 1
        assert len(await it.left()) == 1


async def test_an_attempt_under_way_when_it_stops():
    """Its result is saved; the next attempt is another replica's."""
    async with on_the_round(200) as it:
        it.postman.by_url["https://slow.example/"] = answering = asyncio.Event()
        await it.due("https://slow.example/")
        await asyncio.sleep(1)
        it.deliveries.stop()
        it.bench.store.down.add("save_delivery")
        answering.set()
        await asyncio.sleep(60)
        it.bench.store.down.clear()
        await asyncio.sleep(WEEK)
        assert len(it.postman.posted) == 1
        assert len(await it.left()) == 1
