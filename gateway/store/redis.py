"""The store on Redis or Valkey: one idempotent script per verb, one aspect per file, put together here."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.policy import DAY
from gateway.store.deliveries import DeliveryVerbs
from gateway.store.durations import DurationVerbs
from gateway.store.jobs import JobVerbs
from gateway.store.leases import LeaseVerbs
from gateway.store.requests import RequestVerbs
from gateway.store.requirements import Unsuitable, judge
from gateway.store.settings import StoreSettings
from gateway.store.topology import servers
from gateway.store.wire.errors import Refused

_MARKS_KEPT = 400 * DAY
"""Longer than any job and its tombstone; every start of a gateway renews it."""


def connect(settings: StoreSettings, url: str) -> RedisStore:
    """Return a store on the servers at `url`; nothing is sent yet. Raises `ValueError` for a URL that is none."""
    return RedisStore(servers(settings, url), settings)


class RedisStore(JobVerbs, RequestVerbs, DeliveryVerbs, LeaseVerbs, DurationVerbs):
    """The port's implementation: all aspects, and what is of the servers themselves."""

    async def remember_token(self, token: str, *, keep: int) -> None:
        """See the port."""
        await self._redis.execute("SET", self._keys.token(token), b"1", "PX", keep)

    async def knows_token(self, token: str) -> bool:
        """See the port."""
        return bool(await self._redis.execute("EXISTS", self._keys.token(token)))

    async def acknowledge(self, marks: Sequence[str]) -> bool:
        """See the port."""
        known = {mark.decode() for mark in await self._redis.execute("SMEMBERS", self._keys.keyring)}
        if known and not known & set(marks):
            return False
        if not known.issuperset(marks):  # A server that is full takes no new ones, and is no reason not to start.
            await self._redis.execute("SADD", self._keys.keyring, *marks)
        await self._redis.execute("PEXPIRE", self._keys.keyring, _MARKS_KEPT)
        return True

    async def check(self) -> None:
        """Raise `StoreDown` if a server does not answer, `Unsuitable` if it would lose jobs."""
        for server in await self._servers.primaries():
            await server.execute("PING")
            try:
                told = await server.execute("CONFIG", "GET", "maxmemory*", "appendonly", "appendfsync")
            except Refused:
                told = []  # Managed servers do not tell; `durability: disk` then cannot be promised.
            words = [word.decode() for word in told]
            judge(dict(zip(words[::2], words[1::2], strict=True)), durability=self._settings.durability)
        await self._knows_flags()

    async def _knows_flags(self) -> None:
        try:
            await self._beat([self._keys.replicas], ["", 0, "", ""])
        except Refused as error:
            if "compiling" in str(error):
                raise Unsuitable("the store is too old: it must be Redis 7.0 or Valkey 7.2, or newer") from error
            raise

    async def ping(self) -> None:
        """See the port."""
        await self._redis.execute("PING")

    async def close(self) -> None:
        """See the port."""
        await self._servers.close()
