"""redis-py's connections, for what is seldom: listening to what is published, and asking Sentinels.

A subscription holds a connection of its own for as long as it lasts, and ends in the open when that does; nothing is
gained there by sharing. Commands go another way: `gateway.store.wire`.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio as redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from gateway.store.address import Address, Host
from gateway.store.settings import StoreSettings


def listener(settings: StoreSettings, address: Address) -> redis.Redis:
    """Return a client of one server, to listen on."""
    pool = redis.ConnectionPool(**_common(settings, address), **_where(address))
    return redis.Redis.from_pool(pool)


def primary_listener(settings: StoreSettings, address: Address, sentinels: Sentinel) -> redis.Redis:
    """Return a client of whichever server the Sentinels name, to listen on."""
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, sentinels, ssl=address.tls, db=address.db, **_common(settings, address)
    )
    return redis.Redis.from_pool(pool)


def sentinels(settings: StoreSettings, address: Address) -> Sentinel:
    """Return clients of the Sentinels. All of them together may take as long as one command."""
    asked = {
        **_quiet(settings.timeout / len(address.hosts)),
        **_tls(settings, address),
        "ssl": address.tls,
        "username": settings.sentinel_username,
        "password": settings.sentinel_password,
    }
    return Sentinel(  # type: ignore[no-untyped-call]
        [(host.name, host.port) for host in address.hosts], sentinel_kwargs=asked
    )


def _where(address: Address) -> dict[str, Any]:
    if address.path is not None:
        return {"connection_class": UnixDomainSocketConnection, "path": address.path, "db": address.db}
    host: Host
    [host] = address.hosts
    return {
        "connection_class": SSLConnection if address.tls else Connection,
        "host": host.name,
        "port": host.port,
        "db": address.db,
    }


def _common(settings: StoreSettings, address: Address) -> dict[str, Any]:
    return {
        **_quiet(settings.timeout),
        **_tls(settings, address),
        "username": settings.username or address.username,
        "password": settings.password or address.password,
    }


def _quiet(milliseconds: float) -> dict[str, Any]:
    """Nothing is sent on connecting but what is needed, no server says where else to go, nothing is repeated."""
    return {
        "socket_timeout": milliseconds / 1000,
        "socket_connect_timeout": milliseconds / 1000,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


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
