"""Following callback deliveries: due, attempted, saved, due again; with jobs they share leases and fences, not a queue.

At least once: an attempt whose save is lost is made again, under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.delivery import SPAN, Attempt, Delivery, DeliveryState
from gateway.core.policy import SECOND
from gateway.store.port import Gone, Saved, Store, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.port import Postman
from gateway.worker.schedule import Schedule
from gateway.worker.tasks import Tasks

_STORE_DOWN_PAUSE = 1 * SECOND
_AFTER_DEFECT = 60 * SECOND
_AT_ONCE = 64
"""Attempts under way together on one replica."""


class Deliveries:
    """Follows deliveries. `told` is called after each attempt."""

    def __init__(
        self,
        store: Store,
        postman: Postman,
        clock: Clock,
        tasks: Tasks,
        told: Callable[[Delivery], None],
    ) -> None:
        self._store = store
        self._postman = postman
        self._clock = clock
        self._tasks = tasks
        self._told = told
        self._followed: dict[str, tuple[Delivery, str]] = {}
        self._schedule = Schedule(clock, self._due)
        self._room = asyncio.Semaphore(_AT_ONCE)

    def follow(self, delivery: Delivery, follower: str) -> None:
        """Go on with a delivery that the store says `follower` follows."""
        known = delivery.id in self._followed
        self._followed[delivery.id] = (delivery, follower)
        if not known:
            self._schedule.set(delivery.id, delivery.due)

    def stop(self) -> None:
        """Begin no more attempts."""
        self._schedule.stop()

    def _due(self, delivery_id: str) -> None:
        self._tasks.spawn(self._attempt(delivery_id), name=f"delivery {delivery_id}")

    async def _attempt(self, delivery_id: str) -> None:
        delivery, _ = self._followed[delivery_id]
        try:
            tried = await self._try(delivery)
            saved = await self._save(delivery, tried)
        except StoreDown:
            self._schedule.set(delivery_id, self._clock.now() + _STORE_DOWN_PAUSE)
            return
        except Exception:
            # The record stands as it was, so it says how to go on; the task's failure is told.
            self._schedule.set(delivery_id, self._clock.now() + _AFTER_DEFECT)
            raise
        if saved is Saved.SAVED and tried.state is DeliveryState.PENDING:
            self._followed[delivery_id] = (tried, self._followed[delivery_id][1])
            self._schedule.set(delivery_id, tried.due)
        else:
            del self._followed[delivery_id]
        self._told(tried)

    async def _try(self, delivery: Delivery) -> Delivery:
        async with self._room:
            job = await self._store.read(delivery.job_id)
            body = await self._store.read_body(delivery.job_id)
            now = self._clock.now()
            if isinstance(job, Gone) or body is None:
                # Kept for the whole schedule, so the receiver's own Retry-After has stretched it too far.
                return delivery.abandoned(Attempt(at=now, took=0, error="the outcome is no longer kept"))
            attempt, hint = await self._postman.deliver(delivery, job, body, now)
        return delivery.after(attempt, hint=hint)

    async def _save(self, before: Delivery, after: Delivery) -> Saved:
        while True:
            follower = self._followed[before.id][1]
            saved = await self._store.save_delivery(after, before.revision, follower, keep=SPAN)
            # One that was on its way while this replica took over from its own former name is not another's.
            if saved is not Saved.FENCED or self._followed[before.id][1] == follower:
                return saved
