"""Leases and taking over: who lives, who is dead, and whose rows are whose."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from gateway.core.delivery import Attempt
from gateway.core.ids import partition_of
from gateway.core.job import SCHEMA
from gateway.store import leases
from gateway.store.codec import encode
from gateway.store.port import Created, Saved, Stored
from tests.store.conftest import LEASE
from tests.store.rows import KEEP, change, delivery_of, end, job, new, save_of

NOW = 1_700_000_000_000


class Clock:
    """A store's time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    """The time of `timed`."""
    return Clock()


@pytest.fixture
def timed(open_store, clock):
    """A store in which it is as late as `clock` says."""
    return open_store(now=clock)


async def created(store, follower, partition=3, **fields):
    """Put a job into the store and return it."""
    row = job(partition, **fields)
    assert await store.create(new(row), follower, keep=KEEP) == Created()
    return row


async def taken(store, dead, follower):
    """Take all over; return the rows by id."""
    rows = [row async for batch in store.take_over(dead, follower) for row in batch]
    by_id = {row.job.id if isinstance(row, Stored) else row.id: row for row in rows}
    assert len(by_id) == len(rows), "a row came twice"
    return by_id


# --- heartbeats ---


async def test_a_lease_holds_for_its_length(timed, clock):
    """To the last millisecond, counted from the last beat; then it is over for good."""
    assert (await timed.beat("a", join=True)).alive
    clock.now += LEASE
    assert (await timed.beat("a")).alive
    clock.now += LEASE + 1
    for _ in range(2):
        beat = await timed.beat("a")
        assert not beat.alive
        assert beat.dead == ("a",)


async def test_a_beat_says_who_is_dead(timed, clock):
    """Those whose lease has run out, no others."""
    await timed.beat("a", join=True)
    clock.now += 1
    await timed.beat("b", join=True)
    clock.now = NOW + LEASE
    assert (await timed.beat("b")).dead == ()
    clock.now += 1
    beat = await timed.beat("b")
    assert (beat.now, beat.alive, beat.dead) == (clock.now, True, ("a",))


async def test_a_beat_says_when_the_next_may_be_dead(timed, clock):
    """Another one, and living: so that whoever beats can be there in time."""
    assert (await timed.beat("a", join=True)).next is None
    clock.now += 10
    assert (await timed.beat("b", join=True)).next == NOW + LEASE
    clock.now += 10
    assert (await timed.beat("a")).next == NOW + 10 + LEASE
    assert (await timed.beat("c", join=True)).next == NOW + 10 + LEASE
    await timed.leave("b")
    assert (await timed.beat("c")).next == NOW + 20 + LEASE
    clock.now += LEASE + 1
    beat = await timed.beat("a")
    assert (beat.alive, beat.next, set(beat.dead)) == (False, None, {"a", "b", "c"})


async def test_a_lease_is_over_before_its_time(settings):
    """What is left of it is for the others: within the whole of it they follow what the dead one did."""
    assert (settings.lease, settings.granted) == (10_000, 9_000)


async def test_nobody_joins_by_beating(timed):
    """An incarnation that was never, or is no longer, remembered has no lease."""
    assert not (await timed.beat("a")).alive
    assert await timed.incarnations() == []


async def test_who_leaves_is_dead_at_once(timed):
    """Its rows need not wait for its lease to run out."""
    await timed.beat("a", join=True)
    await timed.beat("b", join=True)
    await timed.leave("a")
    assert (await timed.beat("b")).dead == ("a",)
    assert not (await timed.beat("a")).alive


async def test_leaving_unknown_leaves_no_trace(store, raw, keys):
    """An incarnation that others have forgotten is not remembered by its leaving."""
    await store.leave("a")
    assert await store.incarnations() == []
    assert not await raw.exists(keys.replicas)


async def test_the_dead_are_remembered_until_forgotten(timed, clock):
    """Incarnations are listed, dead or alive."""
    await timed.beat("a", join=True)
    clock.now += LEASE + 1
    await timed.beat("b", join=True)
    assert sorted(await timed.incarnations()) == ["a", "b"]
    await timed.forget("a")
    assert await timed.incarnations() == ["b"]
    assert (await timed.beat("b")).dead == ()


async def test_the_servers_clock_is_the_clock(store, raw):
    """Without a clock of a test's own, `now` is the server's TIME."""
    seconds, micros = await raw.time()
    beat = await store.beat("a", join=True)
    assert 0 <= beat.now - (seconds * 1000 + micros // 1000) < 60_000


# --- taking over ---


async def test_taking_over_hands_on_all_that_following_needs(store, raw, keys):
    """Record, start, credential; and the taker is the follower now."""
    row = await created(store, "a")
    running = change(await created(store, "a", 250))
    await store.save(save_of(running), "a")
    assert await taken(store, "a", "b") == {
        row.id: Stored(row, b"sealed start", b"sealed bearer"),
        running.id: Stored(running, None, b"sealed bearer"),
    }
    for one in (row, running):
        assert await raw.smembers(keys.followed(partition_of(one.id), "b")) == {one.id.encode()}
        assert not await raw.exists(keys.followed(partition_of(one.id), "a"))


async def test_taking_over_fences_the_old_follower(store):
    """A replica that wakes up changes nothing; the taker goes on at the same revision."""
    row = await created(store, "a")
    await taken(store, "a", "b")
    assert await store.save(save_of(end(row)), "a") is Saved.FENCED
    assert await store.save(save_of(change(row)), "b") is Saved.SAVED


async def test_many_rows_come_in_batches(store):
    """Every row of every partition, once, a bounded number at a time."""
    ids = {(await created(store, "a", number % 256)).id for number in range(1_100)}
    sizes, seen = [], set()
    async for batch in store.take_over("a", "b"):
        sizes.append(len(batch))
        seen |= {row.job.id for row in batch}
    assert seen == ids
    assert sum(sizes) == 1_100
    assert max(sizes) <= 500


async def rests(store, clock, number):
    """Take the one job over for the `number`th time; return for how long (ms) it is to be left alone."""
    (row,) = (await taken(store, f"f{number - 1}", f"f{number}")).values()
    return max(0, row.rests_until - clock.now)


async def test_a_job_that_ends_whoever_follows_it(timed, clock):
    """Is left alone after the third take-over in a row, for a time that doubles up to five minutes."""
    await created(timed, "f0")
    pauses = []
    for number in range(1, 16):
        pauses.append(await rests(timed, clock, number))
        clock.now += pauses[-1]
    assert pauses == [0, 0, 0, *(1_000 << n for n in range(1, 9)), 300_000, 300_000, 300_000, 300_000]


async def test_what_is_left_alone_ends_nobody(timed, clock):
    """Take-overs meanwhile do not count: it is gone on with when that was said first."""
    await created(timed, "f0")
    for number in range(1, 8):
        pause = await rests(timed, clock, number)
        clock.now += pause if number < 7 else 0
    for number in range(8, 12):
        clock.now += 1_000
        assert await rests(timed, clock, number) == pause - (number - 7) * 1_000


async def test_getting_on_clears_a_job_of_suspicion(timed, clock):
    """Any save of a started job begins the count anew."""
    row = await created(timed, "f0")
    for number in range(1, 5):
        pause = await rests(timed, clock, number)
    assert pause > 0
    assert await timed.save(save_of(change(row)), "f4") is Saved.SAVED
    assert [await rests(timed, clock, number) for number in range(5, 8)] == [0, 0, 0]
    assert await rests(timed, clock, 8) == 2_000


async def test_by_the_server_s_own_time(store):
    """As by ours."""
    await created(store, "f0")
    for number in range(1, 4):
        await taken(store, f"f{number - 1}", f"f{number}")
    before = (await store.beat("f3", join=True)).now
    (row,) = (await taken(store, "f3", "f4")).values()
    assert before + 2_000 <= row.rests_until <= (await store.beat("f3")).now + 2_000


async def test_takers_share_the_rows(store, monkeypatch):
    """Those that take over at once get different rows, and hardly one is asked for twice."""
    monkeypatch.setattr(leases, "_TAKE_BATCH", 4)
    asked = Counter()
    take_batch = store._take_batch

    async def counted(ids, dead, follower):
        asked.update(ids)
        return await take_batch(ids, dead, follower)

    monkeypatch.setattr(store, "_take_batch", counted)
    ids = {(await created(store, "a", number)).id for number in range(64)}
    shares = {name: [] for name in ("taker-1", "taker-2", "taker-3")}
    takings = {name: store.take_over("a", name) for name in shares}
    while takings:
        for name, taking in tuple(takings.items()):
            if (batch := await anext(taking, None)) is None:
                del takings[name]
            else:
                shares[name] += [row.job.id for row in batch]
    assert sorted(chain.from_iterable(shares.values())) == sorted(ids)
    assert all(len(share) > 4 for share in shares.values())
    assert asked.total() <= len(ids) + 4 * len(shares)


async def test_only_what_the_dead_followed_is_taken(store):
    """Others' rows and ended ones stay where they are."""
    mine, other, over = [await created(store, name) for name in ("a", "c", "a")]
    await store.save(save_of(end(over)), "a")
    assert set(await taken(store, "a", "b")) == {mine.id}
    assert await store.save(save_of(change(other)), "c") is Saved.SAVED


async def test_of_two_takers_one_gets_the_row(store):
    """The second finds nothing, and is fenced."""
    row = await created(store, "a")
    assert set(await taken(store, "a", "b")) == {row.id}
    assert await taken(store, "a", "c") == {}
    assert await store.save(save_of(change(row)), "c") is Saved.FENCED


async def test_an_id_left_behind_takes_nothing_from_the_living(store, raw, keys):
    """What the dead seem to follow, but another does, stays the other's."""
    row = await created(store, "c")
    await raw.sadd(keys.followed(3, "a"), row.id)
    await raw.pexpire(keys.followed(3, "a"), KEEP)
    assert await taken(store, "a", "b") == {}
    assert await store.save(save_of(change(row)), "c") is Saved.SAVED
    assert not await raw.exists(keys.followed(3, "a"))


async def test_a_taking_whose_answer_was_lost_is_repeated(store, raw, keys):
    """The taker gets a row again that is already its own."""
    row = await created(store, "a")
    await taken(store, "a", "b")
    await raw.sadd(keys.followed(3, "a"), row.id)
    await raw.pexpire(keys.followed(3, "a"), KEEP)
    assert set(await taken(store, "a", "b")) == {row.id}


async def test_a_replica_may_ask_for_its_own_rows(store):
    """Taking over from oneself gives all that one follows, and changes nothing."""
    row = await created(store, "a")
    for _ in range(2):
        assert set(await taken(store, "a", "a")) == {row.id}
    assert await store.save(save_of(change(row)), "a") is Saved.SAVED


async def test_rows_that_are_gone_are_no_longer_followed(store, raw, keys):
    """A record that expired leaves an id behind; taking over clears it."""
    row = await created(store, "a")
    await raw.delete(keys.job(row.id))
    assert await taken(store, "a", "b") == {}
    assert not await raw.exists(keys.followed(3, "a"), keys.followed(3, "b"), keys.job(row.id), keys.delivery(row.id))


async def test_deliveries_are_taken_over_too(store):
    """With what was tried so far; the old follower is fenced from them."""
    row = await created(store, "a")
    delivery = delivery_of(row)
    await store.save(save_of(end(row), delivery=delivery), "a")
    once = delivery.after(Attempt(at=NOW, took=1, status=500))
    await store.save_delivery(once, 1, "a", keep=KEEP)
    assert await taken(store, "a", "b") == {once.id: once}
    twice = once.after(Attempt(at=NOW, took=1, status=200))
    assert await store.save_delivery(twice, 2, "a", keep=KEEP) is Saved.FENCED
    assert await store.save_delivery(twice, 2, "b", keep=KEEP) is Saved.SAVED
    assert await taken(store, "b", "c") == {}


@pytest.mark.parametrize("taker", ["a", "b"])
async def test_a_delivery_done_since_the_dead_ones_rows_were_read_is_left_alone(store, raw, keys, taker):
    """By the dead one, which had not noticed: nobody follows it any more, and nobody begins to."""
    row = await created(store, "a")
    delivery = delivery_of(row)
    await store.save(save_of(end(row), delivery=delivery), "a")
    await store.save_delivery(delivery.after(Attempt(at=NOW, took=1, status=200)), 1, "a", keep=KEEP)
    assert await store._take_batch([delivery.id], "a", taker) == []
    assert not await raw.exists(keys.followed(3, taker))


async def test_what_is_taken_is_followed_as_long_as_it_lives(store, raw, keys, forward):
    """The taker's set lives as long as its longest-lived row."""
    row = await created(store, "a")
    await forward(KEEP // 2)
    await taken(store, "a", "b")
    left = await raw.pttl(keys.job(row.id))
    assert left - 1_000 < await raw.pttl(keys.followed(3, "b")) <= left


@pytest.mark.parametrize("record", [b"\xc1", encode(job(schema=SCHEMA + 1))], ids=["garbage", "newer"])
async def test_what_this_version_cannot_read_stays_with_the_dead(store, raw, keys, record):
    """It is skipped, not taken; and its follower stays remembered until a replica comes that can read it."""
    await store.beat("a", join=True)
    good, bad = await created(store, "a"), await created(store, "a")
    await raw.hset(keys.job(bad.id), "rec", record)
    assert set(await taken(store, "a", "b")) == {good.id}
    await store.forget("a")
    assert await store.incarnations() == ["a"]
    await raw.hset(keys.job(bad.id), "rec", encode(bad))
    assert set(await taken(store, "a", "c")) == {bad.id}
    await store.forget("a")
    assert await store.incarnations() == []


async def test_a_heartbeat_says_how_many_live(timed):
    """Oneself included; whoever has left or run out of time is not."""
    assert (await timed.beat("a", join=True)).living == 1
    assert (await timed.beat("b", join=True)).living == 2
    await timed.leave("a")
    assert (await timed.beat("b")).living == 1
