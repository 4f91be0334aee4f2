"""The parent of workers, put together: the ports, the store that they share, and the supervisor over them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial

import msgspec
import structlog

from gateway.app.stop import Stop
from gateway.app.stores import keyring_of, opened, own_server
from gateway.app.workers.binding import address_of, bind
from gateway.app.workers.dealer import Dealer
from gateway.app.workers.errand import Errand
from gateway.app.workers.supervisor import Supervisor
from gateway.app.workers.worker import Worker
from gateway.config import Config, ConfigError
from gateway.observability.logs import configure
from gateway.store.port import StoreDown
from gateway.store.redis import connect
from gateway.web.settings import Address

_log = structlog.get_logger("gateway")


async def serve(config: Config, count: int, stop: Stop, reread: Callable[[], Config]) -> None:
    """Have `count` workers serve until they are to stop; SIGHUP reloads them with what `reread` returns.

    Raises `WorkerFailed`, `EmbeddedStoreError`, `KeyringError`, `StoreDown`, `Unsuitable`, `OSError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        bound = bind(config.web)
        dealer = Dealer(bound)
        stack.callback(dealer.close)
        shared = await Shared.opened(stack, config)
        addresses = {name: address_of(sockets) for name, sockets in bound.items()}
        supervisor = Supervisor(
            shared.of(config), count, dealer=dealer, spawn=partial(shared.spawn, addresses), bury=shared.bury
        )
        reloading = _Reloading(config, reread, lambda new: supervisor.reload(shared.of(new)))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.reload)
        await supervisor.run(stop, serving=partial(_announce, config, addresses))


def _announce(config: Config, addresses: dict[str, Address]) -> None:
    for name, address in addresses.items():
        _log.info("listening", port=name, address=str(address), upstream=config.upstream.url)


class Shared:
    """The store as parent and workers share it."""

    def __init__(self, config: Config, url: str, lock: int | None) -> None:
        self._settings = msgspec.structs.replace(config.store, url=url)
        self._url = url
        self._lock = lock
        """The embedded store's locked file; None where the store is no child of this process."""

    @classmethod
    async def opened(cls, stack: contextlib.AsyncExitStack, config: Config) -> Shared:
        """Start the store's server if it is embedded, and end the leases of whoever has used it before."""
        if config.store.url is not None:
            return cls(config, config.store.url, None)
        url, server = await own_server(stack, config.store)
        keyring_of(config)  # makes one where there is none yet
        async with contextlib.AsyncExitStack() as brief:
            store = await opened(brief, config.store, url)
            for name in await store.incarnations():
                await store.leave(name)  # the directory was locked: none of them lives
        return cls(config, url, server.lock_fd)

    def of(self, config: Config) -> Config:
        """Return a worker's configuration: with the shared store, whoever runs it."""
        return msgspec.structs.replace(config, store=msgspec.structs.replace(config.store, url=self._url))

    async def spawn(self, addresses: dict[str, Address], number: int, config: Config) -> Worker:
        """Start a worker's process. Raises `WorkerFailed`.

        With an embedded store, which dies with this process, it does too, and holds the data directory's lock until
        then: so the next gateway there finds nobody who still believes in a lease.
        """
        parent = None if self._lock is None else os.getpid()
        errand = Errand(number, config, addresses, parent)
        return await Worker.spawn(errand, inherit=() if self._lock is None else (self._lock,))

    async def bury(self, worker: Worker) -> None:
        """End the lease of a worker whose process is gone, so that its siblings take its jobs over at once.

        That breaks no promise of the lease: what it allows only its owner can do, and its owner cannot any more. What
        the dead worker had sent, and the store reads only now, meets the fence like anything late.
        """
        store = connect(self._settings, self._url)
        try:
            for name in worker.names:
                await store.leave(name)
        except StoreDown as error:
            _log.warning("the lease of a dead worker runs out by itself", worker=worker.number, error=str(error))
        finally:
            with contextlib.suppress(StoreDown):
                await store.close()


class _Reloading:
    """What SIGHUP does."""

    def __init__(self, config: Config, reread: Callable[[], Config], reload: Callable[[Config], None]) -> None:
        self._fixed = _fixed(config)
        self._reread = reread
        self._reload = reload

    def reload(self) -> None:
        """Read the configuration again, and reload the workers if it is good; else all stays as it is."""
        try:
            config = self._reread()
        except ConfigError as error:
            _log.error("reload refused", error=str(error))
            return
        if changed := [name for name, value in _fixed(config).items() if value != self._fixed[name]]:
            _log.error("reload refused", error=f"only a restart can change {', '.join(changed)}")
            return
        configure(config.log, parent=True)
        _log.info("reloading")
        self._reload(config)


def _fixed(config: Config) -> dict[str, object]:
    """Return what stays for as long as the parent does, by its key in the file."""
    web, store = config.web, config.store
    return {
        "listen": web.listen,
        "admin": web.admin,
        "workers": config.workers,
        "store.url": store.url,
        "store.data_dir": store.data_dir,
        "store.durability": store.durability,
        "store.prefix": store.prefix,
    }
