"""A server that does not serve: every way of it is `StoreDown`, and what was asked can be asked again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

import msgspec
import pytest
import redis.asyncio

from gateway.core.delivery import DeliveryState
from gateway.store.port import Canceling, Created, Gone, Saved, StoreDown
from gateway.store.redis import connect
from gateway.store.requirements import Unsuitable
from gateway.store.settings import StoreSettings
from tests.store.rows import KEEP, change, delivery_of, end, job, new, save_of
from tests.support.redis_servers import real_redis_binary, redis_server, require
from tests.support.scripted_server import scripted

SETTINGS = StoreSettings(prefix="faults", timeout=500)
ON_REAL_SERVERS = pytest.mark.parametrize("server", ["valkey", "debian_redis"], indirect=True)


def verbs(store, row):
    """Return every verb of the port, ready to be awaited, by name."""
    delivery = delivery_of(row)

    async def all_of(rows):
        return [row async for row in rows]

    return {
        "create": store.create(new(row), "a", keep=KEEP),
        "read": store.read(row.id),
        "read_body": store.read_body(row.id),
        "read_credential": store.read_credential(row.id),
        "offer_credential": store.offer_credential(row.id, b"sealed"),
        "save": store.save(save_of(change(row)), "a"),
        "save_delivery": store.save_delivery(delivery, 1, "a", keep=KEEP),
        "redeliver": store.redeliver(delivery, 1, "a", keep=KEEP),
        "attach": store.attach(delivery, "a"),
        "deliveries": store.deliveries(row.id),
        "read_delivery": store.read_delivery(delivery.id),
        "dead_letters": store.dead_letters(DeliveryState.FAILED, limit=9),
        "silence": store.silence("0f" * 32, keep=KEEP),
        "is_silent": store.is_silent("0f" * 32),
        "unsilence": store.unsilence("0f" * 32),
        "watch": store.watch(row.id, "w"),
        "wakes": all_of(store.wakes("w")),
        "beat": store.beat("a", join=True),
        "incarnations": store.incarnations(),
        "leave": store.leave("a"),
        "take_over": all_of(store.take_over("a", "b")),
        "forget": store.forget("a"),
        "remember_token": store.remember_token("0f" * 32, keep=KEEP),
        "knows_token": store.knows_token("0f" * 32),
        "ping": store.ping(),
    }


async def all_down(store, row):
    """Check that every verb says that the store is down."""
    calls = verbs(store, row)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*calls.values(), return_exceptions=True)
    assert [verb for verb, answer in zip(calls, answers, strict=True) if not isinstance(answer, StoreDown)] == []


@pytest.fixture
def own_server(tmp_path):
    """A server of the test's own, that it may stop."""
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path) as server:
        yield server


@pytest.fixture
async def own_store(own_server):
    """A store on it."""
    store = connect(SETTINGS, own_server.url)
    yield store
    await store.close()


@pytest.fixture
async def own_raw(own_server):
    """A plain client of it."""
    async with redis.asyncio.Redis.from_url(own_server.url) as client:
        yield client


async def test_nobody_listens_there():
    """A wrong port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    store = connect(SETTINGS, f"redis://127.0.0.1:{port}/0")
    await all_down(store, job())
    await store.close()


async def test_a_server_that_was_killed(own_server, own_store):
    """Connections that were good a moment ago; when the server is back, so is the store."""
    row = job()
    assert await own_store.create(new(row), "a", keep=KEEP) == Created()
    own_server.kill()
    await all_down(own_store, row)
    own_server.start()
    assert await own_store.read(row.id) is Gone.NEVER


async def test_a_server_that_hangs(own_server, own_store):
    """Every verb gives up; what it asked may have been done, so asking again is harmless."""
    row = job()
    await own_store.create(new(row), "a", keep=KEEP)
    running = save_of(change(row))
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreDown):
            await own_store.save(running, "a")
        await all_down(own_store, row)
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
    assert await own_store.save(running, "a") in {Saved.SAVED, Saved.FENCED}
    assert (await own_store.read(row.id)).revision == 2


async def test_a_full_server_takes_no_new_job(own_store, own_raw):
    """And nothing of it: what would need memory is refused before its first write."""
    await own_store.create(new(job()), "a", keep=KEEP)
    keys = sorted([key async for key in own_raw.scan_iter()])
    await own_raw.config_set("maxmemory", 1)
    refused = job(key="k", fingerprint="print")
    with pytest.raises(StoreDown, match="maxmemory"):
        await own_store.create(new(refused), "a", keep=KEEP)
    assert sorted([key async for key in own_raw.scan_iter()]) == keys
    await own_raw.config_set("maxmemory", 0)
    assert await own_store.create(new(refused), "a", keep=KEEP) == Created()


async def test_jobs_on_a_full_server_come_to_their_end(own_store, own_raw):
    """Everything that following them takes, by whoever follows them, by callers and by a gateway that starts anew."""
    row = job()
    await own_store.acknowledge(["mark"])
    await own_store.create(new(row), "a", keep=KEEP)
    await own_raw.config_set("maxmemory", 1)
    await own_store.check()
    assert await own_store.acknowledge(["mark"])
    assert (await own_store.beat("b", join=True)).alive
    assert [len(batch) async for batch in own_store.take_over("a", "b")] == [1]
    assert await own_store.save(save_of(change(row)), "b") is Saved.SAVED
    assert await own_store.watch(row.id, "w") == change(row)
    assert await own_store.offer_credential(row.id, b"sealed")
    assert await own_store.request_cancel(row.id) is Canceling.ASKED
    last = save_of(end(change(row)), delivery=delivery_of(row))
    assert await own_store.save(last, "b") is Saved.SAVED
    assert await own_store.save_delivery(last.delivery, 1, "b", keep=KEEP) is Saved.SAVED
    assert await own_store.read_body(row.id) == last.body


async def test_a_replica_that_only_reads(own_store, own_raw):
    """Writing to a server that was demoted is refused."""
    row = job()
    await own_store.create(new(row), "a", keep=KEEP)
    await own_raw.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreDown, match="replica"):
        await own_store.save(save_of(change(row)), "a")
    assert await own_store.read(row.id) == row
    await own_raw.replicaof("NO", "ONE")
    assert await own_store.save(save_of(change(row)), "a") is Saved.SAVED


async def test_a_server_that_wants_a_password(own_store, own_raw):
    """A store that will not let us in cannot serve us."""
    await own_raw.config_set("requirepass", "secret")
    fresh = connect(SETTINGS, f"redis://127.0.0.1:{own_raw.connection_pool.connection_kwargs['port']}/0")
    with pytest.raises(StoreDown):
        await fresh.ping()
    await fresh.close()


async def test_forgotten_scripts_are_sent_again(store, raw):
    """A server that restarted knows no script; each verb works all the same."""
    row = job()
    last = save_of(end(change(row)), delivery=delivery_of(row))
    for step, expected in (
        (lambda: store.create(new(row), "a", keep=KEEP), Created()),
        (lambda: store.watch(row.id, "w"), row),
        (lambda: store.offer_credential(row.id, b"sealed"), True),
        (lambda: store.save(save_of(change(row)), "a"), Saved.SAVED),
        (lambda: store.save(last, "a"), Saved.SAVED),
        (lambda: store.save_delivery(last.delivery, 1, "a", keep=KEEP), Saved.SAVED),
    ):
        await raw.script_flush()
        assert await step() == expected
    await raw.script_flush()
    assert (await store.beat("a", join=True)).alive
    await raw.script_flush()
    assert [len(batch) async for batch in store.take_over("a", "b")] == [1]


@ON_REAL_SERVERS
async def test_a_lost_answer_is_asked_for_again(store, raw):
    """Connections that the server closes between two commands are replaced without a word."""
    row = job()
    await store.create(new(row), "a", keep=KEEP)
    await raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await store.save(save_of(change(row)), "a") is Saved.SAVED


async def test_a_command_that_is_cancelled_leaves_no_answer_behind(own_store, own_raw):
    """The next command on the pool gets its own answer, not the cancelled one's."""
    rows = [job() for _ in range(3)]
    for row in rows:
        await own_store.create(new(row), "a", keep=KEEP)
    await own_raw.execute_command("CLIENT", "PAUSE", 300, "ALL")
    reading = asyncio.ensure_future(own_store.read(rows[0].id))
    done, _ = await asyncio.wait({reading}, timeout=0.05)
    assert not done
    reading.cancel()
    await asyncio.wait({reading})
    assert [await own_store.read(row.id) for row in rows[1:]] == rows[1:]


async def test_more_commands_than_connections_wait_their_turn(own_server):
    """A burst far over the pool's size is served, not refused."""
    store = connect(msgspec.structs.replace(SETTINGS, timeout=5_000), own_server.url)
    rows = [job(number % 256) for number in range(500)]
    answers = await asyncio.gather(*(store.create(new(row), "a", keep=KEEP) for row in rows))
    assert answers == [Created()] * len(rows)
    await store.close()


REFUSALS = (
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN Hash slot not served",
    "MOVED 3999 127.0.0.1:6381",
    "ASK 3999 127.0.0.1:6381",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "NOAUTH Authentication required.",
    "NOPERM User u has no permissions to run the command",
    "ERR max number of clients reached",
    "ERR unknown command",
)


@contextlib.asynccontextmanager
async def refusing(refusal):
    """Run a server that greets its clients and then answers everything alike; give its URL."""

    def answer(command):
        return b"%1\r\n+proto\r\n:3\r\n" if command[0] == b"HELLO" else f"-{refusal}\r\n".encode()

    async with scripted(answer) as server:
        yield server.url


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.split()[0])
async def test_whatever_a_server_refuses_with_is_a_store_that_is_down(refusal):
    """For each verb, and without waiting."""
    async with refusing(refusal) as url:
        store = connect(SETTINGS, url)
        await all_down(store, job())
        await store.close()


async def test_a_server_that_was_demoted_is_left():
    """The name may lead to another by now: a connection to it would be good for ever, and for nothing."""
    async with refusing("READONLY You can't write against a read only replica.") as url:
        store = connect(SETTINGS, url)
        with pytest.raises(StoreDown, match="replica"):
            await store.create(new(job()), "a", keep=KEEP)
        assert not store._redis._inner._connection.usable
        await store.close()


async def test_a_server_too_old_is_said_to_be():
    """Redis before 7.0 does not know the flags that scripts have here."""
    async with refusing("ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'") as url:
        store = connect(SETTINGS, url)
        with pytest.raises(StoreDown):
            await store.ping()
        with pytest.raises(Unsuitable, match=r"Redis 7\.0"):
            await store._knows_flags()
        await store.close()
