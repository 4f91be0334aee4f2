"""Callbacks as callers and operators have them: added to a job, read with every attempt, sent again.

A job's end activates what waits for it in the same script that saves the end; a callback that comes after the end is
due at once. Either way a delivery is followed like any other, and has the same id however often it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec

from gateway.core.delivery import MOST_OF_A_JOB, SPAN, Delivery, DeliveryState, delivery_id, starters_delivery
from gateway.core.errors import BadCallback, JobExpired, JobUnavailable, NotFound, ResultNotReady
from gateway.core.ids import is_id
from gateway.core.job import Job
from gateway.store.port import Attached, Cursor, DeadLetters, Gone, Saved, Store
from gateway.worker import outages
from gateway.worker.clock import Clock
from gateway.worker.guard import Guard, Refused
from gateway.worker.vault import Vault
from gateway.worker.watches import present

NO_SUCH_DELIVERY = "no callback delivery has this id, or it is not yours"

_TRIES = 3
"""Of sending again: another replica may be at it in that very moment."""


class Callee(msgspec.Struct, frozen=True):
    """Who is to be called back: the keyed hash that a job's record has of them, and who they are."""

    principal: str
    subject: str


class Added(msgspec.Struct, frozen=True):
    """A delivery that was asked for. `new`: for the first time; `waits`: for the job's end."""

    delivery: Delivery
    new: bool
    waits: bool


class Callbacks:
    """Adds, shows and repeats deliveries.

    `naming` gives the incarnation that is to follow what is being written, `follow` is handed what is due here;
    `receiver` gives the name, a keyed hash, of a principal's receiver at a URL.
    """

    def __init__(
        self,
        store: Store,
        guard: Guard,
        vault: Vault,
        clock: Clock,
        *,
        naming: Callable[[], AbstractContextManager[str]],
        follow: Callable[[Delivery, str], None],
        receiver: Callable[[str, str], str],
    ) -> None:
        self._store = store
        self._guard = guard
        self._vault = vault
        self._clock = clock
        self._naming = naming
        self._follow = follow
        self._receiver = receiver

    async def attach(self, job: Job, url: str, callee: Callee) -> Added:
        """Have the job's outcome delivered to `url` as well: when it ends, or now. The same URL is one callback.

        Raises `BadCallback`, `NotFound`, `JobExpired`, `JobUnavailable`.
        """
        self.check(url)
        if url == job.callback_url and not job.state.terminal:
            return Added(starters_delivery(job, job.created), new=False, waits=True)
        delivery = self._new(job, url, callee)
        with outages.told(job.id), self._naming() as follower, self._followed(delivery, follower):
            answer = await self._store.attach(delivery, follower)
        match answer:
            case Delivery():
                return Added(answer, new=False, waits=not job.state.terminal)
            case Attached.FULL:
                raise BadCallback(f"a job has {MOST_OF_A_JOB} callbacks at most", job_id=job.id)
            case Attached.NEVER | Attached.TOMBSTONE:
                present(Gone.TOMBSTONE if answer is Attached.TOMBSTONE else Gone.NEVER, job.id)
        return Added(delivery, new=True, waits=answer is Attached.WAITS)

    def check(self, url: str) -> None:
        """Raise `BadCallback` unless outcomes may be delivered to `url`."""
        try:
            self._guard.check(url)
        except Refused as error:
            raise BadCallback(str(error)) from error

    def _new(self, job: Job, url: str, callee: Callee) -> Delivery:
        now = self._clock.now()
        return Delivery(
            delivery_id(job.id, url),
            job.id,
            url,
            created=now,
            due=now,
            principal="" if callee.principal == job.principal else callee.principal,
            subject=self._vault.seal_subject(job.id, callee.subject),
        )

    async def of(self, job: Job) -> list[Delivery]:
        """Return the deliveries of a job's outcome, that of its starter among them. Raises `JobUnavailable`."""
        with outages.told(job.id):
            found = await self._store.deliveries(job.id)
        if job.callback_url is not None and not job.state.terminal:
            own = starters_delivery(job, job.created)
            found = [own, *(delivery for delivery in found if delivery.id != own.id)]
        return found

    async def find(self, of: str) -> Delivery:
        """Return the delivery with this id. Raises `NotFound`, `StoreUnavailable`."""
        if not is_id(of):
            raise NotFound(NO_SUCH_DELIVERY)
        with outages.told():
            row = await self._store.read_delivery(of)
        if row is None:
            raise NotFound(NO_SUCH_DELIVERY)
        return row.delivery

    async def job_of(self, delivery: Delivery) -> Job:
        """Return the job of a delivery. Raises `NotFound`, `JobExpired`, `JobUnavailable`."""
        with outages.told(delivery.job_id):
            return present(await self._store.read(delivery.job_id), delivery.job_id)

    async def redeliver(self, job: Job, delivery: Delivery) -> Delivery:
        """Begin the delivery's schedule anew, at once, whatever has become of it; a receiver's 410 is forgotten.

        Raises `BadCallback`, `NotFound`, `JobExpired`, `ResultNotReady`, `JobUnavailable`.
        """
        self.check(delivery.url)
        with outages.told(job.id):
            await self._store.unsilence(self._receiver(delivery.principal or job.principal, delivery.url))
            for _ in range(_TRIES):
                row = await self._store.read_delivery(delivery.id)
                if row is None:
                    raise NotFound(NO_SUCH_DELIVERY)
                if row.follower is None:
                    raise ResultNotReady("the first delivery waits for the job's end", job_id=job.id)
                again = row.delivery.again(self._clock.now())
                with self._naming() as follower, self._followed(again, follower):
                    saved = await self._store.redeliver(again, row.delivery.revision, follower, keep=SPAN)
                if saved is Saved.SAVED:
                    return again
                if saved is Saved.MISSING:
                    raise JobExpired("there is no outcome left to deliver", job_id=job.id)
        raise JobUnavailable("the delivery is just being attempted; ask again", job_id=job.id)

    @contextmanager
    def _followed(self, delivery: Delivery, follower: str) -> Iterator[None]:
        """Follow the delivery after the block, whatever came of it: the answer may be what was lost.

        One that is not due, or not ours, is let go as soon as its row has been looked at.
        """
        try:
            yield
        finally:
            self._follow(delivery, follower)

    async def dead(self, state: DeliveryState, *, limit: int, after: Cursor | None) -> DeadLetters:
        """Return deliveries that were given up in `state`, the newest first. Raises `StoreUnavailable`."""
        with outages.told():
            return await self._store.dead_letters(state, limit=limit, after=after)
