"""Whether a command that failed may have been carried out: a caller is told, and a job is started, by that word."""

from __future__ import annotations

import asyncio
import secrets

import msgspec
import pytest
import redis.asyncio

from gateway.store.port import StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import KEEP, job, new
from tests.support.scripted_server import scripted

SETTINGS = StoreSettings(prefix="perhaps", timeout=200)
SEEN, REFUSED, KNOWS_NONE = "seen, and cut", "refused", "knows no script"


async def creating(url, **settings):
    """Return the error of creating a job there."""
    store = connect(msgspec.structs.replace(SETTINGS, **settings), url)
    with pytest.raises(StoreDown) as error:
        await store.create(new(job()), "a", keep=KEEP)
    await store.close()
    return error.value


@pytest.mark.parametrize(
    ("script", "perhaps"),
    [
        ((REFUSED,), False),
        ((SEEN, SEEN), True),
        ((SEEN, REFUSED), True),
        ((KNOWS_NONE, REFUSED), False),
        ((KNOWS_NONE, SEEN, REFUSED), True),
        ((SEEN, KNOWS_NONE, REFUSED), True),
    ],
)
async def test_what_is_known_of_all_attempts(script, perhaps):
    """Certainly not carried out is only what each attempt says so of."""
    steps = iter(script)
    answers = {SEEN: None, REFUSED: b"-OOM no memory\r\n", KNOWS_NONE: b"-NOSCRIPT none\r\n"}
    async with scripted(lambda command: answers[next(steps)]) as server:
        assert (await creating(server.url)).perhaps is perhaps
        assert list(steps) == []


@pytest.mark.parametrize(
    ("refusal", "perhaps"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'. script: f00, on @user_script:43.", False),
        ("NOPERM User x has no permissions to run the 'evalsha' command", False),
        ("NOPERM User x has no permissions to run the 'pexpire' command script: f00, on @user_script:52.", True),
        ("ERR user_script:52: attempt to compare nil script: f00, on @user_script:52.", True),
        ("ERR unknown command 'EVALSHA'", False),
        ("ERR unknown command called from script script: f00, on @user_script:52.", True),
        ("ERR max number of clients reached", False),
        ("ERR the proxy has lost the server", True),
    ],
)
async def test_which_errors_are_certain(refusal, perhaps):
    """Those about a whole command; a script that fails halfway has written what comes before."""
    async with scripted(lambda command: f"-{refusal}\r\n".encode()) as server:
        assert (await creating(server.url)).perhaps is perhaps


async def test_a_script_that_fails_halfway(redis_url):
    """The job is there, though the server answered with an error."""
    right, name = redis.asyncio.from_url(redis_url), f"halfway-{secrets.token_hex(4)}"
    try:
        await right.execute_command("ACL", "SETUSER", name, "on", ">x", "~*", "&*", "+@all", "-pexpire")
        created = new(job())
        store = connect(msgspec.structs.replace(SETTINGS, prefix=name, username=name, password="x"), redis_url)
        with pytest.raises(StoreDown, match=r"can't run|NOPERM") as error:
            await store.create(created, "a", keep=KEEP)
        assert error.value.perhaps
        assert await store.read(created.job.id) == created.job
        await store.close()
    finally:
        await right.execute_command("ACL", "DELUSER", name)
        await right.aclose()


async def test_a_server_that_hangs_may_have_carried_it_out():
    """It has the command, and may get to it yet."""
    async with scripted(lambda command: b"") as server:
        assert (await creating(server.url)).perhaps


async def test_a_replica_has_carried_nothing_out():
    """It said so."""
    async with scripted(lambda command: b"-READONLY You can't write\r\n") as server:
        assert not (await creating(server.url)).perhaps


async def test_who_is_not_let_in_has_sent_nothing():
    """However often it is tried."""
    async with scripted(lambda command: b"-WRONGPASS no\r\n") as server:
        assert not (await creating(server.url, password="x")).perhaps


@pytest.mark.parametrize(("acknowledged", "perhaps"), [(b":0\r\n", True), (b"-ERR no WAIT\r\n", True), (None, True)])
async def test_a_write_that_replicas_lack_was_made(acknowledged, perhaps):
    """It may last; only what the script itself refused was not."""

    def answer(command):
        return acknowledged if command[0] == b"WAIT" else b"*1\r\n$7\r\ncreated\r\n"

    async with scripted(answer) as server:
        assert (await creating(server.url, wait_replicas=1)).perhaps is perhaps


async def test_a_refused_write_was_not_made_whatever_wait_says():
    """WAIT counts the replicas all the same."""
    async with scripted(lambda command: b":1\r\n" if command[0] == b"WAIT" else b"-OOM no\r\n") as server:
        assert not (await creating(server.url, wait_replicas=1)).perhaps


async def test_what_waits_for_a_connection_has_not_been_sent():
    """The first who asks and all others."""
    async with scripted(lambda command: b"") as server:
        store = connect(msgspec.structs.replace(SETTINGS, password="x"), server.url)
        calls = (store.create(new(job()), "a", keep=KEEP) for _ in range(3))
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [(isinstance(error, StoreDown), error.perhaps) for error in errors] == [(True, False)] * 3
        await store.close()


async def test_cluster_nodes_that_say_where_else_have_carried_nothing_out():
    """Until one may have."""

    def answer(command):
        if command[0] == b"CLUSTER":
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % server.port
        return next(steps)

    for replies, perhaps in (
        ([b"-MOVED 1 127.0.0.1:%d\r\n", b"-CLUSTERDOWN no\r\n"], False),
        ([None, b"-CLUSTERDOWN no\r\n"], True),
    ):
        async with scripted(answer) as server:
            steps = iter([reply and reply.replace(b"%d", b"%d" % server.port) for reply in replies])
            url = server.url.replace("redis://", "redis+cluster://").removesuffix("/0")
            assert (await creating(url)).perhaps is perhaps
