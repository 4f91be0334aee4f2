"""The life of one gateway: the order in which its parts come up, how it says good-bye, and in what order they go."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from gateway.app.assembly import Assembly, defect
from gateway.app.stop import ANSWER_LAST, HAND_OVER, Stop
from gateway.app.stores import keyring_of, opened, own_server
from gateway.auth.keyring import KeyringError
from gateway.config import Config
from gateway.store.port import StoreDown
from gateway.store.redis import RedisStore
from gateway.web.drain import Drain
from gateway.web.gateway import Gateway
from gateway.web.servers import Ports, serving
from gateway.web.settings import Address
from gateway.worker.feed import Feed
from gateway.worker.tasks import Tasks

_log = structlog.get_logger("gateway")


@asynccontextmanager
async def running(
    config: Config,
    *,
    store: RedisStore | None = None,
    ports: Ports | None = None,
    drain: Drain | None = None,
    named: Callable[[str], None] | None = None,
) -> AsyncIterator[dict[str, Address]]:
    """Run the gateway; give the addresses it listens on. Leaving drains it.

    `store`: one that is already connected. `ports`: where connections come from, if not from sockets of its own.
    `drain`: its farewell, for who hastens it. `named` is told every name that it has in the store, before it is there.
    Raises `EmbeddedStoreError`, `KeyringError`, `StoreDown`, `OSError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = store or await _store(stack, config)
        keyring = keyring_of(config)
        if not await store.acknowledge(keyring.marks):
            raise KeyringError(
                "the store's jobs were made under another keyring: they would be lost, and repeated calls would start "
                "anew. Give that keyring, on top of it a new key if you like, or another store.prefix"
            )
        parts = Assembly(config, store, keyring, stack, drain=drain, named=named)
        gateway = parts.gateway
        # After all that its tasks use was made, so that they end before any of it is closed.
        stack.push_async_callback(gateway.tasks.close)
        background = Tasks(defect)
        stack.push_async_callback(background.close)
        await gateway.leases.join(alone=config.store.url is None)
        background.spawn(gateway.leases.run(), name="leases")
        background.spawn(gateway.watches.listen(), name="wake-ups")
        background.spawn(parts.learning.run(), name="learning")
        stack.push_async_callback(_stop, parts)
        async with serving(gateway, ports) as addresses:
            if ports is None:
                announce(config, addresses)
            try:
                yield addresses
            finally:
                await _drain(gateway, parts.feed)


def announce(config: Config, addresses: dict[str, Address]) -> None:
    """Say in the log where callers connect."""
    for name, address in addresses.items():
        _log.info("listening", port=name, address=str(address), upstream=config.upstream.url)


async def _store(stack: contextlib.AsyncExitStack, config: Config) -> RedisStore:
    url = config.store.url
    if url is None:
        url, _ = await own_server(stack, config.store)
    return await opened(stack, config.store, url)


async def _drain(gateway: Gateway, feed: Feed) -> None:
    """Answer those who wait: as their jobs end while there is time, then with where their job will be."""
    drain, settings = gateway.drain, gateway.settings
    drain.begin(settings.drain / 1000)
    _log.info("draining", seconds=settings.drain / 1000, following=len(gateway.driver))
    if drain.leaving:
        await drain.pause(min(settings.drain_notice / 1000, drain.left))
    await drain.idle(max(0.0, drain.left - ANSWER_LAST))
    # Even if nobody waits: whoever comes before the ports are closed must not be left waiting behind them.
    drain.hurry = True
    feed.wake_all()
    await drain.idle(ANSWER_LAST)


async def _stop(parts: Assembly) -> None:
    """Follow nothing any more, whatever the reason for leaving, and let others follow it at once."""
    parts.deliveries.stop()
    await parts.gateway.driver.stop(parts.drain.left + HAND_OVER)
    with contextlib.suppress(StoreDown):
        await parts.gateway.leases.leave()


async def serve(config: Config, stop: Stop) -> None:
    """Run the gateway until it is to stop, in a process of its own."""
    drain = Drain()
    stop.hastened = drain.hasten
    async with running(config, drain=drain):
        collect_seldom()
        await stop.asked.wait()


def collect_seldom() -> None:
    """Leave what start-up made to no collection, and run them seldom: they took a tenth of a job's CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
