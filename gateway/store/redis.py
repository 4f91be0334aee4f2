"""The store on Redis or Valkey: one idempotent script per verb, foreign errors mapped at this edge.

Because every script checks an operation id or a revision before it writes, a command whose reply was lost may be sent
again; that, and only that, is why the client's one retry is safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cached_property
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from gateway.core.delivery import SPAN
from gateway.core.ids import partition_of
from gateway.core.job import Job
from gateway.core.policy import DAY
from gateway.core.verdict import Verdict
from gateway.store.codec import Unreadable, decode_delivery, decode_hint, decode_job, decode_verdict, encode
from gateway.store.deliveries import DeliveryVerbs
from gateway.store.durable import DurableScript
from gateway.store.edge import mapped
from gateway.store.keys import Keys
from gateway.store.port import (
    Beat,
    Canceling,
    Created,
    Gone,
    Held,
    Hint,
    Holder,
    KeyTaken,
    Left,
    NewJob,
    Requests,
    Row,
    Save,
    Saved,
    SavedEnd,
    Stored,
    StoreDown,
    Wake,
)
from gateway.store.requirements import Unsuitable, judge
from gateway.store.scripts import Argument, Script, into_reserve, source
from gateway.store.settings import StoreSettings
from gateway.store.topology import Servers, servers

_TAKE_BATCH = 500
"""Rows taken over in one pipeline."""

_REFUSED_WHEN_FULL = frozenset({"create", "announce", "attach", "redeliver"})
"""Scripts that a server which has reached its `maxmemory` refuses: what is new waits, so that what is there can end."""

_MARKS_KEPT = 400 * DAY
"""Longer than any job and its tombstone; every start of a gateway renews it."""


def connect(settings: StoreSettings, url: str) -> RedisStore:
    """Return a store on the servers at `url`; nothing is sent yet. Raises `ValueError` for a URL that is none."""
    return RedisStore(servers(settings, url), settings)


class RedisStore(DeliveryVerbs):
    """The port's implementation. `now` replaces the server's clock in tests that run in virtual time."""

    def __init__(self, servers: Servers, settings: StoreSettings, *, now: Callable[[], int] | None = None) -> None:
        self._servers = servers
        self._redis = servers.commands
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._now = now

    # One attribute per script: registered once, called by its hash, sent whole where the server does not know it.
    @cached_property
    def _create(self) -> Script:
        return self._durable("create")

    @cached_property
    def _save(self) -> Script:
        return self._durable("save")

    @cached_property
    def _take(self) -> Script:
        return self._durable("take")

    @cached_property
    def _watch(self) -> Script:
        return self._script("watch")

    @cached_property
    def _offer(self) -> Script:
        return self._script("offer")

    @cached_property
    def _cancel(self) -> Script:
        return self._durable("cancel")

    @cached_property
    def _verdict(self) -> Script:
        return self._durable("verdict")

    @cached_property
    def _announce(self) -> Script:
        return self._script("announce")

    @cached_property
    def _erase(self) -> Script:
        return self._durable("erase")

    @cached_property
    def _beat(self) -> Script:
        return self._script("beat")

    @cached_property
    def _leave(self) -> Script:
        return self._script("leave")

    def _script(self, name: str) -> Script:
        return Script(self._redis, self._source(name))

    def _durable(self, name: str) -> Script:
        """Return a script whose writes must outlive a failover: starts, ends, followers, what people were promised."""
        settings = self._settings
        if not settings.wait_replicas:
            return self._script(name)
        return DurableScript(
            self._servers.writes, self._source(name), replicas=settings.wait_replicas, timeout=settings.wait_timeout
        )

    def _source(self, name: str) -> str:
        return source(name) if name in _REFUSED_WHEN_FULL or not self._servers.flags else into_reserve(source(name))

    async def create(self, new: NewJob, follower: str, *, keep: int) -> Created | Held | KeyTaken:
        """See the port."""
        job = new.job
        keys = [
            self._keys.job(job.id),
            self._keys.followed(partition_of(job.id), follower),
            self._keys.tombstone(job.id),
        ]
        if job.key is not None:
            keys.append(self._keys.idempotency(partition_of(job.id), job.key))
        arguments: list[Argument] = [
            job.id, encode(job), new.start, new.credential or b"", follower, new.operation, keep, job.fingerprint,
            new.key_keep or keep, _flag(new.joins), self._keys.job_prefix(job.id),
        ]  # fmt: skip
        with mapped():
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
        with mapped():
            job_id, fingerprint = await self._redis.hmget(self._keys.idempotency(partition, key), ["id", "print"])
        if job_id is None or fingerprint is None:
            return None
        return Holder(_text(job_id), _text(fingerprint))

    async def read(self, job_id: str) -> Job | Gone:
        """See the port."""
        with mapped():
            record = await self._redis.hget(self._keys.job(job_id), "rec")
            if record is None:
                buried = await self._redis.exists(self._keys.tombstone(job_id))
                return Gone.TOMBSTONE if buried else Gone.NEVER
        return _readable(record)

    async def missing(self, job_ids: Sequence[str]) -> set[str]:
        """See the port."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.exists(self._keys.job(job_id))
                answers = await pipe.execute()
        return {job_id for job_id, there in zip(job_ids, answers, strict=True) if not there}

    async def buried(self, job_id: str) -> str | None:
        """See the port."""
        with mapped():
            principal = await self._redis.get(self._keys.tombstone(job_id))
        return None if principal is None else _text(principal)

    async def read_body(self, job_id: str) -> bytes | None:
        """See the port."""
        with mapped():
            return _maybe_bytes(await self._redis.get(self._keys.body(job_id)))

    async def read_credential(self, job_id: str) -> bytes | None:
        """See the port."""
        with mapped():
            return _maybe_bytes(await self._redis.hget(self._keys.job(job_id), "cred"))

    async def offer_credential(self, job_id: str, sealed: bytes) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._offer([self._keys.job(job_id)], [sealed]))

    async def save(self, save: Save, follower: str) -> Saved | SavedEnd:
        """See the port."""
        keys, arguments = self._save_call(save, follower)
        with mapped():
            answer = await self._save(keys, arguments)
        if isinstance(answer, bytes):
            return Saved(answer.decode())
        # Unreadable ones are left to a replica that can read them, as anywhere.
        return SavedEnd(tuple(decode_delivery(record) for record in answer[1:] if _reads(decode_delivery, record)))

    def _save_call(self, save: Save, follower: str) -> tuple[list[str], list[Argument]]:
        job, name = save.job, self._keys
        keys = [
            name.job(job.id),
            name.followed(partition_of(job.id), follower),
            name.body(job.id),
            name.tombstone(job.id),
            name.watchers(job.id),
            name.idempotency(partition_of(job.id), job.key) if job.key is not None else name.job(job.id),
            name.deliveries(job.id),
        ]
        arguments: list[Argument] = [
            job.id, save.operation, follower, save.revision, encode(job), job.revision, save.keep,
            _flag(job.state.terminal), save.body or b"", save.tombstone, save.key_keep,
            _flag(job.start_answered), name.wake, job.principal, _flag(save.restores), save.start or b"",
            save.credential or b"", job.fingerprint, name.delivery_prefix(job.id), SPAN,
        ]  # fmt: skip
        if save.delivery is not None:
            keys.append(name.delivery(save.delivery.id))
            arguments += [save.delivery.id, encode(save.delivery)]
        return keys, arguments

    async def watch(self, job_id: str, watcher: str) -> Job | Gone:
        """See the port."""
        keys = [self._keys.job(job_id), self._keys.watchers(job_id), self._keys.tombstone(job_id)]
        with mapped():
            answer = await self._watch(keys, [watcher])
        if len(answer) == 1:
            return Gone.TOMBSTONE if answer[0] else Gone.NEVER
        return _readable(answer[1])

    async def wakes(self, watcher: str) -> AsyncIterator[Wake]:
        """See the port. Ends with `StoreDown` when the connection does, or when it is dead; call it again."""
        with mapped():
            listener = await self._servers.listener()
            async with listener.pubsub() as pubsub:
                await pubsub.subscribe(self._keys.hints, self._keys.leaving, own := self._keys.wake + watcher)
                while True:
                    message = await self._next_message(pubsub)
                    if message["type"] == "subscribe" and _text(message["channel"]) == own:
                        # What was published while nobody listened is lost: everything watched may have changed.
                        yield None
                    elif message["type"] == "message":
                        yield self._heard(_text(message["channel"]), message["data"])

    def _heard(self, channel: str, data: bytes) -> Wake:
        if channel == self._keys.hints:
            return decode_hint(data)
        return Left(data.decode()) if channel == self._keys.leaving else data.decode()

    async def request_cancel(self, job_id: str, share: int = 0) -> Canceling:
        """See the port."""
        keys = [self._keys.job(job_id), self._keys.tombstone(job_id)]
        with mapped():
            answer = await self._cancel(keys, [job_id, share, self._keys.wake])
        return Canceling(answer.decode())

    async def give_verdict(self, job_id: str, verdict: Verdict) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._verdict([self._keys.job(job_id)], [job_id, encode(verdict), self._keys.wake]))

    async def requests(self, job_ids: Sequence[str]) -> dict[str, Requests]:
        """See the port."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.hmget(self._keys.job(job_id), ["cancel", "verdict"])
                answers = await pipe.execute()
        asked = {job_id: _requests(*answer) for job_id, answer in zip(job_ids, answers, strict=True)}
        return {job_id: requests for job_id, requests in asked.items() if requests != Requests()}

    async def announce(self, event: str, hint: Hint, *, keep: int) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._announce([self._keys.hint(event)], [encode(hint), self._keys.hints, keep]))

    async def erase(self, job_id: str) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._erase([self._keys.job(job_id), self._keys.body(job_id)], []))

    async def _next_message(self, pubsub: PubSub) -> dict[str, Any]:
        """Return what the subscription says next; after a silence, ask whether anybody is still there."""
        silence = self._settings.timeout / 1000
        message: dict[str, Any] | None = await pubsub.get_message(timeout=silence)
        if message is None:
            # Without an answer to this, a server that vanished would look like one with nothing to say, for hours.
            await pubsub.ping()
            message = await pubsub.get_message(timeout=silence)
        if message is None:
            raise TimeoutError("the subscription is dead")
        return message

    async def beat(self, incarnation: str, *, join: bool = False) -> Beat:
        """See the port."""
        now = "" if self._now is None else self._now()
        with mapped():
            answer = await self._beat([self._keys.replicas], [incarnation, self._settings.granted, _flag(join), now])
        dead = tuple(name.decode() for name in answer[2])
        return Beat(int(answer[0]), bool(answer[1]), dead, next=int(float(answer[3])) if answer[3] else None)

    async def incarnations(self) -> list[str]:
        """See the port."""
        with mapped():
            members = await self._redis.zrange(self._keys.replicas, 0, -1)
        return [member.decode() for member in members if isinstance(member, bytes)]

    async def leave(self, incarnation: str) -> None:
        """See the port."""
        with mapped():
            # Only one that is remembered: what has been forgotten has nothing left for others to take over.
            await self._leave([self._keys.replicas], [incarnation, self._keys.leaving])

    async def take_over(self, dead: str, follower: str) -> AsyncIterator[list[Row]]:
        """See the port."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in self._keys.all_followed(dead):
                    pipe.smembers(key)
                members = await pipe.execute()
        ids = [row_id.decode() for partition in members for row_id in partition]
        for begin in range(0, len(ids), _TAKE_BATCH):
            batch = await self._takeable(ids[begin : begin + _TAKE_BATCH])
            yield await self._take_batch(batch, dead, follower)

    async def _takeable(self, ids: list[str]) -> list[str]:
        """Return `ids` without the rows that this version cannot read: they are left for a replica that can."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for row_id in ids:
                    pipe.hget(self._keys.job(row_id), "rec")
                    pipe.hget(self._keys.delivery(row_id), "rec")
                records = await pipe.execute()
        return [
            row_id
            for row_id, job, delivery in zip(ids, records[::2], records[1::2], strict=True)
            if _reads(decode_job, job) and _reads(decode_delivery, delivery)
        ]

    async def _take_batch(self, ids: list[str], dead: str, follower: str) -> list[Row]:
        with mapped():
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
        return keys, [row_id, dead, follower]

    async def forget(self, dead: str) -> None:
        """See the port. One that still has rows, if only such as this version cannot read, stays remembered."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in self._keys.all_followed(dead):
                    pipe.exists(key)
                left = await pipe.execute()
            if not any(left):
                await self._redis.zrem(self._keys.replicas, dead)

    async def remember_token(self, token: str, *, keep: int) -> None:
        """See the port."""
        with mapped():
            await self._redis.set(self._keys.token(token), b"1", px=keep)

    async def knows_token(self, token: str) -> bool:
        """See the port."""
        with mapped():
            return bool(await self._redis.exists(self._keys.token(token)))

    async def check(self) -> None:
        """Raise `StoreDown` if a server does not answer, `Unsuitable` if it would lose jobs."""
        with mapped():
            for server in await self._servers.primaries():
                await server.ping()
                try:
                    told = await server.config_get("maxmemory*", "appendonly", "appendfsync")
                except ResponseError:
                    told = {}  # Managed servers do not tell; `durability: disk` then cannot be promised.
                said = {_text(name): _text(value) for name, value in told.items()}
                judge(said, durability=self._settings.durability)
            await self._knows_flags()

    async def _knows_flags(self) -> None:
        try:
            await self._beat([self._keys.replicas], ["", 0, "", ""])
        except ResponseError as error:
            if "compiling" in str(error):
                raise Unsuitable("the store is too old: it must be Redis 7.0 or Valkey 7.2, or newer") from error
            raise

    async def acknowledge(self, marks: Sequence[str]) -> bool:
        """See the port."""
        with mapped():
            known = {_bytes(mark).decode() for mark in await self._redis.smembers(self._keys.keyring)}
            if known and not known & set(marks):
                return False
            if not known.issuperset(marks):  # A server that is full takes no new ones, and is no reason not to start.
                await self._redis.sadd(self._keys.keyring, *marks)
            await self._redis.pexpire(self._keys.keyring, _MARKS_KEPT)
        return True

    async def ping(self) -> None:
        """See the port."""
        with mapped():
            await self._redis.ping()

    async def close(self) -> None:
        """See the port."""
        with mapped():
            await self._servers.close()


def _flag(value: bool) -> str:
    return "1" if value else ""


def _maybe_bytes(value: bytes | str | None) -> bytes | None:
    return None if value is None else _bytes(value)


def _bytes(value: bytes | str) -> bytes:
    assert isinstance(value, bytes), "the client must not decode responses"
    return value


def _readable(record: bytes | str) -> Job:
    try:
        return decode_job(_bytes(record))
    except Unreadable as error:
        raise StoreDown(f"a record cannot be read: {error}") from error


def _reads(decode: Callable[[bytes], object], record: bytes | None) -> bool:
    """Whether `record` is absent or readable."""
    try:
        return record is None or bool(decode(record))
    except Unreadable:
        return False


def _row(answer: list[Any]) -> Row:
    kind, record, start, credential, cancel, verdict, taken = answer
    if kind == b"delivery":
        return decode_delivery(record)
    return Stored(
        _readable(record), start or None, credential or None, _requests(cancel or None, verdict or None), taken
    )


def _requests(cancel: bytes | None, verdict: bytes | None) -> Requests:
    return Requests(cancel=cancel is not None, verdict=None if verdict is None else decode_verdict(verdict))


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
