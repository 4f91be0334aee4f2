"""The verbs of leases: a heartbeat for all that a replica follows, and the taking over of what a dead one followed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

from gateway.core.ids import partition_of
from gateway.store.codec import decode_delivery, decode_job
from gateway.store.edge import readable, reads
from gateway.store.port import Beat, Row, Stored
from gateway.store.requests import requests_in
from gateway.store.scripts import Script
from gateway.store.verbs import Verbs, flag
from gateway.store.wire.client import Argument, checked

_TAKE_BATCH = 500
"""Rows taken over in one pipeline."""


class LeaseVerbs(Verbs):
    """The part of `RedisStore` that is about who follows what."""

    @cached_property
    def _beat(self) -> Script:
        return self._script("beat")

    @cached_property
    def _take(self) -> Script:
        return self._durable("take")

    @cached_property
    def _leave(self) -> Script:
        return self._script("leave")

    async def beat(self, incarnation: str, *, join: bool = False) -> Beat:
        """See the port."""
        now = "" if self._now is None else self._now()
        answer = await self._beat([self._keys.replicas], [incarnation, self._settings.granted, flag(join), now])
        dead = tuple(name.decode() for name in answer[2])
        following = int(float(answer[3])) if answer[3] else None
        return Beat(int(answer[0]), bool(answer[1]), dead, next=following, living=answer[4])

    async def incarnations(self) -> list[str]:
        """See the port."""
        members = await self._redis.execute("ZRANGE", self._keys.replicas, 0, -1)
        return [member.decode() for member in members]

    async def leave(self, incarnation: str) -> None:
        """See the port."""
        # Only one that is remembered: what has been forgotten has nothing left for others to take over.
        await self._leave([self._keys.replicas], [incarnation, self._keys.leaving])

    async def take_over(self, dead: str, follower: str) -> AsyncIterator[list[Row]]:
        """See the port.

        All that live may take over from one who has died. Each begins elsewhere, and looks at what is left when it
        gets there: so they share the rows, and the work grows with the rows, not with rows times replicas.
        """
        for keys in await self._stretches(dead, follower):
            ids = await self._rows_in(keys)
            for begin in range(0, len(ids), _TAKE_BATCH):
                batch = await self._takeable(ids[begin : begin + _TAKE_BATCH])
                yield await self._take_batch(batch, dead, follower)

    async def _stretches(self, dead: str, follower: str) -> list[list[str]]:
        """Return the sets in which `dead` has rows, beginning at `follower`'s own place, in stretches of a batch."""
        keys = self._keys.all_followed(dead)
        sizes = checked(await self._redis.each([("SCARD", key) for key in keys]))
        filled = [(key, size) for key, size in zip(keys, sizes, strict=True) if size]
        place = zlib.crc32(follower.encode()) % max(1, len(filled))
        stretches: list[list[str]] = []
        room = 0
        for key, size in filled[place:] + filled[:place]:
            if size > room:
                stretches.append([])
                room = _TAKE_BATCH
            stretches[-1].append(key)
            room -= size
        return stretches

    async def _rows_in(self, keys: list[str]) -> list[str]:
        members = checked(await self._redis.each([("SMEMBERS", key) for key in keys]))
        return [row_id.decode() for each in members for row_id in each]

    async def _takeable(self, ids: list[str]) -> list[str]:
        """Return `ids` without the rows that this version cannot read: they are left for a replica that can."""
        rows = [name for row_id in ids for name in (self._keys.job(row_id), self._keys.delivery(row_id))]
        records = checked(await self._redis.each([("HGET", row, "rec") for row in rows]))
        return [
            row_id
            for row_id, job, delivery in zip(ids, records[::2], records[1::2], strict=True)
            if reads(decode_job, job) and reads(decode_delivery, delivery)
        ]

    async def _take_batch(self, ids: list[str], dead: str, follower: str) -> list[Row]:
        answers = await self._take.each([self._take_call(row_id, dead, follower) for row_id in ids])
        return [_row(answer) for answer in answers if answer is not None]

    def _take_call(self, row_id: str, dead: str, follower: str) -> tuple[list[str], list[Argument]]:
        name, partition = self._keys, partition_of(row_id)
        keys = [
            name.job(row_id),
            name.delivery(row_id),
            name.followed(partition, dead),
            name.followed(partition, follower),
        ]
        return keys, [row_id, dead, follower, "" if self._now is None else self._now()]

    async def forget(self, dead: str) -> None:
        """See the port. One that still has rows, if only such as this version cannot read, stays remembered."""
        left = checked(await self._redis.each([("EXISTS", key) for key in self._keys.all_followed(dead)]))
        if not any(left):
            await self._redis.execute("ZREM", self._keys.replicas, dead)


def _row(answer: list[Any]) -> Row:
    kind, record, *following = answer
    if kind == b"delivery":
        return decode_delivery(record)
    start, credential, cancel, verdict, rests_until = following
    requests = requests_in(cancel or None, verdict or None)
    return Stored(readable(decode_job, record), start or None, credential or None, requests, rests_until)
