"""Whether Orchestrator's webhooks can be relied on, route by route: then its jobs are polled a quarter as often.

A webhook is believed by what it has done, not by being set up: Orchestrator delivers each event once, keeps none, and
disables a webhook for an hour after one failure. So a route's webhooks count as working after ten ends in a row of
which a webhook has told, and the first end that a poll finds, with no word of it in ten seconds, takes that back. What
an unnoticed loss costs is a longer interval, once, and never the outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from gateway.core import events as e
from gateway.core.job import Job, LegKind
from gateway.core.jobs_api import is_guid, place
from gateway.core.policy import MINUTE, SECOND, Policy
from gateway.store.port import Hint
from gateway.worker.clock import Clock
from gateway.worker.port import Policies

_IN_A_ROW = 10
"""Ends that were told of: one webhook in a hundred may be lost, and a route is still relied on most of the time."""
_LATE = 10 * SECOND
"""How long after an end was found by a poll its webhook may come."""
_LASTS = 30 * MINUTE
"""What nobody has told of for so long may have stopped working unnoticed."""
_STRETCH = 4
"""Intervals between polls, where a webhook is going to tell."""
_MOST = 1_000
"""Ends that wait for a word of them."""
_ROUTES = 1_000
"""Routes remembered: in pass-through any path may be one. Of more, those that were told of first are forgotten."""


class _Found(msgspec.Struct, frozen=True):
    """An end that a poll has found."""

    at: int
    job_id: str
    route: str
    key: str | None
    folder: str | None


class _Record:
    """What the webhooks of one route have done."""

    __slots__ = ("in_a_row", "last", "policies")

    def __init__(self) -> None:
        self.in_a_row = 0
        self.last = 0
        self.policies: tuple[Policy, Policy] | None = None
        """The route's policy, and the same with longer intervals."""


class Told:
    """The policies of `policies`, those of routes whose ends are told of with fewer polls.

    Only routes of mode `auto`: the others are polled as they say. `on`: whether any webhooks are taken.
    """

    def __init__(self, policies: Policies, clock: Clock, *, on: bool) -> None:
        self._policies = policies
        self._clock = clock
        self._on = on
        self._records: dict[str, _Record] = {}
        self._found: deque[_Found] = deque()

    def policy(self, route: str) -> Policy:
        """See the port."""
        policy = self._policies.policy(route)
        if not policy.auto or not self.of(route):
            return policy
        record = self._records[route]
        if record.policies is None or record.policies[0] is not policy:
            pace = msgspec.structs.replace(policy.pace, stretch=_STRETCH)
            record.policies = (policy, msgspec.structs.replace(policy, pace=pace))
        return record.policies[1]

    def of(self, route: str) -> bool:
        """Whether webhooks tell of the ends of a route's jobs, as of late."""
        if not self._on or (record := self._records.get(route)) is None:
            return False
        self._missed()
        return record.in_a_row >= _IN_A_ROW and self._clock.now() - record.last < _LASTS

    def ended(self, before: Job, after: Job, event: e.Event, told: bool) -> None:
        """Take note of an end that a read has found; `told`: a webhook had it read."""
        if not self._on or not self._policies.policy(after.route).auto or not _is_end(before, event):
            return
        if told:
            self._heard(after.route)
            return
        folder, _ = place(after, self._policies.policy(after.route).binding)
        self._found.append(_Found(self._clock.now(), after.id, after.route, after.upstream_key, folder))
        if len(self._found) > _MOST:
            self._found.popleft()

    def hinted(self, hint: Hint) -> None:
        """Take note of a webhook: it may tell of an end that a poll was quicker to find."""
        self._missed()
        found = next((found for found in self._found if _means(hint, found)), None)
        if found is not None:
            self._found.remove(found)
            self._heard(found.route)

    def _heard(self, route: str) -> None:
        if (record := self._records.get(route)) is None:
            if len(self._records) >= _ROUTES:
                del self._records[next(iter(self._records))]
            record = self._records[route] = _Record()
        record.in_a_row += 1
        record.last = self._clock.now()

    def _missed(self) -> None:
        """Take back the trust in those whose word has not come in time."""
        late = self._clock.now() - _LATE
        while self._found and self._found[0].at < late:
            if (record := self._records.get(self._found.popleft().route)) is not None:
                record.in_a_row = 0


def _is_end(before: Job, event: e.Event) -> bool:
    if before.leg is None or before.leg.kind not in {LegKind.STATUS, LegKind.JOB}:
        return False
    return isinstance(event, e.Ended) or (isinstance(event, e.Redirected) and event.leg.kind is LegKind.OUTPUT)


def _means(hint: Hint, found: _Found) -> bool:
    if hint.reference is not None:
        return hint.reference == found.job_id
    if hint.key is not None and found.key is not None:
        return hint.key.lower() == found.key.lower()
    own = found.folder
    return hint.folder is None or own is None or not is_guid(own) or own.lower() == hint.folder.lower()


Ended = Callable[[Job, Job, e.Event, bool], None]
"""What is told of ends."""


def both(first: Ended, second: Ended) -> Ended:
    """Return what tells both."""

    def tell(before: Job, after: Job, event: e.Event, told: bool) -> None:
        first(before, after, event, told)
        second(before, after, event, told)

    return tell
