"""The store, read past the gateways with the store's own codec: one job now and then, everything at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.job import Job
from gateway.store.codec import decode_delivery, decode_job
from gateway.store.keys import Keys
from tests.chaos.history import History, Leftover, Record
from tests.chaos.settings import PREFIX


class StoreView:
    """Looks into the store at `url`."""

    def __init__(self, url: str) -> None:
        # Reads only: each connection of the pool may have been cut by a restart.
        again = Retry(ConstantBackoff(0.1), 5)
        self._redis = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0, retry=again)
        self._keys = Keys(PREFIX)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def state_of(self, job: str) -> str | None:
        """Return a job's state now; None where the store does not say."""
        with contextlib.suppress(RedisError, OSError, ValueError):
            record = await self._redis.hget(self._keys.job(job), "rec")
            return "missing" if record is None else decode_job(record).state.value
        return None

    async def unfinished(self) -> list[str]:
        """Return the jobs that have not ended and the deliveries that are still on their way. Raises `RedisError`."""
        left = []
        async for key, record in self._rows():
            ended = record.state.terminal if isinstance(record, Job) else record.state is not DeliveryState.PENDING
            if not ended:
                left.append(f"{key} {record.state.value}")
        return left

    async def _rows(self) -> AsyncIterator[tuple[str, Job | Delivery]]:
        for kind, decode in (("job", decode_job), ("delivery", decode_delivery)):
            found = [key async for key in self._redis.scan_iter(match=f"{PREFIX}:*:{kind}:*", count=1000)]
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in found:
                    pipe.hget(key, "rec")
                records = await pipe.execute()
            for key, record in zip(found, records, strict=True):
                if record is not None:
                    yield key.decode(), decode(record)

    async def dump(self, history: History, canaries: Iterable[str]) -> None:
        """Write every record down, and whatever must not be there. Raises `RedisError`."""
        async for key, row in self._rows():
            if isinstance(row, Job):
                history.add(await self._record(key, row))
        async for key in self._redis.scan_iter(count=1000):
            await self._inspect(history, key, [canary.encode() for canary in canaries])

    async def _record(self, key: str, job: Job) -> Record:
        body = await self._redis.get(self._keys.body(job.id))
        return Record(
            job=job.id,
            state=job.state.value,
            revision=job.revision,
            route=job.route,
            error=job.error,
            status=None if job.outcome is None else job.outcome.status,
            refused=job.refused,
            frees_key=job.frees_key,
            callback=job.callback_url is not None,
            created=job.created,
            finished=job.finished,
            body=None if body is None else body.decode("latin-1"),
        )

    async def _inspect(self, history: History, key: bytes, canaries: list[bytes]) -> None:
        name = key.decode()
        if await self._redis.ttl(key) == -1:
            history.add(Leftover("key without a TTL", name))
        if ":followed:" in name:
            members = await self._redis.smembers(key)
            history.add(Leftover("followed row", f"{name} {sorted(members)}"))
        kind = await self._redis.type(key)
        values: list[bytes] = []
        if kind == b"hash":
            values = [part for pair in (await self._redis.hgetall(key)).items() for part in pair]
        elif kind == b"string":
            values = [await self._redis.get(key) or b""]
        if any(canary in each for canary in canaries for each in (key, *values)):
            history.add(Leftover("secret in the store", name))
