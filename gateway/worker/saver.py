"""Bringing the store up to what the driver knows of a job: each change tried until its fate is known.

A job that goes on while the store is away is saved as it then is, in one change. A record that the store has lost is
put back, except by the save that a start waits for: nothing is started that another replica could not know of.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import msgspec

from gateway.core.job import State
from gateway.core.policy import SECOND
from gateway.core.retention import kept_for, key_kept_for
from gateway.store.port import Save, Saved, SavedEnd, Store, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.entry import Entry
from gateway.worker.port import Policies
from gateway.worker.vault import Vault

_AGAIN = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries of a save; the last one repeats."""

_AFTER_DEFECT = 5 * SECOND


class Saver:
    """Saves followed jobs. `random` gives bytes for the name of their operations; `failed` is told of defects."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        policies: Policies,
        clock: Clock,
        *,
        random: Callable[[int], bytes],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._vault = vault
        self._policies = policies
        self._clock = clock
        self._name = random(9).hex()
        """What no other saver is called: the operations of one are numbered."""
        self._operations = itertools.count()
        self._failed = failed

    async def catch_up(self, entry: Entry, saved: Callable[[Entry], None]) -> bool:
        """Have the store take the entry's newest record; `saved` is called after each change.

        Return False if the job has another follower, or is over: then the entry is of no more use.
        """
        while entry.saved.revision < entry.job.revision:
            save = self._change(entry)
            answer = await self._surely(entry, save)
            if answer is Saved.MISSING and save.job.state is not State.STARTING:
                answer = await self._surely(entry, msgspec.structs.replace(save, restores=True))
            if answer is Saved.FENCED:
                return False
            if isinstance(answer, SavedEnd):
                entry.waited = answer.deliveries
            entry.forgotten = answer is Saved.MISSING
            entry.saved = save.job
            saved(entry)
        return True

    def _change(self, entry: Entry) -> Save:
        job, policy, now = entry.job, self._policies.policy(entry.job.route), self._clock.now()
        return Save(
            job=self._vault.conceal(job),
            revision=entry.saved.revision,
            operation=f"{self._name}.{next(self._operations)}",
            keep=kept_for(job, policy, now),
            tombstone=policy.retention + policy.tombstone,
            key_keep=key_kept_for(job, policy, now),
            start=entry.start,
            credential=entry.credential,
            body=entry.body,
            delivery=entry.delivery,
        )

    async def _surely(self, entry: Entry, save: Save) -> Saved | SavedEnd:
        tries = 0
        while True:
            follower, pause = entry.follower, _AGAIN[min(tries, len(_AGAIN) - 1)]
            try:
                answer = await self._store.save(save, follower)
            except StoreDown:
                pass
            except Exception as error:  # noqa: BLE001 - a defect costs the job a pause, not its outcome
                self._failed(error)
                pause = _AFTER_DEFECT / 1000
            else:
                # One that was on its way while this replica took over from its former name is not fenced by another.
                if answer is not Saved.FENCED or entry.follower == follower:
                    return answer
                continue
            tries += 1
            await asyncio.sleep(pause)
