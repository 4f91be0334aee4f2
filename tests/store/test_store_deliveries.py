"""Deliveries beside their jobs: attached before or after the end, kept with the outcome, dead, and sent again."""

from __future__ import annotations

import secrets

import msgspec
import pytest

from gateway.core.delivery import KEPT_DEAD, MOST_OF_A_JOB, SPAN, Attempt, DeliveryState, delivery_id
from gateway.core.ids import PARTITIONS, partition_of
from gateway.store.codec import encode
from gateway.store.port import Attached, DeadLetters, DeliveryRow, Saved, SavedEnd
from tests.store.rows import BORN, KEEP, TOMBSTONE, change, delivery_of, end, job, new, save_of

URL = "https://caller.example/hook"


async def created(store, partition=3, **fields):
    """Put a job into the store and return it."""
    row = job(partition, **fields)
    await store.create(new(row), "a", keep=KEEP)
    return row


async def ended(store, partition=3, **fields):
    """Put a job into the store that has ended; return its record."""
    row = await created(store, partition)
    save = save_of(end(row), **fields)
    assert await store.save(save, "a") is Saved.SAVED
    return save.job


def to(row, url=URL, **fields):
    """Return a delivery of the job's outcome, as it is made for a URL."""
    return msgspec.structs.replace(delivery_of(row), id=delivery_id(row.id, url), url=url, **fields)


def tried(delivery, status=500, at=BORN):
    """Return `delivery` after an attempt that was answered with `status`."""
    return delivery.after(Attempt(at=at, took=5, status=status))


async def followed(raw, keys, row_id, follower):
    """Whether the store says that `follower` follows the row."""
    return bool(await raw.sismember(keys.followed(partition_of(row_id), follower), row_id))


# --- attaching ---


async def test_attached_to_a_live_job_it_waits(store, raw, keys):
    """Nobody follows it, and it is found; it is kept for longer than the job may live."""
    row = await created(store)
    delivery = to(row)
    assert await store.attach(delivery, "b") is Attached.WAITS
    assert await store.read_delivery(delivery.id) == DeliveryRow(delivery, None)
    assert await store.deliveries(row.id) == [delivery]
    assert not await followed(raw, keys, delivery.id, "b")
    for key in (keys.delivery(delivery.id), keys.deliveries(row.id)):
        assert await raw.pttl(key) > SPAN + KEEP - 60_000


async def test_the_end_has_what_waited_followed(store, raw, keys):
    """In one step with the end, by who followed the job; asked again, it says so again."""
    row = await created(store)
    first, second = to(row), to(row, URL + "2")
    for delivery in (first, second):
        await store.attach(delivery, "b")
    save = save_of(end(row))
    for _ in range(2):
        answer = await store.save(save, "a")
        assert isinstance(answer, SavedEnd)
        assert {each.id for each in answer.deliveries} == {first.id, second.id}
    for delivery in (first, second):
        assert await store.read_delivery(delivery.id) == DeliveryRow(delivery, "a")
        assert await followed(raw, keys, delivery.id, "a")
    rows = [row async for batch in store.take_over("a", "c") for row in batch]
    assert {each.id for each in rows} == {first.id, second.id}


async def test_a_save_that_is_no_end_wakes_no_delivery(store):
    """They wait on."""
    row = await created(store)
    await store.attach(to(row), "b")
    assert await store.save(save_of(change(row)), "a") is Saved.SAVED
    assert (await store.read_delivery(to(row).id)).follower is None


async def test_a_fenced_end_wakes_no_delivery(store):
    """Nothing of it is done."""
    row = await created(store)
    await store.attach(to(row), "b")
    assert await store.save(save_of(end(row)), "b") is Saved.FENCED
    assert (await store.read_delivery(to(row).id)).follower is None


async def test_the_starters_own_is_one_of_them(store):
    """Also where somebody has asked for the same URL meanwhile: then it is one."""
    row = await created(store)
    own, other = to(row), to(row, URL + "2")
    await store.attach(own, "b")
    await store.attach(other, "b")
    answer = await store.save(save_of(end(row), delivery=own), "a")
    assert [each.id for each in answer.deliveries] == [other.id]
    assert {each.id for each in await store.deliveries(row.id)} == {own.id, other.id}
    assert await store.read_delivery(own.id) == DeliveryRow(own, "a")


async def test_attached_after_the_end_it_is_due(store, raw, keys):
    """Followed by who attached it; the outcome and what finds it live as long as it does."""
    row = await ended(store, keep=60_000, tombstone=60_000)
    delivery = to(row)
    assert await store.attach(delivery, "b") is Attached.DUE
    assert await store.read_delivery(delivery.id) == DeliveryRow(delivery, "b")
    assert await followed(raw, keys, delivery.id, "b")
    for key in (keys.delivery(delivery.id), keys.job(row.id), keys.body(row.id), keys.tombstone(row.id)):
        assert await raw.pttl(key) > SPAN - 60_000


async def test_attaching_shortens_nothing(store, raw, keys):
    """A tombstone that outlives the delivery still does."""
    row = await ended(store, tombstone=SPAN + TOMBSTONE)
    await store.attach(to(row), "b")
    assert await raw.pttl(keys.tombstone(row.id)) > SPAN + TOMBSTONE - 60_000


async def test_the_outcome_is_kept_for_what_waited(store, raw, keys):
    """Although the job's own retention is shorter."""
    row = await created(store)
    await store.attach(to(row), "b")
    await store.save(save_of(end(row), keep=60_000, tombstone=60_000), "a")
    for key in (keys.job(row.id), keys.body(row.id), keys.tombstone(row.id), keys.deliveries(row.id)):
        assert await raw.pttl(key) > SPAN - 60_000


@pytest.mark.parametrize("when", ["live", "ended", "delivered"])
async def test_attached_twice_is_attached_once(store, when):
    """The second time tells of the first, however far that has come."""
    row = await created(store) if when == "live" else await ended(store)
    delivery = to(row)
    assert isinstance(await store.attach(delivery, "b"), Attached)
    now = delivery
    if when == "delivered":
        now = tried(delivery, 200)
        await store.save_delivery(now, 1, "b", keep=KEEP)
    assert await store.attach(msgspec.structs.replace(delivery, created=BORN + 5), "c") == now
    assert await store.deliveries(row.id) == [now]


async def test_nothing_is_attached_to_what_is_not_there(store, forward, raw, keys):
    """Never was, or is over: no row is left behind."""
    never, row = job(), await ended(store, keep=1_000)
    await forward(2_000)
    assert await store.attach(to(never), "b") is Attached.NEVER
    assert await store.attach(to(row), "b") is Attached.TOMBSTONE
    assert await raw.exists(keys.delivery(to(never).id), keys.delivery(to(row).id)) == 0


async def test_a_job_has_so_many_and_no_more(store):
    """Beyond, nothing is added; those that are there are still found."""
    row = await created(store)
    for number in range(MOST_OF_A_JOB):
        assert await store.attach(to(row, f"{URL}{number}"), "b") is Attached.WAITS
    assert await store.attach(to(row, f"{URL}x"), "b") is Attached.FULL
    assert await store.attach(to(row, f"{URL}0"), "b") == to(row, f"{URL}0")
    assert len(await store.deliveries(row.id)) == MOST_OF_A_JOB


async def test_an_end_that_is_saved_once_more_begins_no_delivery_anew(store, raw, keys):
    """A replica of the store that lagged has forgotten the end, but not that its delivery has arrived."""
    row = await created(store)
    own = to(row)
    save = save_of(end(row), delivery=own)
    await store.save(save, "a")
    arrived = tried(own, 200)
    await store.save_delivery(arrived, 1, "a", keep=KEEP)
    await raw.hset(keys.job(row.id), mapping={"rec": encode(row), "rev": 1, "fol": "a"})
    assert await store.save(save_of(end(row), delivery=own), "a") is Saved.SAVED
    assert await store.read_delivery(own.id) == DeliveryRow(arrived, "a")
    assert not await followed(raw, keys, own.id, "a")


# --- saving ---


async def test_what_is_not_delivered_keeps_its_outcome(store, raw, keys):
    """However far a receiver's Retry-After stretches the schedule."""
    row = await created(store)
    own = to(row)
    await store.save(save_of(end(row), delivery=own, tombstone=KEEP), "a")
    assert await store.save_delivery(tried(own), 1, "a", keep=SPAN) is Saved.SAVED
    for key in (keys.job(row.id), keys.body(row.id), keys.tombstone(row.id), keys.deliveries(row.id)):
        assert await raw.pttl(key) > SPAN - 60_000


async def test_what_is_delivered_keeps_nothing(store, raw, keys):
    """The job goes when its retention is over."""
    row = await created(store)
    own = to(row)
    await store.save(save_of(end(row), delivery=own), "a")
    await store.save_delivery(tried(own, 200), 1, "a", keep=SPAN)
    assert await raw.pttl(keys.body(row.id)) <= KEEP


# --- dead letters ---


async def dead(store, status=410, at=BORN, partition=3):
    """Bring a delivery to its end without arriving; return it."""
    row = await created(store, partition)
    own = to(row)
    await store.save(save_of(end(row), delivery=own), "a")
    after = tried(own, status, at)
    if status != 410:
        after = msgspec.structs.replace(after, state=DeliveryState.FAILED)
    assert await store.save_delivery(after, 1, "a", keep=KEPT_DEAD) is Saved.SAVED
    return after


async def test_dead_letters_are_listed_by_their_state(store):
    """Failed ones and disabled ones apart; what is pending or has arrived is in neither list."""
    failed, disabled = await dead(store, 500), await dead(store)
    row = await created(store)
    await store.save(save_of(end(row), delivery=to(row)), "a")
    await store.save_delivery(tried(to(row), 200), 1, "a", keep=KEEP)
    assert await store.dead_letters(DeliveryState.FAILED, limit=9) == DeadLetters((failed,), None)
    assert await store.dead_letters(DeliveryState.DISABLED, limit=9) == DeadLetters((disabled,), None)


async def test_dead_letters_come_in_pages_newest_first(store):
    """From all partitions, each once, equal times among them."""
    rows = [await dead(store, at=BORN + number // 3, partition=number * 37 % PARTITIONS) for number in range(10)]
    expected = sorted(rows, key=lambda each: (each.attempts[-1].at, each.id), reverse=True)
    found, place = [], None
    for _ in range(4):
        page = await store.dead_letters(DeliveryState.DISABLED, limit=3, after=place)
        found += page.deliveries
        place = page.next
    assert found == expected
    assert place is None


async def test_dead_letters_go_with_their_rows(store, forward):
    """What is kept no longer is listed no longer, and the list itself forgets."""
    await dead(store, at=BORN)
    await forward(KEPT_DEAD - 60_000)
    later = await dead(store, at=BORN + KEPT_DEAD)
    assert (await store.dead_letters(DeliveryState.DISABLED, limit=9)).deliveries == (later,)
    await forward(KEPT_DEAD)
    assert (await store.dead_letters(DeliveryState.DISABLED, limit=9)) == DeadLetters((), None)


# --- once more ---


async def test_one_that_is_dead_is_sent_again(store, raw, keys):
    """By who was asked, and it is no dead letter any more; said twice, it is done once."""
    delivery = await dead(store)
    again = delivery.again(BORN + 9)
    for _ in range(2):
        assert await store.redeliver(again, delivery.revision, "b", keep=SPAN) is Saved.SAVED
    assert await store.read_delivery(delivery.id) == DeliveryRow(again, "b")
    assert await followed(raw, keys, delivery.id, "b")
    found_by, row = keys.followed(partition_of(delivery.id), "b"), keys.delivery(delivery.id)
    assert await raw.pttl(found_by) >= await raw.pttl(row) - 60_000  # A dead one is kept longer than it is tried.
    assert (await store.dead_letters(DeliveryState.DISABLED, limit=9)).deliveries == ()


async def test_one_that_another_follows_is_taken_from_it(store, raw, keys):
    """Its former follower is fenced."""
    row = await created(store)
    own = to(row)
    await store.save(save_of(end(row), delivery=own), "a")
    assert await store.redeliver(own.again(BORN), 1, "b", keep=SPAN) is Saved.SAVED
    assert not await followed(raw, keys, own.id, "a")
    assert await store.save_delivery(tried(own), 1, "a", keep=KEEP) is Saved.FENCED
    assert await store.save_delivery(tried(own.again(BORN)), 2, "b", keep=KEEP) is Saved.SAVED


async def test_what_cannot_be_sent_again(store):
    """Changed meanwhile, still waiting, unknown, or without an outcome."""
    delivery = await dead(store)
    assert await store.redeliver(delivery.again(BORN), delivery.revision - 1, "b", keep=SPAN) is Saved.FENCED
    live = await created(store)
    await store.attach(to(live), "b")
    assert await store.redeliver(to(live).again(BORN), 1, "b", keep=SPAN) is Saved.FENCED
    never = to(job())
    assert await store.redeliver(never.again(BORN), 1, "b", keep=SPAN) is Saved.MISSING
    assert await store.erase(delivery.job_id)
    assert await store.redeliver(delivery.again(BORN), delivery.revision, "b", keep=SPAN) is Saved.MISSING


# --- receivers that want none ---


async def test_a_receiver_is_silent_for_a_while(store, forward):
    """And may be lifted before."""
    receiver, other = secrets.token_hex(32), secrets.token_hex(32)
    await store.silence(receiver, keep=KEEP)
    assert await store.is_silent(receiver)
    assert not await store.is_silent(other)
    await store.unsilence(receiver)
    assert not await store.is_silent(receiver)
    await store.silence(receiver, keep=KEEP)
    await forward(KEEP)
    assert not await store.is_silent(receiver)
