"""The verbs of jobs: created once, saved under a fence, read by anybody, erased at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from gateway.core.delivery import SPAN
from gateway.core.job import Job, KeyScope
from gateway.store.codec import decode_delivery, decode_job, encode
from gateway.store.edge import readable, reads
from gateway.store.port import Created, Gone, Held, Holder, KeyTaken, NewJob, Save, Saved, SavedEnd
from gateway.store.scripts import Script
from gateway.store.verbs import Verbs, flag
from gateway.store.wire.client import Argument, checked

_SAVED = {each.value.encode(): each for each in Saved}


class JobVerbs(Verbs):
    """The part of `RedisStore` that is about jobs."""

    @cached_property
    def _create(self) -> Script:
        return self._durable("create")

    @cached_property
    def _save(self) -> Script:
        return self._durable("save")

    @cached_property
    def _offer(self) -> Script:
        return self._script("offer")

    @cached_property
    def _erase(self) -> Script:
        return self._durable("erase")

    async def create(self, new: NewJob, follower: str, *, keep: int) -> Created | Held | KeyTaken:
        """See the port."""
        job = new.job
        keys = self._keys.of_create(job.id, follower, job.key)
        arguments: list[Argument] = [
            job.id, encode(job), new.start, new.credential or b"", follower, new.operation, keep, job.fingerprint,
            new.key_keep or keep, flag(new.joins), self._keys.job_prefix(job.id),
            self._keys.join_prefix(job.id),
        ]  # fmt: skip
        answer = await self._create(keys, arguments)
        match answer[0]:
            case b"created":
                return Created()
            case b"held":
                return Held(answer[1].decode(), answer[2])
            case _:
                return KeyTaken()

    async def holder(self, key: str, partition: int) -> Holder | None:
        """See the port."""
        job_id, fingerprint = await self._redis.execute("HMGET", self._keys.idempotency(partition, key), "id", "print")
        if job_id is None or fingerprint is None:
            return None
        return Holder(job_id.decode(), fingerprint.decode())

    async def read(self, job_id: str) -> Job | Gone:
        """See the port."""
        record = await self._redis.execute("HGET", self._keys.job(job_id), "rec")
        if record is None:
            buried = await self._redis.execute("EXISTS", self._keys.tombstone(job_id))
            return Gone.TOMBSTONE if buried else Gone.NEVER
        return readable(decode_job, record)

    async def missing(self, job_ids: Sequence[str]) -> set[str]:
        """See the port."""
        answers = checked(await self._redis.each([("EXISTS", self._keys.job(job_id)) for job_id in job_ids]))
        return {job_id for job_id, there in zip(job_ids, answers, strict=True) if not there}

    async def buried(self, job_id: str) -> str | None:
        """See the port."""
        principal = await self._redis.execute("GET", self._keys.tombstone(job_id))
        return None if principal is None else principal.decode()

    async def read_body(self, job_id: str) -> bytes | None:
        """See the port."""
        body: bytes | None = await self._redis.execute("GET", self._keys.body(job_id))
        return body

    async def read_credential(self, job_id: str) -> bytes | None:
        """See the port."""
        sealed: bytes | None = await self._redis.execute("HGET", self._keys.job(job_id), "cred")
        return sealed

    async def offer_credential(self, job_id: str, sealed: bytes) -> bool:
        """See the port."""
        return bool(await self._offer([self._keys.job(job_id)], [sealed]))

    async def save(self, save: Save, follower: str) -> Saved | SavedEnd:
        """See the port."""
        keys, arguments = self._save_call(save, follower)
        answer = await self._save(keys, arguments)
        if isinstance(answer, bytes):
            return _SAVED[answer]
        # Unreadable ones are left to a replica that can read them, as anywhere.
        return SavedEnd(tuple(decode_delivery(record) for record in answer[1:] if reads(decode_delivery, record)))

    def _save_call(self, save: Save, follower: str) -> tuple[list[str], list[Argument]]:
        job, name = save.job, self._keys
        keys = name.of_save(job.id, follower, job.key)
        arguments: list[Argument] = [
            job.id, save.operation, follower, save.revision, encode(job), job.revision, save.keep,
            flag(job.state.terminal), save.body or b"", save.tombstone, save.key_keep,
            flag(job.start_answered), name.wake, job.principal, *(_restored(save) if save.restores else _LEFT),
            job.fingerprint, name.delivery_prefix(job.id), SPAN,
        ]  # fmt: skip
        if save.delivery is not None:
            keys.append(name.delivery(save.delivery.id))
            arguments += [save.delivery.id, encode(save.delivery)]
        return keys, arguments

    async def erase(self, job_id: str) -> bool:
        """See the port."""
        return bool(await self._erase([self._keys.job(job_id), self._keys.body(job_id)], []))


_LEFT = ("", b"", b"")
"""A record that was lost is not put back."""


def _restored(save: Save) -> tuple[str, bytes, bytes]:
    """Return how a record that was lost is put back, and with what: no other save sends its start and credential."""
    return "shared" if save.job.key_scope is KeyScope.RUN else "1", save.start or b"", save.credential or b""
