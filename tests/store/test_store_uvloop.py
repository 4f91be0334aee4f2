"""The gateway runs on uvloop, which has errors of its own for a connection that is cut."""

from __future__ import annotations

import asyncio
import secrets

import pytest
import uvloop

from gateway.store.port import StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings


def test_a_write_on_a_connection_that_was_just_cut_is_a_store_that_is_away(redis_url):
    """Uvloop raises `RuntimeError` there; a caller would be told of a defect, and a save would wait for it to heal."""

    async def cut_and_ask():
        store = connect(StoreSettings(prefix=f"uvloop-{secrets.token_hex(4)}"), redis_url)
        try:
            await store.ping()
            [connection] = store._redis.connection_pool._available_connections
            connection._writer.transport.abort()
            with pytest.raises(StoreDown, match="closed"):
                await store.ping()
            await store.ping()
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cut_and_ask())
