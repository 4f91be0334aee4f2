"""The connections to the store's servers, for each of its topologies. Nothing is sent when they are made.

The store works with clients of redis-py's interface and does not know what is behind them: one server, whichever
server the Sentinels name, or the nodes of a Cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig

from gateway.store.address import Address, Host, Topology, parse
from gateway.store.cluster import Cluster
from gateway.store.settings import StoreSettings

_POOL = 64
"""Connections at most, to a server and for one purpose; a command waits for one rather than fail."""

_TRUST = 5.0
"""Seconds for which the Sentinels' word on the primary holds while its connections work."""


class Servers(msgspec.Struct, frozen=True):
    """The clients that a store works with."""

    commands: redis.Redis
    """For all that nobody waits long for."""
    writes: redis.Redis
    """For writes that replicas acknowledge, whose connections are held meanwhile; else the same client."""
    listener: Callable[[], Awaitable[redis.Redis]]
    """Gives a client to listen on, whose connection ends in the open when it ends."""
    primaries: Callable[[], Awaitable[list[redis.Redis]]]
    """Gives a client of each server that holds keys."""
    closing: tuple[Callable[[], Awaitable[None]], ...]
    flags: bool = True
    """Whether the servers know flags of scripts."""

    async def close(self) -> None:
        """Close every connection."""
        for close in self.closing:
            await close()


def one(
    client: redis.Redis, listener: redis.Redis, writes: redis.Redis | None = None, *, flags: bool = True
) -> Servers:
    """Return the clients of one server, or of what looks like one."""
    clients = [client, listener, *([writes] if writes else [])]

    async def listening() -> redis.Redis:
        return listener

    async def primaries() -> list[redis.Redis]:
        return [client]

    closing = tuple(_closing(client) for client in clients)
    return Servers(client, writes or client, listening, primaries, closing, flags)


def servers(settings: StoreSettings, url: str) -> Servers:
    """Return the clients of the servers at `url`. Raises `ValueError` for a URL that is none of a store."""
    address = parse(url)
    match address.topology:
        case Topology.SERVER:
            return _server(settings, address)
        case Topology.SENTINEL:
            return _sentinel(settings, address)
        case Topology.CLUSTER:
            return _cluster(settings, address)


class _Link:
    """What redis-py's connections lack."""

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Call a connection that was cut just before what it is; uvloop has an error of its own for it."""
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]
        except RuntimeError as error:
            if "handler is closed" not in str(error):
                raise
            raise RedisConnectionError("the connection was closed") from error

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Leave a server that only copies another: its address may lead to the primary by now."""
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except (ReadOnlyError, MasterDownError) as error:
            await self.disconnect()  # type: ignore[attr-defined]
            raise RedisConnectionError(f"the store's server is a replica: {error}") from error


class _Tcp(_Link, Connection):
    """Over TCP."""


class _Tls(_Link, SSLConnection):
    """Over TLS."""


class _Unix(_Link, UnixDomainSocketConnection):
    """Over a unix socket."""


class _Managed(_Link, SentinelManagedConnection):
    """To the primary that Sentinels name."""


class _ManagedTls(_Link, SentinelManagedSSLConnection):
    """The same over TLS."""


class _SentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    """A pool that follows the primary also where its connections to the one before go on working.

    A primary that was cut off from the Sentinels, and not from here, takes writes that the next one will never see.
    """

    _asked = float("-inf")
    listening: _SentinelPool | None = None
    """Whose connections only listen, and would never hear that there is nothing to be heard any more."""

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        now = asyncio.get_running_loop().time()
        if now - self._asked > _TRUST:
            self._asked = now
            with suppress(RedisConnectionError):  # Sentinels that are away need not be the store's end.
                await self.get_master_address()
        return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]

    async def get_master_address(self) -> Any:
        """Ask the Sentinels; leave the primary before also where nothing is sent."""
        before = self.master_address
        address = await super().get_master_address()  # type: ignore[no-untyped-call]
        if self.listening and before not in {None, address}:
            await self.listening.disconnect()
        return address

    async def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            connection.mark_for_reconnect()
        await super().release(connection)


def _server(settings: StoreSettings, address: Address) -> Servers:
    given = _common(settings, address) | _where(address)
    client, listener = _pooled(settings, given, retries=1), _pooled(settings, given, retries=0)
    return one(client, listener, _pooled(settings, given, retries=1) if settings.wait_replicas else None)


def _sentinel(settings: StoreSettings, address: Address) -> Servers:
    asked = {
        # All of them together may take as long as one command.
        **_timeouts(settings.timeout / len(address.hosts)),
        **_tls(settings, address),
        "ssl": address.tls,
        "username": settings.sentinel_username,
        "password": settings.sentinel_password,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host.name, host.port) for host in address.hosts], sentinel_kwargs=asked
    )
    given = _common(settings, address) | {"db": address.db}

    def pooled(retries: int) -> _SentinelPool:
        return _SentinelPool(  # type: ignore[no-untyped-call]
            address.service,
            sentinel,
            connection_class=_ManagedTls if address.tls else _Managed,
            max_connections=_POOL,
            timeout=settings.timeout / 1000,
            retry=Retry(NoBackoff(), retries),
            **given,
        )

    commands, listening = pooled(retries=1), pooled(retries=0)
    commands.listening = listening
    writes = redis.Redis.from_pool(pooled(retries=1)) if settings.wait_replicas else None
    found = one(redis.Redis.from_pool(commands), redis.Redis.from_pool(listening), writes)
    return msgspec.structs.replace(found, closing=(*found.closing, sentinel.aclose))


def _cluster(settings: StoreSettings, address: Address) -> Servers:
    def connect(host: Host) -> redis.Redis:
        given = _common(settings, address) | _where(msgspec.structs.replace(address, hosts=(host,)))
        return _pooled(settings, given, retries=0)

    def cluster() -> Cluster:
        return Cluster(address.hosts, connect, patience=settings.timeout / 1000)

    commands = cluster()
    writes = cluster() if settings.wait_replicas else commands
    return Servers(
        commands,
        writes,
        commands.any,
        commands.primaries,
        tuple(client.aclose for client in dict.fromkeys((commands, writes))),
    )


def _pooled(settings: StoreSettings, given: dict[str, Any], *, retries: int) -> redis.Redis:
    pool = redis.BlockingConnectionPool(
        max_connections=_POOL, timeout=settings.timeout / 1000, retry=Retry(NoBackoff(), retries), **given
    )
    return redis.Redis.from_pool(pool)


def _where(address: Address) -> dict[str, Any]:
    if address.path is not None:
        return {"connection_class": _Unix, "path": address.path, "db": address.db}
    [host] = address.hosts
    return {
        "connection_class": _Tls if address.tls else _Tcp,
        "host": host.name,
        "port": host.port,
        "db": address.db,
    }


def _common(settings: StoreSettings, address: Address) -> dict[str, Any]:
    """What every connection to a store server has."""
    return {
        **_timeouts(settings.timeout),
        **_tls(settings, address),
        "username": settings.username or address.username,
        "password": settings.password or address.password,
        # Nothing is sent on connecting but what is needed, and no server tells this client where else to go.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _timeouts(milliseconds: float) -> dict[str, Any]:
    return {"socket_timeout": milliseconds / 1000, "socket_connect_timeout": milliseconds / 1000}


def _tls(settings: StoreSettings, address: Address) -> dict[str, Any]:
    if not address.tls:
        return {}
    return {
        "ssl_ca_certs": _text(settings.ca_file),
        "ssl_certfile": _text(settings.cert_file),
        "ssl_keyfile": _text(settings.key_file),
    }


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def _closing(client: redis.Redis) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        await client.aclose(close_connection_pool=True)

    return close
