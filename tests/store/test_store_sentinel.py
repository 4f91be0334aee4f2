"""A primary that Sentinels watch: who is asked, and what a failover looks like from here."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import msgspec
import pytest

from gateway.store.port import Created, Gone, Saved, StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import KEEP, change, end, job, new, save_of
from tests.support.redis_servers import real_redis_binary, require
from tests.support.store_topologies import (
    SERVICE,
    SETTLED_WITHIN,
    ask,
    eventually,
    field,
    in_step,
    replicated,
    sentinel_url,
    until,
    watched_by_sentinels,
)

SETTINGS = StoreSettings(prefix="sentinel", timeout=500)


@pytest.fixture
def binary():
    """The server that this machine has."""
    return require(real_redis_binary(), "redis-server")


@pytest.fixture
def servers(binary, tmp_path):
    """A primary and its replica."""
    with replicated(binary, tmp_path) as running:
        yield running


@pytest.fixture
def sentinels(binary, tmp_path, servers):
    """Three Sentinels over them."""
    with watched_by_sentinels(binary, tmp_path, servers[0]) as running:
        yield running


@pytest.fixture
async def opened(sentinels):
    """Open stores that ask the Sentinels, for a service, with settings; all are closed at the end."""
    stores = []

    def connected(service=SERVICE, **settings):
        url = sentinel_url(sentinels).replace(f"/{SERVICE}", f"/{service}")
        stores.append(connect(msgspec.structs.replace(SETTINGS, **settings), url))
        return stores[-1]

    yield connected
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened):
    """A store that asks the Sentinels."""
    return opened()


async def test_a_primary_that_dies_is_replaced(store, servers):
    """What replicas had is there, the same calls work on, and whoever listens is told to read again."""
    row = job()
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    wakes = store.wakes("w")
    assert await anext(wakes) is None
    await store.watch(row.id, "w")
    await in_step(*servers)
    servers[0].kill()
    running = save_of(change(row))
    with pytest.raises(StoreDown):
        await store.save(running, "a")
    with pytest.raises(StoreDown):
        await anext(wakes)
    assert await eventually(lambda: store.save(running, "a")) is Saved.SAVED
    assert field(servers[1], "replication", "role") == "master"

    wakes = store.wakes("w")
    assert await eventually(lambda: anext(wakes)) is None
    await store.save(save_of(end(change(row))), "a")
    assert await anext(wakes) == row.id
    await wakes.aclose()


async def test_a_primary_that_hangs_is_replaced_and_not_believed_when_it_wakes(store, servers):
    """Once it wakes it takes itself for the primary still: nothing is asked of it any more."""
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    await in_step(*servers)
    os.kill(servers[0].pid, signal.SIGSTOP)
    try:
        assert await eventually(lambda: store.save(save_of(change(row)), "a")) is Saved.SAVED
    finally:
        os.kill(servers[0].pid, signal.SIGCONT)
    assert (await store.read(row.id)).revision == 2
    assert await store.save(save_of(end(change(row))), "a") is Saved.SAVED
    assert (await store.read(row.id)).revision == 3


async def test_what_replicas_acknowledged_outlives_a_handing_over(opened, servers, sentinels):
    """The old primary takes writes until it is told of the new one; none that nobody else had counts as made."""
    store = opened(wait_replicas=1, wait_timeout=300)
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    ask(sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
    await asyncio.to_thread(until, lambda: field(servers[1], "replication", "role") == "master", "a new primary")
    running = save_of(change(row))
    with pytest.raises(StoreDown, match="0 of 1 replicas"):
        await store.save(running, "a")
    # Sentinels come to this too, at their next look at the old primary, every ten seconds.
    ask(servers[0], "REPLICAOF", "127.0.0.1", servers[1].port)
    assert await eventually(lambda: store.save(running, "a")) is Saved.SAVED
    assert ask(servers[1], "HGET", f"{SETTINGS.prefix}:{{p{row.id[:2]}}}:job:{row.id}", "rev") == "2"


async def test_a_primary_cut_off_from_its_sentinels_is_left(store, servers, sentinels, monkeypatch):
    """Even while all connections to it work: what it takes would be lost when it comes back as a replica."""
    monkeypatch.setattr("gateway.store.sentinel._TRUST", 0.1)
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    wakes = store.wakes("w")
    assert await anext(wakes) is None
    listening = asyncio.ensure_future(anext(wakes))
    await in_step(*servers)
    ask(servers[1], "REPLICAOF", "NO", "ONE")
    for sentinel in sentinels:
        ask(sentinel, "SENTINEL", "REMOVE", SERVICE)
        ask(sentinel, "SENTINEL", "MONITOR", SERVICE, "127.0.0.1", servers[1].port, 2)
    await asyncio.sleep(0.2)
    assert await eventually(lambda: store.save(save_of(change(row)), "a")) is Saved.SAVED
    with pytest.raises(StoreDown):
        await asyncio.wait_for(listening, timeout=SETTLED_WITHIN)
    assert ask(servers[0], "HGET", f"{SETTINGS.prefix}:{{p{row.id[:2]}}}:job:{row.id}", "rev") == "1"
    assert ask(servers[1], "HGET", f"{SETTINGS.prefix}:{{p{row.id[:2]}}}:job:{row.id}", "rev") == "2"


async def test_sentinels_that_are_away_do_not_matter_while_the_primary_is_there(store, sentinels, monkeypatch):
    """Jobs are served over the connections there are."""
    monkeypatch.setattr("gateway.store.sentinel._TRUST", 0.0)
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    for sentinel in sentinels:
        sentinel.kill()
    assert await store.read(row.id) == row


async def test_sentinels_that_hang_cost_no_more_than_a_command(store, sentinels):
    """Two of three that do not answer leave the third to be asked."""
    stopped = [sentinel.pid for sentinel in sentinels[:2]]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert await store.read(job().id) is Gone.NEVER
        assert time.monotonic() - began < 2 * SETTINGS.timeout / 1000
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


async def test_a_service_that_no_sentinel_knows(opened):
    """Is said by its name."""
    with pytest.raises(StoreDown, match="other"):
        await opened("other").ping()


async def test_sentinels_have_users_of_their_own(opened, servers, sentinels):
    """Who need not be the servers'."""
    for server in servers:
        ask(server, "ACL", "SETUSER", "ours", "on", ">of-the-server", "~*", "&*", "+@all")
        ask(server, "ACL", "SETUSER", "default", "off")
    for sentinel in sentinels:
        ask(sentinel, "ACL", "SETUSER", "ours", "on", ">of-the-sentinel", "&*", "+@all")
        ask(sentinel, "ACL", "SETUSER", "default", "off")
    given = {
        "username": "ours",
        "password": "of-the-server",
        "sentinel_username": "ours",
        "sentinel_password": "of-the-sentinel",
    }
    assert await opened(**given).read(job().id) is Gone.NEVER
    for wrong in given:
        with pytest.raises(StoreDown):
            await opened(**given | {wrong: None}).ping()
