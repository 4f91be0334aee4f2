"""Intake: from a call that is understood to a job that is durably accepted and followed here, or to an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.errors import KeyReused, StoreUnavailable
from gateway.core.ids import PARTITIONS, make_id
from gateway.core.job import Job
from gateway.core.modes import CallerMode
from gateway.core.policy import Policy
from gateway.core.start import StartRequest
from gateway.store.port import Created, Held, NewJob, Store, Stored, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.driver import Driver, kept_for

_CHOOSE = "choose a new key for other arguments, or send the same arguments again"


class Order(msgspec.Struct, frozen=True):
    """A call that is understood: who wants what to run, and how it is to be answered."""

    route: str
    policy: Policy
    principal: str
    token: str
    """A keyed hash of the caller's credential."""
    bearer: str | None
    """What later reads need; None under the gateway's own credential."""
    mode: CallerMode | None
    start: StartRequest
    idempotency_key: str | None = None
    arguments: str = ""
    """What must be equal for two calls with one idempotency key to be the same call."""
    callback_url: str | None = None
    former: tuple[str, ...] = ()
    """The principal as each older key of the ring hashes it."""
    origin: str = ""
    """What job URLs begin with, as this caller sees the gateway."""
    trace: str | None = None
    """The caller's `traceparent`."""


class Accepted(msgspec.Struct, frozen=True):
    """The job of an order. `replayed`: an earlier call with the same idempotency key made it."""

    job_id: str
    replayed: bool = False


class Sealer(Protocol):
    """What sealing an order needs."""

    def seal_start(self, job_id: str, start: StartRequest) -> bytes:
        """Seal a start request for a job."""
        ...

    def seal_credential(self, job_id: str, bearer: str) -> bytes:
        """Seal a credential for a job."""
        ...

    def hash(self, purpose: str, *parts: str, age: int = 0) -> str:
        """Return a keyed hash, 64 hexadecimal digits, by the newest key or an older one."""
        ...


class Intake:
    """Accepts orders. `random` gives random bytes, `me` the incarnation that is to follow."""

    def __init__(
        self,
        store: Store,
        driver: Driver,
        clock: Clock,
        sealer: Sealer,
        *,
        me: Callable[[], str],
        random: Callable[[int], bytes],
        disown: Callable[[NewJob, str], None],
    ) -> None:
        self._store = store
        self._driver = driver
        self._clock = clock
        self._sealer = sealer
        self._me = me
        self._random = random
        self._disown = disown

    async def accept(self, order: Order) -> Accepted:
        """Make the order's job durable and begin to follow it, or find the job of its idempotency key.

        Raises `KeyReused`, `StoreUnavailable`; then nothing was or will be sent upstream.
        """
        if (earlier := await self._before_rotation(order)) is not None:
            return earlier
        new, follower = self._new(order), self._me()
        try:
            keep = kept_for(new.job, order.policy, self._clock.now())
            answer = await self._store.create(new, follower, keep=keep)
        except StoreDown as error:
            # It may be in the store all the same. Nobody must ever start it: the caller is told to try again.
            self._driver.disown(new.job.id)
            self._disown(new, follower)
            raise StoreUnavailable from error
        match answer:
            case Created():
                stored = Stored(new.job, new.start, new.credential)
                self._driver.follow(stored, follower, order.start)
                return Accepted(new.job.id)
            case Held(job_id):
                return Accepted(job_id, replayed=True)
            case _:
                raise KeyReused(_CHOOSE)

    async def _before_rotation(self, order: Order) -> Accepted | None:
        """Find the job that the order's idempotency key belongs to since an older key of the ring was the newest."""
        for age, principal in enumerate(order.former if order.idempotency_key is not None else (), 1):
            key = self._key(order, principal, age)
            try:
                holder = await self._store.holder(key, _partition(key))
            except StoreDown as error:
                raise StoreUnavailable from error
            if holder is None:
                continue
            if holder.fingerprint != self._sealer.hash("arguments", order.arguments, age=age):
                raise KeyReused(_CHOOSE)
            return Accepted(holder.job_id, replayed=True)
        return None

    def _key(self, order: Order, principal: str, age: int = 0) -> str:
        assert order.idempotency_key is not None, "the order has a key"
        return self._sealer.hash("idempotency", principal, order.route, order.idempotency_key, age=age)

    def _new(self, order: Order) -> NewJob:
        key = None if order.idempotency_key is None else self._key(order, order.principal)
        partition = _partition(key) if key else self._random(1)[0]
        job_id = make_id(partition, self._random(16))
        now = self._clock.now()
        job = Job(
            id=job_id,
            route=order.route,
            principal=order.principal,
            token=order.token,
            mode=order.mode,
            asked=order.policy.upstream_mode,
            created=now,
            changed=now,
            deadline=now + order.policy.deadline,
            key=key,
            callback_url=order.callback_url,
            origin=order.origin,
            trace=order.trace,
        )
        return NewJob(
            job,
            start=self._sealer.seal_start(job_id, order.start),
            credential=None if order.bearer is None else self._sealer.seal_credential(job_id, order.bearer),
            fingerprint=self._sealer.hash("arguments", order.arguments) if key else "",
        )


def _partition(key: str) -> int:
    """Return the partition of an idempotency key, and so of its job."""
    return int(key[:8], 16) % PARTITIONS
