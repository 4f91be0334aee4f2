"""The store on Redis or Valkey: one idempotent script per verb, one aspect per file, put together here."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from gateway.core.policy import DAY
from gateway.store.deliveries import DeliveryVerbs
from gateway.store.durations import DurationVerbs
from gateway.store.edge import mapped, raw, text
from gateway.store.jobs import JobVerbs
from gateway.store.leases import LeaseVerbs
from gateway.store.requests import RequestVerbs
from gateway.store.requirements import Unsuitable, judge
from gateway.store.settings import StoreSettings
from gateway.store.topology import servers

_MARKS_KEPT = 400 * DAY
"""Longer than any job and its tombstone; every start of a gateway renews it."""


def connect(settings: StoreSettings, url: str) -> RedisStore:
    """Return a store on the servers at `url`; nothing is sent yet. Raises `ValueError` for a URL that is none."""
    return RedisStore(servers(settings, url), settings)


class RedisStore(JobVerbs, RequestVerbs, DeliveryVerbs, LeaseVerbs, DurationVerbs):
    """The port's implementation: all aspects, and what is of the servers themselves."""

    async def remember_token(self, token: str, *, keep: int) -> None:
        """See the port."""
        with mapped():
            await self._redis.set(self._keys.token(token), b"1", px=keep)

    async def knows_token(self, token: str) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._redis.exists(self._keys.token(token)))

    async def acknowledge(self, marks: Sequence[str]) -> bool:
        """See the port."""
        with mapped():
            known = {raw(mark).decode() for mark in await self._redis.smembers(self._keys.keyring)}
            if known and not known & set(marks):
                return False
            if not known.issuperset(marks):  # A server that is full takes no new ones, and is no reason not to start.
                await self._redis.sadd(self._keys.keyring, *marks)
            await self._redis.pexpire(self._keys.keyring, _MARKS_KEPT)
        return True

    async def check(self) -> None:
        """Raise `StoreDown` if a server does not answer, `Unsuitable` if it would lose jobs."""
        with mapped():
            for server in await self._servers.primaries():
                await server.ping()
                try:
                    told = await server.config_get("maxmemory*", "appendonly", "appendfsync")
                except ResponseError:
                    told = {}  # Managed servers do not tell; `durability: disk` then cannot be promised.
                said = {text(name): text(value) for name, value in told.items()}
                judge(said, durability=self._settings.durability)
            await self._knows_flags()

    async def _knows_flags(self) -> None:
        try:
            await self._beat([self._keys.replicas], ["", 0, "", ""])
        except ResponseError as error:
            if "compiling" in str(error):
                raise Unsuitable("the store is too old: it must be Redis 7.0 or Valkey 7.2, or newer") from error
            raise

    async def ping(self) -> None:
        """See the port."""
        with mapped():
            await self._redis.ping()

    async def close(self) -> None:
        """See the port."""
        with mapped():
            await self._servers.close()
