"""The verbs of callback deliveries: rows beside their job's, in its partition, that live as long as their outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from gateway.core.delivery import MOST_OF_A_JOB, SPAN, Delivery, DeliveryState
from gateway.core.ids import PARTITIONS, partition_of
from gateway.store.codec import decode_delivery, encode
from gateway.store.edge import readable
from gateway.store.port import Attached, Cursor, DeadLetters, DeliveryRow, Saved
from gateway.store.scripts import Script
from gateway.store.verbs import Verbs
from gateway.store.wire.client import Argument, Command, checked

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
        answer = await self._save_delivery(self._rows_of(delivery, follower), arguments)
        return Saved(answer.decode())

    async def redeliver(self, delivery: Delivery, revision: int, follower: str, *, keep: int) -> Saved:
        """See the port."""
        arguments: list[Argument] = [
            delivery.id, follower, revision, encode(delivery), delivery.revision, keep,
            self._keys.followed(partition_of(delivery.id), ""),
        ]  # fmt: skip
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
        answer = await self._attach(keys, [delivery.id, follower, encode(delivery), SPAN, MOST_OF_A_JOB])
        return readable(decode_delivery, answer[1]) if len(answer) == 2 else Attached(answer[0].decode())

    async def deliveries(self, job_id: str) -> list[Delivery]:
        """See the port."""
        members = await self._redis.execute("SMEMBERS", self._keys.deliveries(job_id))
        found = await self._records([member.decode() for member in members])
        return sorted(found, key=lambda delivery: (delivery.created, delivery.id))

    async def read_delivery(self, delivery_id: str) -> DeliveryRow | None:
        """See the port."""
        record, follower = await self._redis.execute("HMGET", self._keys.delivery(delivery_id), "rec", "fol")
        if record is None:
            return None
        return DeliveryRow(readable(decode_delivery, record), None if follower is None else follower.decode())

    async def dead_letters(self, state: DeliveryState, *, limit: int, after: Cursor | None = None) -> DeadLetters:
        """See the port. Each partition is asked for as many as are wanted in all, since all of them may be there."""
        commands: list[Command] = []
        for partition in range(PARTITIONS):
            key = self._keys.dead(partition, state)
            if after is not None:
                commands.append(("ZREVRANGEBYSCORE", key, after[0], after[0], "WITHSCORES"))
            below = "+inf" if after is None else f"({after[0]}"
            commands.append(("ZREVRANGEBYSCORE", key, below, "-inf", "WITHSCORES", "LIMIT", 0, limit))
        answers = checked(await self._redis.each(commands))
        places = sorted(_standing(answers), reverse=True)
        page = [place for place in places if after is None or place < after][:limit]
        found = await self._records([delivery_id for _, delivery_id in page])
        return DeadLetters(tuple(found), page[-1] if len(page) == limit else None)

    async def _records(self, ids: Sequence[str]) -> list[Delivery]:
        """Return what is still kept of these, in their order."""
        records = checked(await self._redis.each([("HGET", self._keys.delivery(row), "rec") for row in ids]))
        return [readable(decode_delivery, record) for record in records if record is not None]

    async def silence(self, receiver: str, *, keep: int) -> None:
        """See the port."""
        await self._redis.execute("SET", self._keys.silent(receiver), b"1", "PX", keep)

    async def is_silent(self, receiver: str) -> bool:
        """See the port."""
        return bool(await self._redis.execute("EXISTS", self._keys.silent(receiver)))

    async def unsilence(self, receiver: str) -> None:
        """See the port."""
        await self._redis.execute("DEL", self._keys.silent(receiver))


def _standing(answers: Sequence[Sequence[bytes]]) -> Iterator[Cursor]:
    """Yield where each member stands; an answer names each with its score after it."""
    for answer in answers:
        for member, score in zip(answer[::2], answer[1::2], strict=True):
            yield int(score), member.decode()
