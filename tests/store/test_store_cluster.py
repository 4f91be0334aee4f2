"""A Cluster: nodes that die, slots that move, connections that run out."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec
import pytest
import redis.asyncio
from redis.crc import key_slot

from gateway.store.keys import Keys
from gateway.store.port import Beat, Created, Gone, Saved, StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import KEEP, change, delivery_of, end, job, new, save_of
from tests.support.redis_servers import real_redis_binary, require
from tests.support.store_topologies import SETTLED_WITHIN, ask, cluster, cluster_url, eventually, field, in_step

SETTINGS = StoreSettings(prefix="cluster", timeout=1_000)
KEYS = Keys(SETTINGS.prefix)


@pytest.fixture
def nodes(tmp_path):
    """Three primaries, and then three replicas in the same order."""
    with cluster(require(real_redis_binary(), "redis-server"), tmp_path, replicas=1) as running:
        yield running


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """Three primaries that stay as they are."""
    with cluster(require(real_redis_binary(), "redis-server"), tmp_path_factory.mktemp("steady")) as running:
        yield running


@pytest.fixture
async def opened():
    """Open stores that begin with some nodes; all are closed at the end."""
    stores = []

    def connected(nodes, **settings):
        stores.append(connect(msgspec.structs.replace(SETTINGS, **settings), cluster_url(nodes)))
        return stores[-1]

    yield connected
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened, nodes):
    """A store on nodes that may be killed."""
    return opened(nodes)


@pytest.fixture
async def steady_store(opened, steady):
    """A store on those that stay."""
    return opened(steady)


def partition(node):
    """Return a partition whose keys the primary of this number holds."""
    return next(number for number in range(256) if slot_of(number) * 3 // 16384 == node)


def slot_of(number):
    """Return the slot of a partition."""
    return key_slot(KEYS.job(job(number).id).encode())


async def test_one_node_leads_to_all(opened, nodes):
    """A replica will do; so will a name behind which nobody is, as long as another one answers."""
    nodes[0].kill()
    assert await eventually(opened([nodes[0], nodes[4]]).ping) is None
    assert await eventually(lambda: opened([nodes[4]]).read(job(partition(2)).id)) is Gone.NEVER


async def test_no_node_answers(opened, nodes):
    """That is a store that is down, at once and not after a time-out for each."""
    for node in nodes:
        node.kill()
    with pytest.raises(StoreDown, match="no node"):
        await opened(nodes).ping()


async def test_a_primary_that_dies_is_replaced(store, nodes):
    """What its replica had is there; scripts that the replica never saw are sent to it."""
    row = job(partition(0))
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    await in_step(nodes[0], nodes[3])
    nodes[0].kill()
    running = save_of(change(row))
    with pytest.raises(StoreDown):
        await store.save(running, "a")
    assert await eventually(lambda: store.save(running, "a")) is Saved.SAVED
    assert field(nodes[3], "replication", "role") == "master"
    assert await store.save(save_of(end(change(row))), "a") is Saved.SAVED


async def test_a_primary_that_hangs_is_replaced_and_not_believed_when_it_wakes(store, nodes):
    """It learns its place as it wakes, and says who has the keys now."""
    row = job(partition(1))
    await store.create(new(row), "a", keep=KEEP)
    await in_step(nodes[1], nodes[4])
    os.kill(nodes[1].pid, signal.SIGSTOP)
    try:
        running = save_of(change(row))
        assert await eventually(lambda: store.save(running, "a")) is Saved.SAVED
    finally:
        os.kill(nodes[1].pid, signal.SIGCONT)
    assert await store.save(save_of(end(change(row))), "a") is Saved.SAVED
    assert (await store.read(row.id)).revision == 3


async def test_leases_outlast_the_node_that_held_them(store, nodes):
    """A replica that was in step knows who lives."""
    holder = key_slot(KEYS.replicas.encode()) * 3 // 16384
    await store.beat("a", join=True)
    await in_step(nodes[holder], nodes[3 + holder])
    nodes[holder].kill()
    beat: Beat = await eventually(lambda: store.beat("a"))
    assert beat.alive


async def test_taking_over_from_all_nodes(store, nodes):
    """Rows of every partition in one go; with a node away nothing passes for all, and the next try finds the rest."""
    rows = [job(number) for number in range(256)]
    await asyncio.gather(*(store.create(new(row), "a", keep=KEEP) for row in rows))
    await asyncio.gather(*(in_step(nodes[number], nodes[3 + number]) for number in range(3)))
    nodes[2].kill()
    with pytest.raises(StoreDown):
        await taken(store, "a", "b")
    found = await eventually(lambda: taken(store, "a", "b"))
    assert sorted(found) == sorted(row.id for row in rows)
    await store.forget("a")


async def taken(store, dead, follower):
    """Return the ids of what was taken over."""
    return [row.job.id async for batch in store.take_over(dead, follower) for row in batch]


async def test_whoever_listens_at_a_node_that_dies_is_told(store, nodes):
    """And listens at another, where all is heard as well."""
    row = job(partition(0))
    await store.create(new(row), "a", keep=KEEP)
    await store.watch(row.id, "w")
    wakes = store.wakes("w")
    assert await anext(wakes) is None
    [listened_at] = [node for node in nodes if ask(node, "PUBSUB", "NUMSUB", f"{KEYS.wake}w")[1]]
    await asyncio.gather(*(in_step(nodes[number], nodes[3 + number]) for number in range(3)))
    listened_at.kill()
    with pytest.raises(StoreDown):
        await anext(wakes)
    wakes = store.wakes("w")
    assert await eventually(lambda: anext(wakes)) is None
    assert await eventually(lambda: store.save(save_of(change(row)), "a")) in {Saved.SAVED, Saved.FENCED}
    assert await anext(wakes) == row.id
    await wakes.aclose()


async def test_a_wake_up_comes_from_any_node(steady_store, steady):
    """Whichever one listens at: what is published spreads over all."""
    rows = [job(partition(number)) for number in range(3)]
    ears = [steady_store.wakes("w") for _ in steady]
    for ear in ears:
        assert await anext(ear) is None
    for row in rows:
        await steady_store.create(new(row), "a", keep=KEEP)
        await steady_store.watch(row.id, "w")
        await steady_store.save(save_of(change(row)), "a")
    for ear in ears:
        async with asyncio.timeout(SETTLED_WITHIN):
            assert [await anext(ear) for _ in rows] == [row.id for row in rows]
        await ear.aclose()


class Move:
    """A slot on its way from one primary to another, key by key."""

    def __init__(self, nodes, number) -> None:
        self._source, self._target = nodes[0], nodes[1]
        self._ids = [ask(node, "CLUSTER", "MYID") for node in (self._source, self._target)]
        self._slot = slot_of(number)
        self._others = nodes[2:3]

    def begin(self):
        """Open the slot at both ends."""
        ask(self._target, "CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._ids[0])
        ask(self._source, "CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._ids[1])

    def keys(self):
        """Return the slot's keys that are still at its old place."""
        return ask(self._source, "CLUSTER", "GETKEYSINSLOT", self._slot, 1000)

    def carry(self, keys):
        """Bring some keys over."""
        ask(self._source, "MIGRATE", "127.0.0.1", self._target.port, "", 0, 5000, "KEYS", *keys)

    def finish(self):
        """Bring the rest over, and tell all primaries."""
        if self.keys():
            self.carry(self.keys())
        for node in (self._target, self._source, *self._others):
            ask(node, "CLUSTER", "SETSLOT", self._slot, "NODE", self._ids[1])


async def test_a_slot_that_moves(store, nodes):
    """Single keys are read wherever they are; scripts, whose keys may be at both ends, wait until all have moved."""
    number = partition(0)
    here, there, fresh = job(number), job(number), job(number)
    for row in (here, there):
        await store.create(new(row), row.id, keep=KEEP)
    move = Move(nodes, number)
    move.begin()
    assert await store.read(here.id) == here
    move.carry([KEYS.job(there.id), KEYS.followed(number, there.id)])
    assert await store.read(there.id) == there
    with pytest.raises(StoreDown, match=r"ASK|TRYAGAIN"):
        await store.create(new(fresh), fresh.id, keep=KEEP)
    with pytest.raises(StoreDown, match=r"ASK|TRYAGAIN"):
        await store.save(save_of(change(here)), here.id)
    move.finish()
    assert await store.create(new(fresh), fresh.id, keep=KEEP) == Created()
    for row in (here, there, fresh):
        assert await store.save(save_of(change(row)), row.id) is Saved.SAVED
        assert await store.save(save_of(end(change(row)), delivery=delivery_of(row)), row.id) is Saved.SAVED


async def test_what_is_sent_elsewhere_takes_its_wait_along(opened, nodes):
    """The replicas that count are those of the node that has the key now."""
    store, number = opened(nodes, wait_replicas=1, wait_timeout=500), partition(0)
    row = job(number)
    await store.create(new(row), "a", keep=KEEP)
    move = Move(nodes, number)
    move.begin()
    move.finish()
    running = save_of(change(row))
    os.kill(nodes[4].pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreDown, match="0 of 1 replicas"):
            await store.save(running, "a")
    finally:
        os.kill(nodes[4].pid, signal.SIGCONT)
    assert await eventually(lambda: store.save(running, "a")) is Saved.SAVED


async def test_many_slots_that_have_moved(store, nodes):
    """Each is followed by itself; a batch that meets many of them is answered whole and in order."""
    rows = [job(number) for number in range(256)]
    await asyncio.gather(*(store.create(new(row), "a", keep=KEEP) for row in rows))
    moving = [number for number in range(256) if slot_of(number) * 3 // 16384 == 0][:20]
    for number in moving:
        move = Move(nodes, number)
        move.begin()
        move.finish()
    assert sorted(await taken(store, "a", "b")) == sorted(row.id for row in rows)


async def test_more_commands_than_connections_wait_their_turn(steady_store):
    """A burst far over the pools' size is served, not refused."""
    rows = [job(number % 256) for number in range(600)]
    answers = await asyncio.gather(*(steady_store.create(new(row), "a", keep=KEEP) for row in rows))
    assert answers == [Created()] * len(rows)


async def test_a_command_that_is_cancelled_leaves_no_answer_behind(steady_store, steady):
    """The next command gets its own answer, not the cancelled one's."""
    rows = [job(partition(0)) for _ in range(3)]
    for row in rows:
        await steady_store.create(new(row), "a", keep=KEEP)
    ask(steady[0], "CLIENT", "PAUSE", 300, "ALL")
    reading = asyncio.ensure_future(steady_store.read(rows[0].id))
    done, _ = await asyncio.wait({reading}, timeout=0.05)
    assert not done
    reading.cancel()
    await asyncio.wait({reading})
    assert [await steady_store.read(row.id) for row in rows[1:]] == rows[1:]


async def test_one_server_is_no_cluster(redis_url):
    """A URL that says so of a plain server is a store that is down."""
    store = connect(SETTINGS, redis_url.removesuffix("/0").replace("redis://", "redis+cluster://"))
    with pytest.raises(StoreDown, match="no node"):
        await store.ping()
    await store.close()


async def test_a_cluster_by_the_url_of_one_server(steady):
    """Sees a part of the keys only, and says so."""
    store = connect(SETTINGS, steady[0].url)
    with pytest.raises(StoreDown, match="MOVED"):
        await store.read(job(partition(2)).id)
    await store.close()


async def test_evicting_nodes_are_all_looked_at(steady_store, steady):
    """One that would lose jobs is enough to refuse the Cluster."""
    await steady_store.check()
    async with redis.asyncio.Redis(port=steady[2].port) as client:
        await client.config_set("maxmemory", "1gb")
        await client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(Exception, match="maxmemory-policy allkeys-lru"):
        await steady_store.check()
