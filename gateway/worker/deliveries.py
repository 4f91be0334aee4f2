"""Following callback deliveries: due, attempted, saved, due again; with jobs they share leases and fences, not a queue.

At least once: an attempt whose save is lost is made again, under the same `webhook-id`. What is kept here of a delivery
that waits is its id and when it is due; the record is read when its turn comes, and nothing is sent under one that has
changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from gateway.core.delivery import SILENCE, Attempt, Delivery, DeliveryState
from gateway.core.job import Job
from gateway.core.policy import SECOND
from gateway.store.port import Gone, Saved, Store, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.fair_queue import FairQueue
from gateway.worker.port import Postman
from gateway.worker.schedule import Schedule
from gateway.worker.tasks import Tasks

_STORE_DOWN_PAUSE = 1 * SECOND
_AFTER_DEFECT = 60 * SECOND
_UNTIL_IT_ENDS = 10 * SECOND
"""How long to wait for the end of a job that had ended, before a replica of the store that lagged was promoted."""
_AT_ONCE = 128
"""Attempts under way together on one replica; each holds its outcome's body."""
_SHARE = 8
"""Of them, for one receiver."""
_SILENT_SHARE = 2
"""The same for one that gave no answer: enough to see that it is back."""


class _Followed(msgspec.Struct, frozen=True, eq=False):
    """One delivery that is followed here, by who of this replica's incarnations."""

    receiver: str
    follower: str


class Deliveries:
    """Follows deliveries.

    `told` is called after each attempt; `receiver` gives the name, a keyed hash, of a principal's receiver at a URL.
    """

    def __init__(
        self,
        store: Store,
        postman: Postman,
        clock: Clock,
        tasks: Tasks,
        *,
        told: Callable[[Delivery], None],
        receiver: Callable[[str, str], str],
    ) -> None:
        self._store = store
        self._postman = postman
        self._clock = clock
        self._tasks = tasks
        self._told = told
        self._receiver = receiver
        self._followed: dict[str, _Followed] = {}
        self._schedule = Schedule(clock, self._due)
        self._queue = FairQueue(at_once=_AT_ONCE, share=_SHARE, silent_share=_SILENT_SHARE)
        self._under_way: set[str] = set()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._followed)

    def follow(self, delivery: Delivery, follower: str) -> None:
        """Go on with a delivery that the store says `follower` follows."""
        self._followed[delivery.id] = _Followed(_origin(delivery.url), follower)
        self._schedule.set(delivery.id, delivery.due)

    def stop(self) -> None:
        """Begin no more attempts."""
        self._stopped = True
        self._schedule.stop()

    def _due(self, delivery_id: str) -> None:
        # One that is under way is looked at again when it is done, should it have come back meanwhile.
        if (followed := self._followed.get(delivery_id)) is not None and delivery_id not in self._under_way:
            self._queue.put(followed.receiver, delivery_id)
            self._begin()

    def _begin(self) -> None:
        while not self._stopped and (turn := self._queue.take()) is not None:
            self._under_way.add(turn[1])
            self._tasks.spawn(self._turn(*turn), name=f"delivery {turn[1]}")

    async def _turn(self, receiver: str, delivery_id: str) -> None:
        answered = None
        try:
            answered = await self._go_on(delivery_id)
        except StoreDown:
            self._schedule.set(delivery_id, self._clock.now() + _STORE_DOWN_PAUSE)
        except Exception:
            # The record stands as it was, so it says how to go on; the task's failure is told.
            self._schedule.set(delivery_id, self._clock.now() + _AFTER_DEFECT)
            raise
        finally:
            self._under_way.discard(delivery_id)
            self._queue.done(receiver, answered=answered)
            self._begin()

    async def _go_on(self, delivery_id: str) -> bool | None:
        """Make the attempt that is due; return whether the receiver answered, None if it was not asked."""
        followed = self._followed.get(delivery_id)
        if followed is None:
            return None
        row = await self._store.read_delivery(delivery_id)
        if row is None or row.follower != followed.follower or row.delivery.state is not DeliveryState.PENDING:
            self._let_go(delivery_id, followed)
            return None
        before = row.delivery
        if before.due > self._clock.now() + 1:
            self._schedule.set(delivery_id, before.due)
            return None
        job = await self._store.read(before.job_id)
        if isinstance(job, Job) and not job.state.terminal:
            self._schedule.set(delivery_id, self._clock.now() + _UNTIL_IT_ENDS)
            return None
        after, asked = await self._try(before, job)
        saved = await self._save(before, after)
        if saved is Saved.SAVED and after.state is DeliveryState.PENDING:
            self._schedule.set(delivery_id, after.due)
        else:
            self._let_go(delivery_id, followed)
        self._told(after)
        return after.attempts[-1].status is not None if asked else None

    def _let_go(self, delivery_id: str, followed: _Followed) -> None:
        """Follow a delivery no more, unless it came (back) to be followed here while it was looked at."""
        if self._followed.get(delivery_id) is followed:
            del self._followed[delivery_id]
        else:
            self._schedule.set(delivery_id, self._clock.now())

    async def _try(self, delivery: Delivery, job: Job | Gone) -> tuple[Delivery, bool]:
        """Return the delivery after this attempt, and whether its receiver was asked."""
        body = await self._store.read_body(delivery.job_id)
        now = self._clock.now()
        if isinstance(job, Gone) or body is None:
            # It was to be kept for as long as this delivery: it was erased, or the store has lost it.
            return delivery.abandoned(Attempt(at=now, took=0, error="the outcome is no longer kept")), False
        receiver = self._receiver(delivery.principal or job.principal, delivery.url)
        if await self._store.is_silent(receiver):
            return delivery.silenced(Attempt(at=now, took=0, error="the receiver answered 410 before")), False
        attempt, hint = await self._postman.deliver(delivery, job, body, now)
        after = delivery.after(attempt, hint=hint)
        if after.state is DeliveryState.DISABLED:
            with suppress(StoreDown):  # Then the next delivery is told by the receiver itself.
                await self._store.silence(receiver, keep=SILENCE)
        return after, True

    async def _save(self, before: Delivery, after: Delivery) -> Saved:
        while True:
            follower = self._followed[before.id].follower
            saved = await self._store.save_delivery(after, before.revision, follower, keep=after.keep)
            # One that was on its way while this replica took over from its own former name is not another's.
            if saved is not Saved.FENCED or self._followed[before.id].follower == follower:
                return saved


def _origin(url: str) -> str:
    """Return the scheme and authority of a URL: what a receiver is told by where shares are given."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
