"""The user that docs/deployment.md proposes: it suffices for every verb, and every right that it has is used."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import msgspec
import pytest
import redis.asyncio

from gateway.core.delivery import Attempt, DeliveryState
from gateway.core.verdict import Fate, Verdict
from gateway.store.port import Attached, Created, Hint, Saved, StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import BORN, KEEP, change, delivery_of, end, job, new, save_of
from tests.support.redis_servers import real_redis_binary, require
from tests.support.store_topologies import ask, cluster, cluster_url, replicated

DOCUMENT = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
PROPOSED = re.search(r"^ +(ACL SETUSER callmode (?:.|\n)+?)\n\n", DOCUMENT, re.MULTILINE)[1].split()
SETTINGS = StoreSettings(prefix="callmode", username="callmode", password="secret", wait_replicas=1)
OTHERS = frozenset({"config|resetstat", "info", "client|setinfo", "hello", "auth", "replconf", "psync"})
"""What the test itself and the replica ask, and what is free to anybody."""
ELSEWHERE = frozenset({"cluster|slots"})
"""What only a Cluster is asked."""


@pytest.fixture
def servers(tmp_path):
    """A primary and a replica, the proposed user on the former."""
    with replicated(require(real_redis_binary(), "redis-server"), tmp_path) as running:
        ask(running[0], *proposed())
        yield running


def proposed():
    """Return the command of the document, with this test's password for the one that people choose."""
    return [">secret" if word.startswith(">") else word for word in PROPOSED]


@pytest.fixture
async def store(servers):
    """A store in that user's name."""
    store = connect(SETTINGS, servers[0].url)
    yield store
    await store.close()


async def everything(store):
    """Have each verb do all that it can."""
    await store.check()
    await store.acknowledge(["mark"])
    for name in ("a", "b", "c"):
        await store.beat(name, join=True)
    ears = store.wakes("w")
    assert await anext(ears) is None
    row = job(key="key", fingerprint="print")
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    first, second = (new(job(key="many", fingerprint="print"), joins=True) for _ in range(2))
    for call in (first, second):
        await store.create(call, "a", keep=KEEP)
    for share in (1, 2):
        await store.request_cancel(first.job.id, share)
    await store.holder("key", 3)
    await store.watch(row.id, "w")
    await store.offer_credential(row.id, b"sealed")
    await store.give_verdict(row.id, Verdict(Fate.NEVER_RAN, row.changed))
    await store.requests([row.id])
    await store.announce(Hint("0f" * 32, key="j"), keep=KEEP)
    assert await store.save(save_of(change(row)), "a") is Saved.SAVED
    await store.leave("a")
    assert [batch async for batch in store.take_over("a", "b")]
    last = save_of(end(change(row)), delivery=delivery_of(row), key_keep=0)
    assert await store.save(last, "b") is Saved.SAVED
    dead = last.delivery.after(Attempt(at=BORN, took=1, status=410))
    assert await store.save_delivery(dead, 1, "b", keep=KEEP) is Saved.SAVED
    assert (await store.dead_letters(DeliveryState.DISABLED, limit=1)).deliveries == (dead,)
    assert await store.redeliver(dead.again(BORN), 2, "b", keep=KEEP) is Saved.SAVED
    assert await store.attach(delivery_of(row), "b") is Attached.DUE
    await store.deliveries(row.id)
    await store.read_delivery(dead.id)
    await store.silence("0f" * 32, keep=KEEP)
    await store.is_silent("0f" * 32)
    await store.unsilence("0f" * 32)
    await store.forget("a")
    await store.incarnations()
    await store.read(row.id)
    await store.read_body(row.id)
    await store.read_credential(row.id)
    await store.buried(row.id)
    await store.erase(row.id)
    await store.learn("0f" * 32, {1: 1.0}, 1, "operation")
    await store.remember_token("0f" * 32, keep=KEEP)
    await store.knows_token("0f" * 32)
    await store.ping()
    await ears.aclose()


async def test_the_proposed_user_suffices(store):
    """For every verb."""
    await everything(store)


async def test_the_proposed_user_has_no_right_too_many(store, servers):
    """Each command that it may send is sent."""
    ask(servers[0], "CONFIG", "RESETSTAT")
    await everything(store)
    allowed = {word.removeprefix("+") for word in PROPOSED if word.startswith("+")}
    assert await used(servers[0]) - OTHERS == allowed - ELSEWHERE


async def used(server):
    """Return the commands that a server has run."""
    async with redis.asyncio.Redis.from_url(server.url) as client:
        told = await client.info("commandstats")
    return {name.removeprefix("cmdstat_") for name, numbers in told.items() if numbers["calls"]}


def test_every_command_of_a_script_is_among_the_rights():
    """Also of those that are seldom sent."""
    scripts = resources.files("gateway.store").joinpath("lua").iterdir()
    called = {name for script in scripts for name in re.findall(r"redis\.call\('([A-Z]+)'", script.read_text())}
    assert {f"+{name.lower()}" for name in called} <= set(PROPOSED)


async def test_a_right_that_lacks_is_a_store_that_is_down(store, servers):
    """Said by the first call that needs it."""
    ask(servers[0], "ACL", "SETUSER", "callmode", "-hset")
    with pytest.raises(StoreDown, match=r"can't run this command|no permissions to run"):
        await store.create(new(job()), "a", keep=KEEP)


async def test_the_proposed_user_sees_no_keys_but_ours(servers):
    """Another prefix is another gateway's, or another program's."""
    store = connect(msgspec.structs.replace(SETTINGS, prefix="other"), servers[0].url)
    with pytest.raises(StoreDown, match="permissions to access"):
        await store.read(job().id)
    wakes = store.wakes("w")
    with pytest.raises(StoreDown, match="permissions to access"):
        await anext(wakes)
    await store.close()


async def test_the_proposed_user_in_a_cluster(tmp_path):
    """Is made on every node."""
    with cluster(require(real_redis_binary(), "redis-server"), tmp_path) as nodes:
        for node in nodes:
            ask(node, *proposed())
        store = connect(msgspec.structs.replace(SETTINGS, wait_replicas=0), cluster_url(nodes))
        await everything(store)
        await store.close()
