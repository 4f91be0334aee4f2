"""The verbs of what is asked of jobs, through any replica, and heard by the replicas that it concerns.

A message may be lost: what it is about stands in a key as well, and is read again whenever one may have been.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from gateway.core.job import Job
from gateway.core.verdict import Verdict
from gateway.store.codec import decode_hint, decode_job, decode_verdict, encode
from gateway.store.edge import readable
from gateway.store.port import Canceling, Gone, Hint, Left, Requests, Wake
from gateway.store.scripts import Script
from gateway.store.verbs import Verbs
from gateway.store.wire.client import checked


class RequestVerbs(Verbs):
    """The part of `RedisStore` that is about requests and wake-ups."""

    @cached_property
    def _cancel(self) -> Script:
        return self._durable("cancel")

    @cached_property
    def _verdict(self) -> Script:
        return self._durable("verdict")

    @cached_property
    def _watch(self) -> Script:
        return self._script("watch")

    @cached_property
    def _announce(self) -> Script:
        return self._script("announce")

    async def request_cancel(self, job_id: str, share: int = 0) -> Canceling:
        """See the port."""
        keys = [self._keys.job(job_id), self._keys.tombstone(job_id)]
        answer = await self._cancel(keys, [job_id, share, self._keys.wake])
        return Canceling(answer.decode())

    async def give_verdict(self, job_id: str, verdict: Verdict) -> bool:
        """See the port."""
        return bool(await self._verdict([self._keys.job(job_id)], [job_id, encode(verdict), self._keys.wake]))

    async def requests(self, job_ids: Sequence[str]) -> dict[str, Requests]:
        """See the port."""
        commands = [("HMGET", self._keys.job(job_id), "cancel", "verdict") for job_id in job_ids]
        answers = checked(await self._redis.each(commands))
        asked = {job_id: requests_in(*answer) for job_id, answer in zip(job_ids, answers, strict=True)}
        return {job_id: requests for job_id, requests in asked.items() if requests != Requests()}

    async def watch(self, job_id: str, watcher: str) -> Job | Gone:
        """See the port."""
        keys = [self._keys.job(job_id), self._keys.watchers(job_id), self._keys.tombstone(job_id)]
        answer = await self._watch(keys, [watcher])
        if len(answer) == 1:
            return Gone.TOMBSTONE if answer[0] else Gone.NEVER
        return readable(decode_job, answer[1])

    async def announce(self, hint: Hint, *, keep: int) -> bool:
        """See the port."""
        return bool(await self._announce([self._keys.hint(hint.event)], [encode(hint), self._keys.hints, keep]))

    async def wakes(self, watcher: str) -> AsyncIterator[Wake]:
        """See the port. Ends with `StoreDown` when the connection does, or when it is dead; call it again."""
        own = self._keys.wake + watcher
        listening = await self._servers.listen((self._keys.hints, self._keys.leaving, own))
        try:
            while True:
                match await listening.next():
                    case [b"subscribe", channel, _] if channel == own.encode():
                        # What was published while nobody listened is lost: everything watched may have changed.
                        yield None
                    case [b"message", channel, data]:
                        yield self._heard(channel.decode(), data)
        finally:
            await listening.close()

    def _heard(self, channel: str, data: bytes) -> Wake:
        if channel == self._keys.hints:
            return decode_hint(data)
        return Left(data.decode()) if channel == self._keys.leaving else data.decode()


def requests_in(cancel: bytes | None, verdict: bytes | None) -> Requests:
    """Return what the fields of a job's row ask for."""
    return Requests(cancel=cancel is not None, verdict=None if verdict is None else decode_verdict(verdict))
