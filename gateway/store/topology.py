"""The connections to the store's servers, for each of its topologies. Nothing is sent when they are made.

The store works with clients and does not know what is behind them: one server, whichever server the Sentinels name, or
the nodes of a Cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.store.address import Address, Host, Topology, parse
from gateway.store.cluster import Cluster
from gateway.store.durable import Acknowledged
from gateway.store.settings import StoreSettings
from gateway.store.slots import Slots
from gateway.store.wire.client import Client, Repeating
from gateway.store.wire.endpoint import Endpoint, Tls
from gateway.store.wire.server import Server
from gateway.store.wire.subscription import Listening

Listen = Callable[[Sequence[str]], Awaitable[Listening]]
"""Listens to channels, on a connection of its own. May raise `Lost`."""


class Servers(msgspec.Struct, frozen=True):
    """The clients that a store works with."""

    commands: Client
    """For all that nobody waits long for."""
    writes: Client
    """For writes that replicas acknowledge, whose connections are held meanwhile; else the same client."""
    listen: Listen
    """For what is published."""
    primaries: Callable[[], Awaitable[list[Client]]]
    """Gives a client of each server that holds keys."""
    closing: tuple[Callable[[], Awaitable[None]], ...]
    flags: bool = True
    """Whether the servers know flags of scripts."""

    async def close(self) -> None:
        """Close every connection."""
        for close in self.closing:
            await close()


def one(client: Client, listen: Listen, writes: Client | None = None, *, flags: bool = True) -> Servers:
    """Return the clients of one server, or of what looks like one."""

    async def primaries() -> list[Client]:
        return [client]

    closing = (client.close, *([writes.close] if writes else []))
    return Servers(client, writes or client, listen, primaries, closing, flags)


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


def _server(settings: StoreSettings, address: Address) -> Servers:
    where = address.path if address.path is not None else address.hosts[0]
    endpoint = _endpoint(settings, address, where)
    writes = _acknowledged(settings, Server(endpoint, _patience(settings))) if settings.wait_replicas else None
    server = Server(endpoint, settings.timeout / 1000)
    return one(Repeating(server), server.listen, Repeating(writes) if writes else None)


def _sentinel(settings: StoreSettings, address: Address) -> Servers:
    from gateway.store.sentinel import Primary, sentinels

    asked = sentinels(settings, address)

    def primary(timeout: float) -> Primary:
        return Primary(asked, address.service, lambda host: _endpoint(settings, address, host), timeout=timeout)

    commands = primary(settings.timeout / 1000)
    writes = _acknowledged(settings, primary(_patience(settings))) if settings.wait_replicas else None
    found = one(Repeating(commands), commands.listen, Repeating(writes) if writes else None)
    return msgspec.structs.replace(found, closing=(*found.closing, asked.aclose))


def _cluster(settings: StoreSettings, address: Address) -> Servers:
    def server(host: Host) -> Server:
        return Server(_endpoint(settings, address, host), settings.timeout / 1000)

    def acknowledged(host: Host) -> Client:
        return _acknowledged(settings, Server(_endpoint(settings, address, host), _patience(settings)))

    slots = Slots(address.hosts, server, patience=settings.timeout / 1000)
    commands = Cluster(slots, server)
    writes = Cluster(slots, acknowledged) if settings.wait_replicas else None
    listeners: dict[Host, Server] = {}

    async def listen(channels: Sequence[str]) -> Listening:
        """Listen at another node each time: what is published anywhere is heard everywhere."""
        await slots.known()
        host = slots.next()
        if host not in listeners:
            listeners[host] = server(host)
        return await listeners[host].listen(channels)

    async def stop_listening() -> None:
        for client in listeners.values():
            await client.close()

    closing = (commands.close, *([writes.close] if writes else []), stop_listening)
    return Servers(commands, writes or commands, listen, commands.primaries, closing)


def _acknowledged(settings: StoreSettings, inner: Client) -> Client:
    return Acknowledged(inner, replicas=settings.wait_replicas, timeout=settings.wait_timeout)


def _patience(settings: StoreSettings) -> float:
    """Return how long (s) a reply may take that replicas may hold up."""
    return (settings.timeout + settings.wait_timeout) / 1000


def _endpoint(settings: StoreSettings, address: Address, where: Host | str) -> Endpoint:
    return Endpoint(
        where if isinstance(where, str) else (where.name, where.port),
        tls=Tls(settings.ca_file, settings.cert_file, settings.key_file) if address.tls else None,
        username=settings.username or address.username,
        password=settings.password or address.password,
        db=address.db,
    )
