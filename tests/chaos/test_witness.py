"""The witness sees every write of a record, and the store's restarts do not blind it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.chaos.history import History, Seen
from tests.chaos.settings import PREFIX
from tests.chaos.witness import seen_in, witness
from tests.store.rows import KEEP, change, job, new, save_of
from tests.support.redis_servers import real_redis_binary, redis_server, require


async def seen(history: History, count: int) -> list[tuple[str, int]]:
    """Wait until so many writes were seen; return the first ones' jobs and revisions."""
    async with asyncio.timeout(10):
        while len(history.lines) < count:  # noqa: ASYNC110 - lines are added without an event
            await asyncio.sleep(0.01)
    return [(line.job, line.revision) for line in history.lines if isinstance(line, Seen)]


async def watched(store) -> None:
    """Wait until the server has a monitor."""
    async with asyncio.timeout(10):
        while not await _monitored(store):  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)


async def _monitored(store) -> bool:
    return any(b" flags=O " in line for line in (await store._redis.execute("CLIENT", "LIST")).splitlines())


async def test_it_sees_every_write_over_a_restart(tmp_path):
    """In order, whoever wrote."""
    history = History(tmp_path / "history.jsonl")
    binary = require(real_redis_binary(), "redis-server")
    with redis_server(binary, tmp_path, appendonly=True, options=("--appendfsync", "always")) as server:
        store = connect(StoreSettings(url=server.url, prefix=PREFIX), server.url)
        watching = asyncio.get_running_loop().create_task(witness(server.port, history))
        try:
            await watched(store)
            first, second = job(), job()
            await store.create(new(first), "a", keep=KEEP)
            await store.save(save_of(change(first)), "a")
            await seen(history, 2)
            server.kill()
            server.start()
            await watched(store)
            await store.create(new(second), "a", keep=KEEP)
            assert await seen(history, 3) == [(first.id, 1), (first.id, 2), (second.id, 1)]
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            await store.close()
            history.close()


@pytest.mark.parametrize(
    "line",
    [
        b"+OK\r\n",
        b'+1.0 [0 127.0.0.1:1] "GET" "chaos:{p07}:job:x"\r\n',
        b'+1.0 [0 lua] "HSET" "chaos:{p07}:job:x" "verdict" "\\x81\\"rec\\""\r\n',
        b'+1.0 [0 lua] "HGET" "chaos:{p07}:job:x" "rec"\r\n',
        b'+1.0 [0 lua] "HSET" "chaos:{p07}:delivery:x" "rec" "" "rev" "1"\r\n',
    ],
)
def test_other_commands_say_nothing(line):
    """Reads, other rows, other fields."""
    assert seen_in(line, 0.0) is None
