"""A callback delivery: its record, and when the next attempt is due. Pure.

Delivery is at least once: the receiver tells repetitions by the same `webhook-id`, which is the delivery's id.
The schedule is that of Standard Webhooks, spread over days; a job's end never waits for it.
"""

from __future__ import annotations

import enum
import hashlib

import msgspec

from gateway.core.ids import make_id, partition_of
from gateway.core.job import Job
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND
from gateway.core.timing import jittered

SCHEDULE = (0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""How long to wait before each attempt, from the one before."""

SPAN = 4 * DAY
"""A little longer than the whole schedule: how long a delivery and its outcome are kept at least."""

KEPT_DEAD = 7 * DAY
"""How long a delivery that has failed is kept with its outcome, to be sent again once somebody has seen to it."""

SILENCE = DAY
"""How long nothing goes to a receiver that has answered 410."""

MAX_HINT = DAY
"""A receiver's Retry-After is honoured up to this."""

MOST_ATTEMPTS = 3 * len(SCHEDULE)
"""Attempts on record: one whole schedule and two that somebody asked for. Of more, the newest are kept."""

MOST_OF_A_JOB = 16
"""Receivers of one job's outcome."""


class DeliveryState(enum.StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    """An attempt is to come; the first when the job has ended."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """Every attempt failed."""
    DISABLED = "disabled"
    """The receiver answered 410: it wants no more."""

    @property
    def dead(self) -> bool:
        """Whether it did not arrive, and nothing more is tried."""
        return self in {DeliveryState.FAILED, DeliveryState.DISABLED}


class Attempt(msgspec.Struct, frozen=True):
    """One try: when (ms), how long it took (ms), and what came back."""

    at: int
    took: int
    status: int | None = None
    error: str | None = None
    answer: str = ""
    """The first bytes of the receiver's answer."""


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One outcome on its way to one URL."""

    id: str
    job_id: str
    url: str
    created: int
    due: int
    state: DeliveryState = DeliveryState.PENDING
    revision: int = 1
    attempts: tuple[Attempt, ...] = ()
    """The newest of them."""
    made: int = 0
    """How many attempts there were in all."""
    tries: int = 0
    """How many of them belong to the present run through the schedule."""
    principal: str = ""
    """A keyed hash of who asked for it, where that is not the job's starter."""
    subject: bytes = b""
    """Sealed: the same, as the secrets that sign for them are derived from it."""

    def after(self, attempt: Attempt, *, hint: int = 0) -> Delivery:
        """Return the delivery after `attempt`. `hint`: milliseconds that the receiver asked to wait, or 0."""
        state, due = self._judge(attempt, self.tries + 1, hint)
        return msgspec.structs.replace(self._with(attempt), state=state, due=due)

    def abandoned(self, attempt: Attempt) -> Delivery:
        """Return the delivery given up with `attempt`: there is nothing left that could be delivered."""
        return msgspec.structs.replace(self._with(attempt), state=DeliveryState.FAILED)

    def silenced(self, attempt: Attempt) -> Delivery:
        """Return the delivery given up with `attempt`: its receiver has said that it wants no more."""
        return msgspec.structs.replace(self._with(attempt), state=DeliveryState.DISABLED)

    def again(self, now: int) -> Delivery:
        """Return the delivery as it begins its schedule anew, at once; what was tried stays on record."""
        return msgspec.structs.replace(self, state=DeliveryState.PENDING, due=now, tries=0, revision=self.revision + 1)

    @property
    def keep(self) -> int:
        """How long (ms) it is to be kept from now, with its outcome."""
        return KEPT_DEAD if self.state.dead else SPAN

    def _with(self, attempt: Attempt) -> Delivery:
        return msgspec.structs.replace(
            self,
            attempts=(*self.attempts, attempt)[-MOST_ATTEMPTS:],
            made=self.made + 1,
            tries=self.tries + 1,
            revision=self.revision + 1,
        )

    def _judge(self, attempt: Attempt, count: int, hint: int) -> tuple[DeliveryState, int]:
        if attempt.status is not None and 200 <= attempt.status < 300:
            return DeliveryState.DELIVERED, self.due
        if attempt.status == 410:
            return DeliveryState.DISABLED, self.due
        if count >= len(SCHEDULE):
            return DeliveryState.FAILED, self.due
        wait = jittered(SCHEDULE[count], f"{self.id}{self.made}")
        return DeliveryState.PENDING, attempt.at + max(wait, min(hint, MAX_HINT))


def starters_delivery(job: Job, at: int) -> Delivery:
    """Return the delivery that the starter of `job` asked for, made and due `at`: the job's end, or until then any."""
    assert job.callback_url is not None, "its starter has asked for one"
    url = job.callback_url
    return Delivery(delivery_id(job.id, url), job.id, url, created=at, due=at, subject=job.subject)


def delivery_id(job_id: str, url: str) -> str:
    """Return the id of the delivery of this job's outcome to `url`, in the job's partition.

    One pair of job and URL has one id, so asking twice, from anywhere, is asking once.
    """
    digest = hashlib.sha256(f"{job_id} {url}".encode("utf-8", "surrogatepass")).digest()
    return make_id(partition_of(job_id), digest[:16])
