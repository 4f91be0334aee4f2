"""Wake-ups: a change reaches whoever watches, and a gap in listening is always told."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec
import pytest

from gateway.store.port import Created, Gone, Hint, Left, Saved, StoreDown
from gateway.store.redis import connect
from tests.store.rows import KEEP, change, end, job, new, save_of
from tests.support.redis_servers import real_redis_binary, redis_server, require

SOON = 10
"""Seconds: a bound that only a failure meets."""


class Ear:
    """Listens for one watcher, in the test's own task."""

    def __init__(self, store, watcher) -> None:
        self._wakes = store.wakes(watcher)

    async def next(self):
        """Return what comes next."""
        async with asyncio.timeout(SOON):
            return await anext(self._wakes)

    async def __aenter__(self):
        assert await self.next() is None, "the first word is that messages may have been lost"
        return self

    async def __aexit__(self, *_):
        await self._wakes.aclose()


async def created(store):
    """Put a job into the store and return it."""
    row = job()
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    return row


async def kill_subscribers(raw):
    """Close the connections of all who listen."""
    await raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def test_watching_returns_the_record(store):
    """As it is now."""
    row = await created(store)
    assert await store.watch(row.id, "w") == row


async def test_watching_nothing_leaves_nothing(store, raw, keys):
    """A job that never was is not waited for."""
    nobody = job().id
    assert await store.watch(nobody, "w") is Gone.NEVER
    assert not await raw.exists(keys.watchers(nobody))


async def test_every_change_wakes_the_watcher(store):
    """A save with the job's id, each time, until the end."""
    row, other = await created(store), await created(store)
    async with Ear(store, "w") as ear:
        await store.watch(row.id, "w")
        running = change(row)
        await store.save(save_of(change(other)), "a")
        await store.save(save_of(running), "a")
        assert await ear.next() == row.id
        await store.save(save_of(end(running)), "a")
        assert await ear.next() == row.id


async def test_a_hint_is_told_once_to_everybody(store, raw, keys):
    """However often its event is delivered, and of another event again; the mark is gone after a while."""
    event, other = "0f" * 32, "1f" * 32
    async with Ear(store, "v") as first, Ear(store, "w") as second:
        assert await store.announce(Hint(event, key="one"), keep=KEEP)
        assert not await store.announce(Hint(event, key="again"), keep=KEEP)
        assert await store.announce(Hint(other, key="two"), keep=KEEP)
        for ear in (first, second):
            assert [await ear.next(), await ear.next()] == [Hint(event, key="one"), Hint(other, key="two")]
    assert 0 < await raw.pttl(keys.hint(event)) <= KEEP


async def test_every_watcher_is_woken(store):
    """Each on its own channel."""
    row = await created(store)
    async with Ear(store, "v") as first, Ear(store, "w") as second:
        await store.watch(row.id, "v")
        await store.watch(row.id, "w")
        await store.save(save_of(change(row)), "a")
        assert [await first.next(), await second.next()] == [row.id, row.id]


async def test_the_end_takes_the_watchers_away(store, raw, keys):
    """An ended job never changes: its record is returned, nobody is remembered."""
    row = await created(store)
    await store.watch(row.id, "w")
    last = end(row)
    await store.save(save_of(last), "a")
    assert not await raw.exists(keys.watchers(row.id))
    assert await store.watch(row.id, "w") == last
    assert not await raw.exists(keys.watchers(row.id))


async def test_what_changes_nothing_wakes_nobody(store):
    """A fenced save and a repeated one are silent."""
    row = await created(store)
    async with Ear(store, "w") as ear:
        await store.watch(row.id, "w")
        running = change(row)
        done = save_of(running)
        assert await store.save(save_of(running), "b") is Saved.FENCED
        assert await store.save(done, "a") is Saved.SAVED
        assert await store.save(done, "a") is Saved.SAVED
        other = await created(store)
        await store.watch(other.id, "w")
        await store.save(save_of(change(other)), "a")
        assert [await ear.next(), await ear.next()] == [row.id, other.id]


@pytest.mark.parametrize("server", ["valkey", "debian_redis"], indirect=True)
async def test_a_killed_listener_is_told_and_listens_again(store, raw):
    """The connection's end is `StoreDown`, not a silent reconnection; the next listening begins with None."""
    row = await created(store)
    await store.watch(row.id, "w")
    async with Ear(store, "w") as ear:
        await kill_subscribers(raw)
        with pytest.raises(StoreDown):
            await ear.next()
    running = change(row)
    await store.save(save_of(running), "a")
    async with Ear(store, "w") as ear:
        await store.save(save_of(end(running)), "a")
        assert await ear.next() == row.id


@pytest.mark.parametrize("server", ["valkey", "debian_redis"], indirect=True)
async def test_a_long_silence_is_not_the_end(open_store, server, settings):
    """A listener to whom nothing is said for many time-outs goes on listening."""
    store = connect(msgspec.structs.replace(settings, timeout=50), server.url)
    row = await created(store)
    await store.watch(row.id, "w")
    async with Ear(store, "w") as ear:
        heard = asyncio.ensure_future(ear.next())
        done, _ = await asyncio.wait({heard}, timeout=0.5)
        assert not done
        await store.save(save_of(change(row)), "a")
        assert await heard == row.id
    await store.close()


async def test_a_server_that_hangs_is_noticed(tmp_path, settings):
    """A connection on which nobody answers any more is `StoreDown`, however long it would stay open."""
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path) as server:
        store = connect(msgspec.structs.replace(settings, timeout=100), server.url)
        async with Ear(store, "w") as ear:
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(StoreDown):
                    await ear.next()
            finally:
                os.kill(server.pid, signal.SIGCONT)
        await store.close()


async def test_all_hear_that_one_has_gone(store):
    """Once, and only of one that was there."""
    await store.beat("a", join=True)
    async with Ear(store, "w") as one, Ear(store, "v") as two:
        for name in ("nobody", "a", "a"):
            await store.leave(name)
        await store.beat("b", join=True)
        await store.leave("b")
        for ear in (one, two):
            assert [await ear.next(), await ear.next()] == [Left("a"), Left("b")]
