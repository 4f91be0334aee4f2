"""The gateway runs on uvloop, which has errors of its own for a connection that is cut."""

from __future__ import annotations

import asyncio
import secrets

import uvloop

from gateway.store.redis import connect
from gateway.store.settings import StoreSettings


def test_a_write_on_a_connection_that_was_just_cut_is_made_on_another(redis_url):
    """A `RuntimeError` would be taken for a defect, and a save would wait for it to heal."""

    async def cut_and_ask():
        store = connect(StoreSettings(prefix=f"uvloop-{secrets.token_hex(4)}"), redis_url)
        try:
            await store.ping()
            store._redis._inner._connection._transport.abort()
            await store.ping()
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cut_and_ask())
