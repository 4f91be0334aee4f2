"""Disowning a job whose creation failed halfway: the caller was told that nothing was sent, so nothing may ever be."""

from __future__ import annotations

import asyncio

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import problem_outcome
from gateway.store.port import Created, Held, NewJob, Save, Saved, Store, StoreDown

_PAUSE = 0.5


async def disown(store: Store, new: NewJob, follower: str, *, keep: int, shown: int, now: int) -> bool:
    """Bring about, however long the store is away, that the job has ended before it was started.

    Its record is kept for `shown` (ms); for `keep` it is known to be over, should its creation come once more. Return
    False if it has another follower by now, which alone can end it.
    """
    ended = apply(new.job, e.GaveUp(problem_outcome(StoreUnavailable())), now)
    save = Save(ended, new.job.revision, f"disown-{new.job.id}", keep=shown, tombstone=keep)
    while True:
        try:
            # Whether it was created is not known: creating is idempotent, and what is created can be ended.
            match await store.create(new, follower, keep=keep):
                case Created():
                    return await store.save(save, follower) is not Saved.FENCED
                case Held(job_id, share) if share:
                    # It has joined a job instead, which others must be able to cancel without it.
                    await store.request_cancel(job_id, share)
        except StoreDown:
            await asyncio.sleep(_PAUSE)
        else:
            return True
