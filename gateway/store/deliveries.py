"""The verbs of callback deliveries: rows beside their job's, in its partition, that live as long as their outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from gateway.core.delivery import MOST_OF_A_JOB, SPAN, Delivery, DeliveryState
from gateway.core.ids import PARTITIONS, partition_of
from gateway.store.codec import decode_delivery, encode
from gateway.store.edge import mapped, readable, text
from gateway.store.port import Attached, Cursor, DeadLetters, DeliveryRow, Saved
from gateway.store.scripts import Argument, Script
from gateway.store.verbs import Verbs

_DEAD = (DeliveryState.FAILED, DeliveryState.DISABLED)


class DeliveryVerbs(Verbs):
    """The part of `RedisStore` that is about deliveries."""

    @cached_property
    def _save_delivery(self) -> Script:
        return self._script("save_delivery")

    @cached_property
    def _attach(self) -> Script:
        return self._durable("attach")

    @cached_property
    def _redeliver(self) -> Script:
        return self._durable("redeliver")

    async def save_delivery(self, delivery: Delivery, revision: int, follower: str, *, keep: int) -> Saved:
        """See the port."""
        now = delivery.attempts[-1].at if delivery.attempts else delivery.due
        arguments: list[Argument] = [
            delivery.id, follower, revision, encode(delivery), delivery.revision, keep, delivery.state.value, now,
        ]  # fmt: skip
        with mapped():
            answer = await self._save_delivery(self._rows_of(delivery, follower), arguments)
        return Saved(answer.decode())

    async def redeliver(self, delivery: Delivery, revision: int, follower: str, *, keep: int) -> Saved:
        """See the port."""
        arguments: list[Argument] = [
            delivery.id, follower, revision, encode(delivery), delivery.revision, keep,
            self._keys.followed(partition_of(delivery.id), ""),
        ]  # fmt: skip
        with mapped():
            answer = await self._redeliver(self._rows_of(delivery, follower), arguments)
        return Saved(answer.decode())

    def _rows_of(self, delivery: Delivery, follower: str) -> list[str]:
        name, partition = self._keys, partition_of(delivery.id)
        return [
            name.delivery(delivery.id),
            name.followed(partition, follower),
            *(name.dead(partition, state) for state in _DEAD),
            name.job(delivery.job_id),
            name.body(delivery.job_id),
            name.tombstone(delivery.job_id),
            name.deliveries(delivery.job_id),
        ]

    async def attach(self, delivery: Delivery, follower: str) -> Attached | Delivery:
        """See the port."""
        name, job_id = self._keys, delivery.job_id
        keys = [
            name.delivery(delivery.id),
            name.followed(partition_of(delivery.id), follower),
            name.job(job_id),
            name.body(job_id),
            name.tombstone(job_id),
            name.deliveries(job_id),
        ]
        with mapped():
            answer = await self._attach(keys, [delivery.id, follower, encode(delivery), SPAN, MOST_OF_A_JOB])
        return readable(decode_delivery, answer[1]) if len(answer) == 2 else Attached(answer[0].decode())

    async def deliveries(self, job_id: str) -> list[Delivery]:
        """See the port."""
        with mapped():
            members = await self._redis.smembers(self._keys.deliveries(job_id))
            ids = [member.decode() for member in members if isinstance(member, bytes)]
        found = await self._records(ids)
        return sorted(found, key=lambda delivery: (delivery.created, delivery.id))

    async def read_delivery(self, delivery_id: str) -> DeliveryRow | None:
        """See the port."""
        with mapped():
            record, follower = await self._redis.hmget(self._keys.delivery(delivery_id), ["rec", "fol"])
        if not isinstance(record, bytes):
            return None
        return DeliveryRow(readable(decode_delivery, record), None if follower is None else text(follower))

    async def dead_letters(self, state: DeliveryState, *, limit: int, after: Cursor | None = None) -> DeadLetters:
        """See the port. Each partition is asked for as many as are wanted in all, since all of them may be there."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for partition in range(PARTITIONS):
                    key = self._keys.dead(partition, state)
                    if after is not None:
                        pipe.zrevrangebyscore(key, after[0], after[0], withscores=True)
                    below = "+inf" if after is None else f"({after[0]}"
                    pipe.zrevrangebyscore(key, below, "-inf", start=0, num=limit, withscores=True)
                answers = await pipe.execute()
        places = sorted(_standing(answers), reverse=True)
        page = [place for place in places if after is None or place < after][:limit]
        found = await self._records([delivery_id for _, delivery_id in page])
        return DeadLetters(tuple(found), page[-1] if len(page) == limit else None)

    async def _records(self, ids: Sequence[str]) -> list[Delivery]:
        """Return what is still kept of these, in their order."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for delivery_id in ids:
                    pipe.hget(self._keys.delivery(delivery_id), "rec")
                records = await pipe.execute() if ids else []
        return [readable(decode_delivery, record) for record in records if record is not None]

    async def silence(self, receiver: str, *, keep: int) -> None:
        """See the port."""
        with mapped():
            await self._redis.set(self._keys.silent(receiver), b"1", px=keep)

    async def is_silent(self, receiver: str) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._redis.exists(self._keys.silent(receiver)))

    async def unsilence(self, receiver: str) -> None:
        """See the port."""
        with mapped():
            await self._redis.delete(self._keys.silent(receiver))


def _standing(answers: Sequence[Sequence[tuple[bytes, float]]]) -> Iterator[Cursor]:
    for answer in answers:
        for member, score in answer:
            yield int(score), member.decode()
