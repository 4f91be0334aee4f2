"""Intake: from a call that is understood to a job that is durably accepted and followed here, or to an earlier one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from gateway.core.correlation import bound
from gateway.core.errors import KeyReused, StoreUnavailable
from gateway.core.ids import PARTITIONS, make_id
from gateway.core.job import Job, KeyScope
from gateway.core.modes import CallerMode
from gateway.core.policy import Deduplicate, Policy, SameCall
from gateway.core.retention import kept_for
from gateway.core.start import StartRequest
from gateway.store.port import Created, Held, KeyTaken, NewJob, Store, Stored, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.driver import Driver
from gateway.worker.vault import Vault

_MOST_IN_DOUBT = 1_000
"""Calls at once of which it is not known whether the store has their jobs; each costs the store a try now and then."""

_SETTLED_WITHIN = 1.0
"""Seconds in which a call may still become one of which it is certain that it has no job."""

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
    chosen_id: str | None = None
    """The id that the caller chose for its job, which makes the call idempotent by itself."""
    arguments: str = ""
    """What must be equal for two calls with one idempotency key to be the same call."""
    cancel_after: int | None = None
    """How long after acceptance (ms) the job is canceled if it has not ended."""
    callback_url: str | None = None
    subject: str = ""
    """Who is called back, whatever keys are in the ring."""
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
    share: int = 0
    """Which share of a job that equal calls share is this call's; 0 where the job is this call's alone."""


class Identity(msgspec.Struct, frozen=True):
    """What makes a later call a repetition of this one: the keyed hash, and for how long."""

    key: str
    scope: KeyScope = KeyScope.CALL
    window: int = 0
    """For the scopes that end: how long after acceptance (ms) at least."""


class Intake:
    """Accepts orders.

    `random` gives random bytes, `naming` the incarnation that is to follow a job being created. `disown` has a job end
    that may have been created, in a task that takes as long as that takes.
    """

    def __init__(
        self,
        store: Store,
        driver: Driver,
        clock: Clock,
        vault: Vault,
        *,
        naming: Callable[[], AbstractContextManager[str]],
        random: Callable[[int], bytes],
        disown: Callable[[NewJob, str], asyncio.Task[bool]],
    ) -> None:
        self._store = store
        self._driver = driver
        self._clock = clock
        self._vault = vault
        self._naming = naming
        self._random = random
        self._disown = disown
        self._in_doubt: set[asyncio.Task[bool]] = set()

    async def accept(self, order: Order) -> Accepted:
        """Make the order's job durable and begin to follow it, or find the job of its idempotency key.

        Raises `KeyReused`, and `StoreUnavailable`: then nothing was or will be sent upstream. One that names a job says
        so of what this replica does, and cannot say whether another has found that job in the store and started it.
        """
        if (earlier := await self._before_rotation(order)) is not None:
            return earlier
        if len(self._in_doubt) >= _MOST_IN_DOUBT:
            raise StoreUnavailable
        new = self._new(order)  # Nothing is durable before its arguments are good.
        with self._naming() as follower:
            answer = await self._create(new, follower, order)
            if isinstance(answer, Held) and order.chosen_id is not None and await self._never_ran(answer.job_id, new):
                # The chosen id is free again, as an idempotency key would be. The id made of it is that job's for good.
                new = self._new(order, afresh=True)
                answer = await self._create(new, follower, order)
            if isinstance(answer, Created):
                stored = Stored(new.job, new.start, new.credential)
                self._driver.follow(stored, follower, _start(order, new.job.id), order.bearer)
        match answer:
            case Created():
                return Accepted(new.job.id, share=1 if new.joins else 0)
            case Held(job_id, share):
                return Accepted(job_id, replayed=True, share=share)
            case KeyTaken():
                raise KeyReused(_CHOOSE)
            case disowning:
                raise await _refusal(new, disowning)

    async def _create(self, new: NewJob, follower: str, order: Order) -> Created | Held | KeyTaken | asyncio.Task[bool]:
        """Create the job; where it is not known whether the store has it, return what sees to it that nobody starts it.

        Raises `StoreUnavailable` where it is known that the store does not.
        """
        try:
            keep = kept_for(new.job, order.policy, self._clock.now())
            return await self._store.create(new, follower, keep=keep)
        except StoreDown as error:
            if not error.perhaps:
                raise StoreUnavailable from error
            return self._begin_disowning(new, follower)

    def _begin_disowning(self, new: NewJob, follower: str) -> asyncio.Task[bool]:
        self._driver.disown(new.job.id)
        disowning = self._disown(new, follower)
        self._in_doubt.add(disowning)

        def over(_task: asyncio.Task[bool]) -> None:
            self._in_doubt.discard(disowning)
            if not disowning.cancelled() and disowning.exception() is None and disowning.result():
                self._driver.disowned(new.job.id)

        disowning.add_done_callback(over)
        return disowning

    async def _never_ran(self, job_id: str, new: NewJob) -> bool:
        """Whether a job of `new`'s chosen id is known to have run nothing: what is left of it once did not hold it."""
        assert new.job.key is not None, "a chosen id is a key"
        try:
            job = await self._store.read(job_id)
            if isinstance(job, Job):
                return job.frees_key
            # Its key lives as long as its tombstone, unless it was freed.
            return await self._store.holder(new.job.key, _partition(new.job.key)) is None
        except StoreDown as error:
            raise StoreUnavailable from error

    async def _before_rotation(self, order: Order) -> Accepted | None:
        """Find the job that the order's idempotency key belongs to since an older key of the ring was the newest."""
        for age, principal in enumerate(order.former, 1):
            identity = self._identity(order, principal, age)
            # What the route takes for one call is remembered for minutes; a rotation is no reason to look longer.
            if identity is None or identity.scope is not KeyScope.CALL:
                return None
            key = identity.key
            try:
                holder = await self._store.holder(key, _partition(key))
            except StoreDown as error:
                raise StoreUnavailable from error
            if holder is None:
                continue
            if holder.fingerprint != self._vault.hash("arguments", order.arguments, age=age):
                raise KeyReused(_CHOOSE)
            return Accepted(holder.job_id, replayed=True)
        return None

    def _identity(self, order: Order, principal: str, age: int = 0) -> Identity | None:
        """Return what tells repetitions of the order: what its caller said, else what its route takes for one call."""
        if order.chosen_id is not None:
            return Identity(self._vault.hash("chosen-id", principal, order.chosen_id, age=age))
        if order.idempotency_key is not None:
            return Identity(self._vault.hash("idempotency", principal, order.route, order.idempotency_key, age=age))
        policy = order.policy
        if policy.deduplicate is None and not policy.coalesce:
            return None
        by = Deduplicate(0).by if policy.deduplicate is None else policy.deduplicate.by
        same = (principal if SameCall.CALLER in by else "", order.arguments if SameCall.ARGUMENTS in by else "")
        return Identity(
            self._vault.hash("same-call", order.route, *same, age=age),
            KeyScope.RUN if policy.coalesce else KeyScope.WINDOW,
            0 if policy.deduplicate is None else policy.deduplicate.window,
        )

    def _new(self, order: Order, *, afresh: bool = False) -> NewJob:
        identity, now = self._identity(order, order.principal), self._clock.now()
        key = None if identity is None else identity.key
        random = self._random(29)
        partition = random[0] if key is None else _partition(key)
        # One that the caller chose leads back to the same job, wherever it is asked for.
        chosen = None if afresh or order.chosen_id is None else key
        job_id = make_id(partition, random[1:17] if chosen is None else bytes.fromhex(chosen[8:40]))
        policy = order.policy
        cancel_after = policy.cancel_after if order.cancel_after is None else order.cancel_after
        job = Job(
            id=job_id,
            route=order.route,
            principal=order.principal,
            token=order.token,
            mode=order.mode,
            asked=policy.upstream_mode,
            created=now,
            changed=now,
            deadline=now + policy.deadline,
            cancel_at=None if cancel_after is None else now + cancel_after,
            key=key,
            fingerprint="" if identity is None else self._fingerprint(order, identity),
            key_scope=KeyScope.CALL if identity is None else identity.scope,
            key_until=0 if identity is None or identity.scope is KeyScope.CALL else now + identity.window,
            callback_url=order.callback_url,
            subject=self._subject(job_id, order),
            origin=order.origin,
            trace=order.trace,
        )
        return NewJob(
            job,
            start=self._vault.seal_start(job_id, _start(order, job_id)),
            credential=None if order.bearer is None else self._vault.seal_credential(job_id, order.bearer),
            operation=random[17:].hex(),
            key_keep=identity.window if identity is not None and identity.scope is KeyScope.WINDOW else 0,
            joins=identity is not None and identity.scope is KeyScope.RUN,
        )

    def _subject(self, job_id: str, order: Order) -> bytes:
        if order.callback_url is None or not order.subject:
            return b""
        return self._vault.seal_subject(job_id, order.subject)

    def _fingerprint(self, order: Order, identity: Identity) -> str:
        # What the route takes for one call is one call, whatever else differs.
        return self._vault.hash("arguments", order.arguments) if identity.scope is KeyScope.CALL else identity.key


async def _refusal(new: NewJob, disowning: asyncio.Task[bool]) -> StoreUnavailable:
    """Return what the caller is told whose job the store may have: nothing was sent; if certain, nothing will be.

    Should this replica die before the job is disowned, or be cut off from the store until others take its jobs over,
    then they start it like any other: the caller must be able to see that, and not call again as if nothing were.
    """
    await asyncio.wait({disowning}, timeout=_SETTLED_WITHIN)
    if disowning.done() and not disowning.cancelled() and disowning.exception() is None and disowning.result():
        return StoreUnavailable()
    # The same call again leads to this job where the store has it, and to a new one where it never began.
    repeated_safely = new.job.key is not None and new.job.key_scope is not KeyScope.RUN
    return StoreUnavailable(
        "the store did not say whether it has the job: if it has, another replica may run it. The monitor tells",
        job_id=new.job.id,
        retryable=repeated_safely,
    )


def _start(order: Order, job_id: str) -> StartRequest:
    """Return the start of an order as it is sent for the job. Raises `BadArgumentsProblem`."""
    return bound(order.start, job_id, order.policy.upstream_mode, order.policy.binding)


def _partition(key: str) -> int:
    """Return the partition of an idempotency key, and so of its job."""
    return int(key[:8], 16) % PARTITIONS
