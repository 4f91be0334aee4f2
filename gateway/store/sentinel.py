"""The primary that Sentinels name, followed also where the connection to the one before goes on working.

A primary that was cut off from the Sentinels, and not from here, takes writes that the next one will never see.

The Sentinels are asked through redis-py: seldom, and it takes long to import, so only this file does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from gateway.store.address import Address, Host
from gateway.store.settings import StoreSettings
from gateway.store.wire.client import Argument, Command
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.errors import Lost
from gateway.store.wire.server import Server
from gateway.store.wire.subscription import Listening

_TRUST = 5.0
"""Seconds for which the Sentinels' word on the primary holds while its connection works."""


class Primary:
    """A client of the server that Sentinels name for a service. `endpoint` makes one of an address."""

    def __init__(
        self,
        sentinels: Sentinel,
        service: str,
        endpoint: Callable[[Host], Endpoint],
        *,
        timeout: float,
    ) -> None:
        self._sentinels = sentinels
        self._service = service
        self._endpoint = endpoint
        self._server = Server(self._locate, timeout)
        self._host: Host | None = None
        self._asked = float("-inf")

    async def execute(self, *command: Argument) -> Any:
        """See `Client`."""
        await self._look()
        return await self._server.execute(*command)

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`."""
        await self._look()
        return await self._server.each(commands)

    async def listen(self, channels: Sequence[str]) -> Listening:
        """Listen to channels. Raises `Lost`."""
        return await self._server.listen(channels)

    async def close(self) -> None:
        """See `Client`."""
        await self._server.close()

    async def _look(self) -> None:
        """Ask the Sentinels again if they have not been asked for a while. The first who notices does it for all."""
        if asyncio.get_running_loop().time() - self._asked > _TRUST:
            with suppress(Lost):  # Sentinels that are away need not be the store's end.
                await self._locate()

    async def _locate(self) -> Endpoint:
        """Ask the Sentinels; leave the primary before if they name another."""
        self._asked = asyncio.get_running_loop().time()
        try:
            name, port = await self._sentinels.discover_master(self._service)
        except (RedisError, OSError, TimeoutError) as error:
            raise Lost(f"{type(error).__name__}: {error}", perhaps=False) from error
        before, self._host = self._host, Host(name, port)
        if before not in {None, self._host}:
            # Those who only listen too: they would never hear that there is nothing to be heard any more.
            self._server.leave()
        return self._endpoint(self._host)


def sentinels(settings: StoreSettings, address: Address) -> Sentinel:
    """Return redis-py's clients of the Sentinels. All of them together may take as long as one command."""
    seconds = settings.timeout / len(address.hosts) / 1000
    asked = {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "username": settings.sentinel_username,
        "password": settings.sentinel_password,
        # Nothing is sent on connecting but what is needed, and nobody tells this client where else to go.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if address.tls:
        files = {"ca_certs": settings.ca_file, "certfile": settings.cert_file, "keyfile": settings.key_file}
        asked |= {"ssl": True} | {f"ssl_{name}": None if path is None else str(path) for name, path in files.items()}
    return Sentinel(  # type: ignore[no-untyped-call]
        [(host.name, host.port) for host in address.hosts], sentinel_kwargs=asked
    )
