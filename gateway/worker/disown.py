"""Disowning a job whose creation failed halfway: the caller was told that nothing was sent, so nothing may ever be."""

from __future__ import annotations

import asyncio

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import problem_outcome
from gateway.store.port import Created, NewJob, Save, Store, StoreDown

_PAUSE = 0.5


async def disown(store: Store, new: NewJob, follower: str, *, keep: int, now: int) -> None:
    """Bring about, however long the store is away, that the job has ended before it was started."""
    ended = apply(new.job, e.GaveUp(problem_outcome(StoreUnavailable())), now)
    save = Save(ended, new.job.revision, f"disown-{new.job.id}", keep=keep, tombstone=keep)
    while True:
        try:
            # Whether it was created is not known: creating is idempotent, and what is created can be ended.
            if isinstance(await store.create(new, follower, keep=keep), Created):
                await store.save(save, follower)
        except StoreDown:
            await asyncio.sleep(_PAUSE)
        else:
            return
