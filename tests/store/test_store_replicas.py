"""Writes that count only once the server's replicas have them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import msgspec
import pytest
import redis.asyncio

from gateway.core.verdict import Fate, Verdict
from gateway.store.embedded.binary import bundled_binary
from gateway.store.port import Created, Gone, Saved, StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import BORN, KEEP, change, delivery_of, end, job, new, save_of
from tests.support.redis_servers import debian_redis_binary, require
from tests.support.store_topologies import ask, eventually, in_step, replicated

SETTINGS = StoreSettings(prefix="replicas", timeout=2_000, wait_replicas=1, wait_timeout=200)
TOO_FEW = r"0 of 1 replicas acknowledged a write in 200 ms"


@pytest.fixture(params=["debian_redis", "valkey"])
def servers(request, tmp_path):
    """A primary and its replica, of each kind."""
    binary = debian_redis_binary() if request.param == "debian_redis" else bundled_binary()
    with replicated(require(binary, request.param), tmp_path) as running:
        yield running


@pytest.fixture
async def opened(servers):
    """Open stores on the primary, with settings; all are closed at the end."""
    stores = []

    def connected(server=None, **settings):
        stores.append(connect(msgspec.structs.replace(SETTINGS, **settings), (server or servers[0]).url))
        return stores[-1]

    yield connected
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened):
    """A store on the primary that waits for the replica."""
    return opened()


@contextlib.contextmanager
def stopped(server):
    """Let a server do nothing for the length of the block."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextlib.contextmanager
def cut_off(servers):
    """Let the replica lag, and end the primary after the block: what was written meanwhile is nowhere else."""
    with stopped(servers[1]):
        ask(servers[0], "CLIENT", "KILL", "TYPE", "replica")
        yield
        servers[0].kill()
    ask(servers[1], "REPLICAOF", "NO", "ONE")


async def test_what_is_acknowledged_is_at_the_replica(store, servers):
    """At once, not a while later."""
    row = job()
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    replica = connect(msgspec.structs.replace(SETTINGS, wait_replicas=0), servers[1].url)
    assert await replica.read(row.id) == row
    last = save_of(end(row))
    assert await store.save(last, "a") is Saved.SAVED
    assert await replica.read(row.id) == last.job
    await replica.close()


async def test_too_few_replicas_are_a_store_that_is_down(store, servers):
    """For what must not be lost; reading and heartbeats go on, and are not held up."""
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    with stopped(servers[1]):
        with pytest.raises(StoreDown, match=TOO_FEW):
            await store.create(new(job()), "a", keep=KEEP)
        with pytest.raises(StoreDown, match=TOO_FEW):
            await store.save(save_of(change(row)), "a")
        assert (await store.beat("a", join=True)).alive
        assert await store.watch(row.id, "w") is not Gone.NEVER


async def test_asking_again_is_no_acknowledgement(store, servers):
    """What is there already is written once more, so that there is something to wait for; and it is done once."""
    created, running, taken = job(), job(), job()
    await store.create(new(running), "c", keep=KEEP)
    await store.create(new(taken), "a", keep=KEEP)
    first, save = new(created), save_of(change(running))
    with stopped(servers[1]):
        for dead in ("a", "b", "b"):  # what was taken without a word is found under the taker's own name
            with pytest.raises(StoreDown, match=TOO_FEW):
                await store.create(first, "c", keep=KEEP)
            with pytest.raises(StoreDown, match=TOO_FEW):
                await store.save(save, "c")
            with pytest.raises(StoreDown, match=TOO_FEW):
                await rows_taken(store, dead)
            # Over the connection that wrote it, WAIT would wait for the first writing still (Valkey 9; Redis 7.0 waits
            # for whatever was written before the last command, whoever wrote it).
            ask(servers[0], "CLIENT", "KILL", "TYPE", "normal")
    assert await eventually(lambda: store.create(first, "c", keep=KEEP)) == Created()
    assert await store.save(save, "c") is Saved.SAVED
    assert (await store.read(running.id)).revision == 2
    assert await rows_taken(store, "b") == [taken.id]


@pytest.mark.parametrize("verb", ["request_cancel", "give_verdict", "attach", "redeliver"])
async def test_what_people_were_promised_is_acknowledged_too(store, servers, verb):
    """However often it is asked for."""
    live, over = job(), job()
    for row in (live, over):
        await store.create(new(row), "a", keep=KEEP)
    sent = delivery_of(over)
    await store.save(save_of(end(over), delivery=sent), "a")
    added, again = delivery_of(live), sent.again(BORN)
    ask_for = {
        "request_cancel": lambda: store.request_cancel(live.id),
        "give_verdict": lambda: store.give_verdict(live.id, Verdict(Fate.NEVER_RAN, live.changed)),
        "attach": lambda: store.attach(added, "a"),
        "redeliver": lambda: store.redeliver(again, 1, "a", keep=KEEP),
    }[verb]
    with stopped(servers[1]):
        for _ in range(2):
            with pytest.raises(StoreDown, match=TOO_FEW):
                await ask_for()
            ask(servers[0], "CLIENT", "KILL", "TYPE", "normal")
    assert await eventually(ask_for)


async def rows_taken(store, dead):
    """Have b take over; return the ids."""
    return [row.job.id async for batch in store.take_over(dead, "b") for row in batch]


async def test_waiting_writes_do_not_hold_up_the_others(store, servers):
    """However many wait: heartbeats have connections of their own."""
    rows = [job(number % 256) for number in range(200)]
    with stopped(servers[1]):
        waiting = [asyncio.ensure_future(store.create(new(row), "a", keep=KEEP)) for row in rows]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        async with asyncio.timeout(0.2):
            assert (await store.beat("a", join=True)).alive
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreDown}


async def test_a_replica_that_lags_and_is_promoted_lacks_nothing_that_counted(opened, servers):
    """Without waiting, what was acknowledged is gone; with it, it was never acknowledged."""
    waiting, trusting = opened(), opened(wait_replicas=0)
    kept, lost, refused = job(), job(), job()
    await waiting.create(new(kept), "a", keep=KEEP)
    with cut_off(servers):
        assert await trusting.create(new(lost), "a", keep=KEEP) == Created()
        with pytest.raises(StoreDown):
            await waiting.create(new(refused), "a", keep=KEEP)
    promoted = opened(servers[1], wait_replicas=0)
    assert await promoted.read(kept.id) == kept
    assert await promoted.read(lost.id) is Gone.NEVER


async def test_a_change_that_a_promoted_replica_lacks_is_made_again(opened, servers):
    """The follower knows more than the store: its next save brings the record up to where the job is."""
    store = opened(wait_replicas=0)
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    await in_step(*servers)
    running = change(row)
    with cut_off(servers):
        assert await store.save(save_of(running), "a") is Saved.SAVED
    promoted = opened(servers[1], wait_replicas=0)
    assert await promoted.read(row.id) == row
    last = save_of(end(running))
    assert await promoted.save(last, "a") is Saved.SAVED
    assert await promoted.read(row.id) == last.job


async def test_scripts_that_the_server_forgot(store, servers):
    """Are sent again, and waited for all the same."""
    row = job()
    async with redis.asyncio.Redis.from_url(servers[0].url) as client:
        for step, expected in (
            (lambda: store.create(new(row), "a", keep=KEEP), Created()),
            (lambda: store.save(save_of(change(row)), "a"), Saved.SAVED),
            (lambda: rows_taken(store, "a"), [row.id]),
        ):
            await client.script_flush()
            assert await step() == expected
        with stopped(servers[1]):
            await client.script_flush()
            with pytest.raises(StoreDown, match=TOO_FEW):
                await store.create(new(job()), "a", keep=KEEP)


async def test_more_replicas_than_there_are(opened):
    """Is a store that never acknowledges: said by the first write."""
    with pytest.raises(StoreDown, match="1 of 2 replicas"):
        await opened(wait_replicas=2).create(new(job()), "a", keep=KEEP)
