"""The verb of learning: a route's histogram of durations, which replicas add to and read in one go.

It is one string of three bytes a bin, 500 for jobs of a minute and never more than 1,100, and goes when its route has
been silent for a month.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from gateway.core.durations import HALF_LIFE, LAST_BIN, Durations
from gateway.core.policy import DAY, MINUTE
from gateway.store.scripts import Script
from gateway.store.verbs import Verbs

_KEPT = 30 * DAY
_MARK_KEPT = 1 * MINUTE
"""For how long an operation is known to be done: far longer than a client tries to have its answer."""

_JOB = 64
"""What one job weighs in a histogram that has just begun. The sum of all fits into 24 bits until it is scaled."""
_BYTES = 3


class DurationVerbs(Verbs):
    """The part of `RedisStore` that is about how long jobs take."""

    @cached_property
    def _learn(self) -> Script:
        return self._script("learn")

    async def learn(self, route: str, ended: Mapping[int, float], jobs: int, operation: str) -> Durations:
        """See the port."""
        keys = [self._keys.durations(route), self._keys.learned(route, operation)]
        shares = [word for number, share in ended.items() for word in (number, f"{share:.4f}")]
        answer = await self._learn(keys, [jobs, HALF_LIFE, _JOB, _KEPT, _MARK_KEPT, *shares])
        return _durations(answer or b"")


def _durations(text: bytes) -> Durations:
    numbers = [int.from_bytes(text[at : at + _BYTES]) for at in range(0, len(text), _BYTES)]
    if not numbers:
        return Durations()
    job = _JOB * 2 ** (numbers[0] / HALF_LIFE)
    bins = enumerate(numbers[1 : LAST_BIN + 2])
    return Durations({number: weight / job for number, weight in bins if weight})
