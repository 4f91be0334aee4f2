"""The job store that a gateway has: one that is there already, or a server of its own."""

from __future__ import annotations

import contextlib

import structlog

from gateway.auth.keyring import Keyring, KeyringError, load, load_or_create, parse
from gateway.config import Config
from gateway.store.embedded import EmbeddedServer
from gateway.store.port import StoreDown
from gateway.store.redis import RedisStore, connect
from gateway.store.settings import StoreSettings

_log = structlog.get_logger("gateway")


async def own_server(stack: contextlib.AsyncExitStack, settings: StoreSettings) -> tuple[str, EmbeddedServer]:
    """Start a store server in the data directory, to be stopped by `stack`; return its URL too.

    Raises `EmbeddedStoreError`.
    """
    server = EmbeddedServer(settings.data_dir, durability=settings.durability, on_event=_told_by_server)
    url = await server.start()
    stack.push_async_callback(server.close)
    return url, server


async def opened(stack: contextlib.AsyncExitStack, settings: StoreSettings, url: str) -> RedisStore:
    """Return the store at `url`, to be closed by `stack`. Raises `StoreDown`, `Unsuitable`."""
    store = connect(settings, url)
    stack.push_async_callback(_closed, store)
    await store.check()
    return store


def keyring_of(config: Config) -> Keyring:
    """Return the keyring that the configuration names, or the embedded store's own. Raises `KeyringError`."""
    auth = config.auth
    if auth.keyring is not None:
        return parse(auth.keyring)
    if auth.keyring_file is None:
        raise KeyringError("there is no keyring: give keyring, keyring_file or CALLMODE_KEYRING")
    # A keyring of their own would leave replicas unable to resume each other's jobs: only the embedded store gets one.
    return load_or_create(auth.keyring_file) if config.store.url is None else load(auth.keyring_file)


async def _closed(store: RedisStore) -> None:
    with contextlib.suppress(StoreDown):
        await store.close()


def _told_by_server(event: str, fields: dict[str, object]) -> None:
    _log.info(event, **fields)
