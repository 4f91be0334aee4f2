"""The map of a Cluster: which node holds which slot, learned from the nodes, all at once and by one at a time."""

from __future__ import annotations

import asyncio
import binascii
import itertools
import secrets
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from gateway.store.address import Host
from gateway.store.port import StoreDown
from gateway.store.wire.client import Client
from gateway.store.wire.errors import Lost

_SLOTS = 16384


class Slots:
    """Knows nothing at first but `seeds`, and asks when it is asked.

    `patience`: seconds that asking all nodes may take. `connect` makes a client of one, which is closed afterwards.
    """

    def __init__(self, seeds: Sequence[Host], connect: Callable[[Host], Client], *, patience: float) -> None:
        self._seeds = tuple(seeds)
        self._connect = connect
        self._patience = patience
        self._slots: list[Host] = []
        self._others: tuple[Host, ...] = ()
        self._rounds = 0
        self._learning = asyncio.Lock()
        self._turns = itertools.count(secrets.randbelow(_SLOTS))

    async def known(self) -> None:
        """Return once every slot has a holder. Raises `Lost` if no node can tell."""
        if not self._slots:
            await self.learn(avoid=frozenset())

    def holder(self, key: str | None) -> Host:
        """Return the node that holds a key; any that holds some, for no key."""
        if key is None:
            return self._slots[next(self._turns) % _SLOTS]
        return self._slots[slot_of(key)]

    def holders(self) -> list[Host]:
        """Return the nodes that hold keys."""
        return list(dict.fromkeys(self._slots))

    def hosts(self) -> list[Host]:
        """Return all nodes, also those that only copy others, or are only known by their address."""
        return list(dict.fromkeys((*self._slots, *self._others, *self._seeds)))

    def next(self) -> Host:
        """Return one node, another one each time."""
        hosts = self.hosts()
        return hosts[next(self._turns) % len(hosts)]

    def move(self, slot: int, host: Host) -> None:
        """Believe a node that says who has one of its slots now."""
        self._slots[slot] = host

    async def learn(self, *, avoid: AbstractSet[Host]) -> None:
        """Ask the nodes, those to `avoid` last, which of them holds which slots.

        Raises `Lost` if that has never been known.
        """
        rounds = self._rounds
        async with self._learning:
            if self._rounds == rounds:  # else somebody has just asked, with whatever success
                self._rounds += 1
                await self._ask(sorted(self.hosts(), key=avoid.__contains__))
        if not self._slots:
            raise Lost("no node that answers knows the holders of all slots", perhaps=False)

    async def _ask(self, hosts: list[Host]) -> None:
        for host in hosts:
            with suppress(StoreDown, TimeoutError):
                async with asyncio.timeout(self._patience / len(hosts)):
                    ranges = await self._told(host)
                if self._take(ranges, host):
                    return

    async def _told(self, host: Host) -> Any:
        client = self._connect(host)
        try:
            return await client.execute("CLUSTER", "SLOTS")
        finally:
            await client.close()

    def _take(self, ranges: Iterable[Any], told_by: Host) -> bool:
        """Take the answer to CLUSTER SLOTS for the map, if it names a holder of every slot."""
        slots: list[Host | None] = [None] * _SLOTS
        others = []
        for begin, end, primary, *replicas in ranges:
            slots[begin : end + 1] = [_host(primary, told_by)] * (end + 1 - begin)
            others += [_host(replica, told_by) for replica in replicas]
        holders = [host for host in slots if host is not None]
        if len(holders) != _SLOTS:
            return False
        self._slots, self._others = holders, tuple(others)
        return True


def slot_of(key: str) -> int:
    """Return the slot of a key: of its hash tag, if it has one that is not empty (Redis Cluster specification)."""
    _, brace, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return binascii.crc_hqx((tag if brace and closed and tag else key).encode(), 0) % _SLOTS


def _host(told: Sequence[Any], told_by: Host) -> Host:
    """Return a node of CLUSTER SLOTS; one that does not know its own name is where it was asked."""
    name = told[0].decode() if told[0] else told_by.name
    return Host(told_by.name if name == "?" else name, int(told[1]))
