"""The primary that Sentinels name, followed also where the connection to the one before goes on working.

A primary that was cut off from the Sentinels, and not from here, takes writes that the next one will never see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio as redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from gateway.store.address import Host
from gateway.store.wire.client import Argument, Command
from gateway.store.wire.endpoint import Endpoint
from gateway.store.wire.errors import Lost
from gateway.store.wire.server import Server

_TRUST = 5.0
"""Seconds for which the Sentinels' word on the primary holds while its connection works."""


class Primary:
    """A client of the server that Sentinels name for a service. `endpoint` makes one of an address.

    `listening`: whose connections only listen, and would never hear that there is nothing to be heard any more.
    """

    def __init__(
        self,
        sentinels: Sentinel,
        service: str,
        endpoint: Callable[[Host], Endpoint],
        *,
        timeout: float,
        listening: redis.Redis | None = None,
    ) -> None:
        self._sentinels = sentinels
        self._service = service
        self._endpoint = endpoint
        self._listening = listening
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
            self._server.leave()
            if self._listening:
                await self._listening.connection_pool.disconnect()
        return self._endpoint(self._host)
