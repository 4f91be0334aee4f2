"""Which tokens the upstream has accepted: an accepted start proves the token that it was sent with.

Somebody whose token was refreshed is still the principal of their earlier jobs; that the new token is genuine, only
the upstream can say. The store remembers that it did, for a while.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.core import events as e
from gateway.core.job import Job
from gateway.core.policy import HOUR
from gateway.store.port import Store, StoreDown
from gateway.worker.clock import Clock
from gateway.worker.tasks import Tasks

_PROOFS = (e.Followed, e.Dispatched)

REMEMBERED = HOUR
"""How long the upstream's acceptance of a token is remembered."""

_AGAIN = REMEMBERED // 2
"""After how long one that is in use is written anew."""

_MOST = 10_000
"""Tokens whose writing is remembered here. One that is forgotten beyond it is only written sooner than it need be."""


class Acceptances:
    """An observer of jobs. It writes once in a while for each token, not for each job."""

    def __init__(self, store: Store, clock: Clock, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._written: OrderedDict[str, int] = OrderedDict()
        """When each is to be written anew, in that order."""

    def __call__(self, job: Job, event: e.Event) -> None:
        """Take note of `event`."""
        # A token that names nobody is its own principal, and is never compared with another.
        if job.token == job.principal or not _accepts(event):
            return
        now = self._clock.now()
        if self._written.get(job.token, 0) > now:
            return
        self._written[job.token] = now + _AGAIN
        self._written.move_to_end(job.token)
        if len(self._written) > _MOST:
            self._written.popitem(last=False)
        self._tasks.spawn(self._remember(job.token), name=f"token of {job.id}")

    async def _remember(self, token: str) -> None:
        try:
            await self._store.remember_token(token, keep=REMEMBERED)
        except StoreDown:
            self._written.pop(token, None)  # The next start says it again.


def _accepts(event: e.Event) -> bool:
    """Whether a start came to what no refused token is answered with."""
    if isinstance(event, e.Ended):
        return event.mode is not None and event.outcome.status < 400
    return isinstance(event, _PROOFS)
