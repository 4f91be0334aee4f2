"""What every store does with jobs, their outcomes, credentials and deliveries: the port, verb by verb."""

from __future__ import annotations

import pytest

from gateway.core.delivery import Attempt
from gateway.core.ids import partition_of
from gateway.core.job import SCHEMA, OutcomeHead, State
from gateway.store.codec import encode
from gateway.store.port import Created, Gone, Held, Holder, KeyTaken, Saved, StoreDown
from tests.store.rows import KEEP, TOMBSTONE, change, delivery_of, end, job, new, save_of

KEY, PRINT = "ab" * 32, "cd" * 32


async def created(store, row=None, follower="a", **options):
    """Put a job into the store and return it."""
    order = new(row or job(), **options)
    assert await store.create(order, follower, keep=KEEP) == Created()
    return order.job


async def followed(raw, keys, row_id, follower):
    """Whether the store says that `follower` follows the row."""
    return bool(await raw.sismember(keys.followed(partition_of(row_id), follower), row_id))


async def test_which_of_these_jobs_have_no_record(store, raw, keys):
    """A tombstone is none."""
    there, gone = await created(store), job()
    await raw.set(keys.tombstone(gone.id), "who", px=KEEP)
    assert await store.missing([there.id, gone.id]) == {gone.id}
    assert await store.missing([]) == set()


# --- create ---


async def test_a_created_job_is_read_back(store, raw, keys):
    """The record, whole, with its follower."""
    row = await created(store)
    assert await store.read(row.id) == row
    assert await followed(raw, keys, row.id, "a")


async def test_all_that_create_writes_expires_with_the_record(store, raw, keys):
    """Every key gets the record's time to live."""
    row = await created(store, job(key=KEY), fingerprint=PRINT)
    for key in (keys.job(row.id), keys.idempotency(partition_of(row.id), KEY), keys.followed(3, "a")):
        assert KEEP - 60_000 < await raw.pttl(key) <= KEEP


async def test_a_shorter_lived_job_leaves_the_others_followed(store, raw, keys):
    """The set of followed rows lives as long as its longest-lived row."""
    await created(store)
    assert await store.create(new(job()), "a", keep=1_000) == Created()
    assert await raw.pttl(keys.followed(3, "a")) > KEEP - 60_000


async def test_create_again_changes_nothing(store):
    """A create whose answer was lost is repeated without harm, with a key and without."""
    for row in (job(), job(key=KEY)):
        assert await store.create(new(row, fingerprint=PRINT), "a", keep=KEEP) == Created()
        assert await store.create(new(row, fingerprint=PRINT), "a", keep=KEEP) == Created()


async def test_a_key_is_held_by_its_first_call(store):
    """The same key and arguments find the first job; nothing new is made."""
    first = await created(store, job(key=KEY), fingerprint=PRINT)
    second = job(key=KEY)
    assert await store.create(new(second, fingerprint=PRINT), "b", keep=KEEP) == Held(first.id)
    assert await store.read(second.id) is Gone.NEVER


async def test_whose_a_key_is(store):
    """Its first call's, and nobody's before; asking takes nothing."""
    first = job(key=KEY)
    assert await store.holder(KEY, partition_of(first.id)) is None
    await created(store, first, fingerprint=PRINT)
    assert await store.holder(KEY, partition_of(first.id)) == Holder(first.id, PRINT)


async def test_a_key_is_taken_for_other_arguments(store):
    """The same key with another fingerprint is refused, and nothing new is made."""
    await created(store, job(key=KEY), fingerprint=PRINT)
    second = job(key=KEY)
    assert await store.create(new(second, fingerprint="other"), "b", keep=KEEP) == KeyTaken()
    assert await store.read(second.id) is Gone.NEVER


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_job_that_moved_on_is_not_replaced_by_its_beginning(store, key):
    """A create that comes late finds the job as it is."""
    row = await created(store, job(key=key))
    running = change(row)
    assert await store.save(save_of(running), "a") is Saved.SAVED
    assert await store.create(new(row, operation="another call"), "a", keep=KEEP) == Held(row.id)
    assert await store.create(new(row), "a", keep=KEEP) == Created()  # it was, by this very call
    assert await store.read(row.id) == running


# --- read ---


async def test_a_job_that_is_over_does_not_begin_again(store):
    """Its record is erased and its key free; a creation of the same id that comes late finds its tombstone."""
    row = await created(store, job(key=KEY), fingerprint=PRINT)
    await store.save(save_of(end(row), key_keep=0), "a")
    assert await store.erase(row.id)
    assert await store.holder(KEY, partition_of(row.id)) is None
    assert await store.create(new(row, fingerprint=PRINT), "a", keep=KEEP) == Held(row.id)
    assert await store.read(row.id) is Gone.TOMBSTONE


async def test_a_job_that_never_was(store):
    """No record, no tombstone, no body, no credential."""
    nobody = job().id
    assert await store.read(nobody) is Gone.NEVER
    assert await store.read_body(nobody) is None
    assert await store.read_credential(nobody) is None


@pytest.mark.parametrize("record", [b"\xc1", encode(job(schema=SCHEMA + 1))], ids=["garbage", "newer"])
async def test_a_record_that_this_version_cannot_read(store, raw, keys, record):
    """It is neither gone nor guessed at: the store cannot serve it, and leaves it as it is."""
    row = await created(store)
    await raw.hset(keys.job(row.id), "rec", record)
    for attempt in (store.read(row.id), store.watch(row.id, "w")):
        with pytest.raises(StoreDown, match="cannot be read"):
            await attempt
    assert await raw.hget(keys.job(row.id), "rec") == record


# --- save ---


async def test_a_save_is_applied(store, raw, keys):
    """The record changes, is followed still, and the start is dropped once it was answered."""
    row = await created(store)
    starting = change(row, state=State.STARTING)
    assert await store.save(save_of(starting), "a") is Saved.SAVED
    assert await raw.hget(keys.job(row.id), "start") == b"sealed start"
    running = change(starting)
    assert await store.save(save_of(running), "a") is Saved.SAVED
    assert await store.read(row.id) == running
    assert await raw.hget(keys.job(row.id), "start") is None
    assert await followed(raw, keys, row.id, "a")


async def test_a_save_by_another_follower_is_fenced(store):
    """Nothing is written, not even a part."""
    row = await created(store)
    assert await store.save(save_of(end(row)), "b") is Saved.FENCED
    assert await store.read(row.id) == row
    assert await store.read_body(row.id) is None


async def test_a_save_on_an_earlier_revision_is_fenced(store):
    """What the store holds is newer than what the save came from."""
    row = await created(store)
    assert await store.save(save_of(change(row, revision=1)), "a") is Saved.FENCED
    assert await store.read(row.id) == row


@pytest.mark.parametrize("revision", [2, 10])
async def test_a_store_that_fell_back_takes_what_its_follower_knows(store, revision):
    """A replica that lagged was promoted: the follower's record is newer by more than one change."""
    row = await created(store)
    ahead = change(row, revision=revision + 1)
    assert await store.save(save_of(ahead), "b") is Saved.FENCED
    assert await store.save(save_of(ahead), "a") is Saved.SAVED
    assert await store.read(row.id) == ahead


async def test_a_save_again_is_applied_once(store):
    """The same operation is confirmed without being done again, ends included."""
    row = await created(store)
    first = save_of(change(row))
    assert [await store.save(first, "a"), await store.save(first, "a")] == [Saved.SAVED, Saved.SAVED]
    assert (await store.read(row.id)).revision == 2
    last = save_of(end(first.job))
    assert [await store.save(last, "a"), await store.save(last, "a")] == [Saved.SAVED, Saved.SAVED]
    assert await store.read(row.id) == last.job


async def test_a_save_of_another_operation_at_the_same_revision_is_fenced(store):
    """Two changes of one record: the first wins."""
    row = await created(store)
    first, second = change(row, message="first"), change(row, message="second")
    assert await store.save(save_of(first), "a") is Saved.SAVED
    assert await store.save(save_of(second), "a") is Saved.FENCED
    assert await store.read(row.id) == first


async def test_a_save_of_nothing_is_missing(store, raw, settings):
    """A job that the store has lost is not brought back."""
    row = job(key=KEY)
    assert await store.save(save_of(end(row)), "a") is Saved.MISSING
    assert not [key async for key in raw.scan_iter(f"{settings.prefix}*")]


async def test_a_save_renews_all_that_the_job_needs(store, raw, keys, forward):
    """What finds the row, guards its key or waits for it lives as long as the row itself."""
    row = await created(store, job(key=KEY), fingerprint=PRINT)
    await store.watch(row.id, "w")
    await forward(KEEP // 2)
    assert await store.save(save_of(change(row)), "a") is Saved.SAVED
    await forward(KEEP - 60_000)
    assert await followed(raw, keys, row.id, "a")
    assert await raw.smembers(keys.watchers(row.id)) == {b"w"}
    assert await store.create(new(job(key=KEY), fingerprint=PRINT), "a", keep=KEEP) == Held(row.id)


# --- the end ---


async def test_an_end_leaves_outcome_and_tombstone_and_no_secret(store, raw, keys):
    """The body is kept with the record; credential, start and follower go."""
    row = await created(store)
    last = end(row)
    assert await store.save(save_of(last, body=b'{"sum":3}'), "a") is Saved.SAVED
    assert await store.read(row.id) == last
    assert await store.read_body(row.id) == b'{"sum":3}'
    assert await store.read_credential(row.id) is None
    assert set(await raw.hgetall(keys.job(row.id))) == {b"rec", b"rev", b"op", b"created"}
    assert not await followed(raw, keys, row.id, "a")


async def test_an_empty_body_is_a_body(store):
    """An outcome without content is not one that is gone."""
    row = await created(store)
    await store.save(save_of(end(row), body=None), "a")
    assert await store.read_body(row.id) == b""


async def test_an_ended_job_does_not_change(store):
    """Its last follower is no follower any more."""
    row = await created(store)
    last = end(row)
    await store.save(save_of(last), "a")
    assert await store.save(save_of(change(last)), "a") is Saved.FENCED
    assert await store.read(row.id) == last


async def test_a_tombstone_outlives_the_record(store, forward):
    """First the outcome, then a tombstone, then nothing."""
    row = await created(store)
    assert await store.buried(row.id) is None
    await store.save(save_of(end(row)), "a")
    await forward(KEEP)
    assert await store.read(row.id) is Gone.TOMBSTONE
    assert await store.buried(row.id) == row.principal
    assert await store.watch(row.id, "w") is Gone.TOMBSTONE
    assert await store.read_body(row.id) is None
    await forward(TOMBSTONE - KEEP)
    assert await store.read(row.id) is Gone.NEVER
    assert await store.watch(row.id, "w") is Gone.NEVER
    assert await store.buried(row.id) is None


@pytest.mark.parametrize("tombstone", [0, 1, KEEP // 2])
async def test_a_tombstone_is_never_kept_shorter_than_the_record(store, raw, keys, tombstone):
    """Else a job would be forgotten while its outcome can be read."""
    row = await created(store)
    assert await store.save(save_of(end(row), tombstone=tombstone), "a") is Saved.SAVED
    assert KEEP - 60_000 < await raw.pttl(keys.tombstone(row.id)) <= KEEP


async def test_a_key_lives_on_to_the_tombstones_end(store, forward):
    """A late repetition finds the old job, not a new start."""
    row = await created(store, job(key=KEY), fingerprint=PRINT)
    await store.save(save_of(end(row)), "a")
    again = new(job(key=KEY), fingerprint=PRINT)
    await forward(TOMBSTONE - 60_000)
    assert await store.read(row.id) is Gone.TOMBSTONE
    assert await store.create(again, "a", keep=KEEP) == Held(row.id)
    await forward(60_000)
    assert await store.create(again, "a", keep=KEEP) == Created()


async def test_a_start_that_certainly_did_not_run_frees_its_key(store):
    """The same key may start again."""
    row = await created(store, job(key=KEY), fingerprint=PRINT)
    refused = end(row, state=State.FAILED, refused=True, frees_key=True, outcome=OutcomeHead(429))
    await store.save(save_of(refused), "a")
    assert await store.create(new(job(key=KEY), fingerprint=PRINT), "a", keep=KEEP) == Created()


async def test_a_freed_key_of_another_job_is_left_alone(store, raw, keys):
    """A job that gave its key up has no say over the key's next holder."""
    first = await created(store, job(key=KEY), fingerprint=PRINT)
    freed = change(first, state=State.ACCEPTED, frees_key=True)
    await store.save(save_of(freed), "a")
    second = await created(store, job(key=KEY), fingerprint=PRINT)
    await store.save(save_of(end(freed, state=State.FAILED)), "a")
    assert await raw.pttl(keys.idempotency(partition_of(second.id), KEY)) <= KEEP
    assert await store.create(new(job(key=KEY), fingerprint=PRINT), "a", keep=KEEP) == Held(second.id)


# --- deliveries ---


async def test_a_delivery_is_made_with_the_end(store, raw, keys):
    """It takes the job's place among the rows of its follower."""
    row = await created(store)
    delivery = delivery_of(row)
    assert await store.save(save_of(end(row), delivery=delivery), "a") is Saved.SAVED
    assert await raw.hget(keys.delivery(delivery.id), "rec") == encode(delivery)
    assert await followed(raw, keys, delivery.id, "a")
    assert not await followed(raw, keys, row.id, "a")


async def test_a_fenced_end_makes_no_delivery(store):
    """A delivery is part of the end, or is not at all."""
    row = await created(store)
    delivery = delivery_of(row)
    assert await store.save(save_of(end(row), delivery=delivery), "b") is Saved.FENCED
    assert await store.save_delivery(tried(delivery), 1, "b", keep=KEEP) is Saved.MISSING


def tried(delivery, status=500):
    """Return `delivery` after an attempt that was answered with `status`."""
    return delivery.after(Attempt(at=delivery.due, took=5, status=status))


async def test_a_delivery_is_saved_under_its_fence(store, raw, keys, forward):
    """By its follower, at its revision, once; it is followed on."""
    row = await created(store)
    delivery = delivery_of(row)
    await store.save(save_of(end(row), delivery=delivery), "a")
    await forward(KEEP // 2)
    once = tried(delivery)
    assert await store.save_delivery(once, 1, "b", keep=KEEP) is Saved.FENCED
    assert await store.save_delivery(once, 2, "a", keep=KEEP) is Saved.FENCED
    assert await store.save_delivery(once, 1, "a", keep=KEEP) is Saved.SAVED
    assert await store.save_delivery(once, 1, "a", keep=KEEP) is Saved.SAVED
    assert await store.save_delivery(tried(delivery, 404), 1, "a", keep=KEEP) is Saved.FENCED
    assert await raw.hget(keys.delivery(delivery.id), "rec") == encode(once)
    await forward(KEEP - 60_000)
    assert await followed(raw, keys, delivery.id, "a")


@pytest.mark.parametrize("status", [200, 410])
async def test_a_delivery_that_is_done_is_followed_no_more(store, raw, keys, status):
    """Delivered or disabled; its record stays."""
    row = await created(store)
    delivery = delivery_of(row)
    await store.save(save_of(end(row), delivery=delivery), "a")
    done = tried(delivery, status)
    assert await store.save_delivery(done, 1, "a", keep=KEEP) is Saved.SAVED
    assert await store.save_delivery(done, 1, "a", keep=KEEP) is Saved.SAVED
    assert not await followed(raw, keys, delivery.id, "a")
    assert await raw.hget(keys.delivery(delivery.id), "rec") == encode(done)


# --- credentials and tokens ---


async def test_a_live_jobs_credential_is_replaced(store):
    """The newest one is read; a job without one takes one too."""
    row, bare = await created(store), await created(store, credential=None)
    assert await store.read_credential(row.id) == b"sealed bearer"
    assert await store.read_credential(bare.id) is None
    for one in (row, bare):
        assert await store.offer_credential(one.id, b"sealed again")
        assert await store.read_credential(one.id) == b"sealed again"


async def test_an_ended_job_takes_no_credential(store, raw, keys):
    """Nor does one that never was: no secret is left behind."""
    row = await created(store)
    await store.save(save_of(end(row)), "a")
    assert not await store.offer_credential(row.id, b"late")
    assert await store.read_credential(row.id) is None
    nobody = job().id
    assert not await store.offer_credential(nobody, b"late")
    assert not await raw.exists(keys.job(nobody))


async def test_tokens_are_remembered_for_a_while(store, forward):
    """A hash that the upstream accepted, until its time is over."""
    token, other = "0f" * 32, "f0" * 32
    await store.remember_token(token, keep=KEEP)
    assert await store.knows_token(token)
    assert not await store.knows_token(other)
    await forward(KEEP)
    assert not await store.knows_token(token)


async def test_a_store_that_serves_says_so(store):
    """A ping returns."""
    await store.ping()


async def test_a_store_knows_the_keys_that_its_records_were_made_under(store):
    """The first keyring is taken; a later one has to share a key with those before it."""
    assert await store.acknowledge(["old"])
    assert await store.acknowledge(["old"])
    assert not await store.acknowledge(["stranger"])
    assert await store.acknowledge(["new", "old"])
    assert await store.acknowledge(["new"])
