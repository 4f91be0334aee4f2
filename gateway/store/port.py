"""The store's port: what the gateway needs of durable memory.

Fencing: a row names its follower (a replica's incarnation) and its revision. A save carries both, and an operation id;
it is applied once, or refused as a whole. A replica that was believed dead and wakes up therefore changes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.durations import Durations
from gateway.core.job import Job
from gateway.core.verdict import Verdict


class StoreDown(Exception):  # noqa: N818 - a condition, not a defect
    """The store did not answer, or answered that it cannot serve."""

    def __init__(self, message: str, *, perhaps: bool = True) -> None:
        super().__init__(message)
        self.perhaps = perhaps
        """Whether the command may have been carried out; False only if it was refused, or certainly never sent."""


class NewJob(msgspec.Struct, frozen=True):
    """A job to create, with its sealed start."""

    job: Job
    start: bytes
    """The sealed start request, needed until the start is answered."""
    credential: bytes | None = None
    """The sealed bearer that later reads use; None under the gateway's own credential."""
    operation: str = ""
    """Unique to this call: a repeated create with the same operation is applied once."""
    key_keep: int = 0
    """For how long (ms) from now its key tells repetitions; 0: as long as the record is kept."""
    joins: bool = False
    """Whether calls with the same key share the job, each with a share of its own."""


class Created(msgspec.Struct, frozen=True):
    """The job is new, and is in the store."""


class Held(msgspec.Struct, frozen=True):
    """The idempotency key belongs to an earlier call with the same arguments: `job_id`."""

    job_id: str
    share: int = 0
    """Which share of the job this call has, from 2; 0 where jobs are not shared."""


class Holder(msgspec.Struct, frozen=True):
    """Whose an idempotency key is."""

    job_id: str
    fingerprint: str
    """Of its arguments, as they were hashed when the job was created."""


class KeyTaken(msgspec.Struct, frozen=True):
    """The idempotency key belongs to a call with other arguments."""


class Gone(enum.Enum):
    """Why there is no record."""

    NEVER = "never"
    """No such job, as far as the store remembers."""
    TOMBSTONE = "tombstone"
    """There was one; its record is no longer kept."""


class Requests(msgspec.Struct, frozen=True):
    """What was asked of a job, through any replica, and is its follower's to do."""

    cancel: bool = False
    verdict: Verdict | None = None


class Stored(msgspec.Struct, frozen=True):
    """A job with the sealed secrets that following it needs, and what was asked of it."""

    job: Job
    start: bytes | None
    credential: bytes | None
    requests: Requests = Requests()
    rests_until: int = 0
    """When to go on with it: it has been taken over again and again, and may be what ended those who followed it."""


class Save(msgspec.Struct, frozen=True):
    """One durable change of a job. Durations in milliseconds."""

    job: Job
    """The record to store; it is `revision` 's successor."""
    revision: int
    """The revision that the store must hold."""
    operation: str
    """Unique to this change: a repeated save with the same id is applied once."""
    keep: int
    """How long the record is kept from now."""
    tombstone: int = 0
    """For a terminal record: how long its tombstone is kept from now."""
    key_keep: int = 0
    """How long its key, if it has one, still tells repetitions from now; 0: no longer."""
    restores: bool = False
    """Whether a record that the store has lost is put back, with its sealed secrets.

    How many calls share the job is not known any more: no share's cancel is then the last one.
    """
    start: bytes | None = None
    """The sealed start, to put back."""
    credential: bytes | None = None
    """The sealed bearer, to put back."""
    body: bytes | None = None
    """The outcome's body, with a terminal record."""
    delivery: Delivery | None = None
    """A callback delivery to create along with the end."""


class Saved(enum.Enum):
    """What came of a save."""

    SAVED = "saved"
    FENCED = "fenced"
    """Another follower or revision is in the store; nothing was written."""
    MISSING = "missing"
    """The store has no such record; nothing was written."""


class SavedEnd(msgspec.Struct, frozen=True):
    """The end was saved, and these deliveries, which have waited for it, are due and followed now."""

    deliveries: tuple[Delivery, ...]


class Attached(enum.Enum):
    """What came of adding a callback to a job."""

    WAITS = "waits"
    """It is due when the job ends, by whichever replica then follows the job."""
    DUE = "due"
    """The job has ended: it is due now, and followed by who added it."""
    FULL = "full"
    """The job has as many callbacks as it may have."""
    NEVER = "never"
    TOMBSTONE = "tombstone"


class DeliveryRow(msgspec.Struct, frozen=True):
    """A delivery, and who follows it or did last; nobody does before its job has ended."""

    delivery: Delivery
    follower: str | None


Cursor = tuple[int, str]
"""Where a delivery stands among the dead ones: when it was given up (ms), and its id."""


class DeadLetters(msgspec.Struct, frozen=True):
    """Deliveries that were given up, the newest first, and where the next page begins; None after the last."""

    deliveries: tuple[Delivery, ...]
    next: Cursor | None


class Canceling(enum.Enum):
    """What came of asking for a job to be canceled."""

    ASKED = "asked"
    """Its follower is told; the request is kept until the job ends."""
    WAITING = "waiting"
    """This share is given up; others are not."""
    SHARED = "shared"
    """Several calls share the job, and the share named is none of theirs."""
    ENDED = "ended"
    NEVER = "never"
    TOMBSTONE = "tombstone"


class Hint(msgspec.Struct, frozen=True):
    """What an Orchestrator webhook says of some job. Only ever a reason to look sooner."""

    event: str
    """The keyed hash of the event that says it: of one that comes again, it is the same."""
    reference: str | None = None
    """What the job was started with as its `Reference`."""
    key: str | None = None
    """Its key in Orchestrator."""
    folder: str | None = None
    """The key of its folder."""


class Left(msgspec.Struct, frozen=True):
    """A replica has gone in order: what it followed can be taken over."""

    incarnation: str


Wake = str | Hint | Left | None
"""What a replica hears: the id of a job that it watches or follows and that has news, a hint about any job, that
another has left, or None whenever messages may have been lost."""


class Beat(msgspec.Struct, frozen=True):
    """The answer to a heartbeat."""

    now: int
    """The store's time, in milliseconds since the epoch."""
    alive: bool
    """False: this incarnation's lease had run out, and others may have its jobs."""
    dead: tuple[str, ...]
    """Incarnations whose lease has run out."""
    next: int | None = None
    """When the next of the other leases runs out, unless it is extended; None if no other lives."""
    living: int = 1
    """How many incarnations live, this one included if it does."""


Row = Stored | Delivery
"""What a replica can follow."""


class Store(Protocol):
    """Durable job state, shared by replicas. Every method may raise `StoreDown`."""

    async def create(self, new: NewJob, follower: str, *, keep: int) -> Created | Held | KeyTaken:
        """Store a new job that `follower` follows, or find the one that its idempotency key belongs to."""
        ...

    async def holder(self, key: str, partition: int) -> Holder | None:
        """Return whose the hashed idempotency `key` is; None if it is free."""
        ...

    async def read(self, job_id: str) -> Job | Gone:
        """Return the record."""
        ...

    async def missing(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of these jobs that there is no record of."""
        ...

    async def buried(self, job_id: str) -> str | None:
        """Return the principal of the job whose tombstone there is; None without one."""
        ...

    async def read_body(self, job_id: str) -> bytes | None:
        """Return the outcome's body; None if it is not kept."""
        ...

    async def read_credential(self, job_id: str) -> bytes | None:
        """Return the sealed credential as it stands now."""
        ...

    async def offer_credential(self, job_id: str, sealed: bytes) -> bool:
        """Replace the sealed credential of a live job; False if it has ended."""
        ...

    async def save(self, save: Save, follower: str) -> Saved | SavedEnd:
        """Apply a change if `follower` still follows the job at that revision."""
        ...

    async def save_delivery(self, delivery: Delivery, revision: int, follower: str, *, keep: int) -> Saved:
        """Apply a change to a callback delivery under the same fence; keep it, and unless it has arrived, its outcome.

        What is dead is listed among the dead letters.
        """
        ...

    async def redeliver(self, delivery: Delivery, revision: int, follower: str, *, keep: int) -> Saved:
        """Begin a delivery anew, followed by `follower` from now on; `MISSING` if there is nothing to deliver.

        `FENCED`: it is not at `revision`, or its job has not ended.
        """
        ...

    async def attach(self, delivery: Delivery, follower: str) -> Attached | Delivery:
        """Add a callback to a job, or return the one with this id that is there already."""
        ...

    async def deliveries(self, job_id: str) -> list[Delivery]:
        """Return the deliveries of a job's outcome, the oldest first."""
        ...

    async def read_delivery(self, delivery_id: str) -> DeliveryRow | None:
        """Return a delivery as it stands; None if it is not kept."""
        ...

    async def dead_letters(self, state: DeliveryState, *, limit: int, after: Cursor | None = None) -> DeadLetters:
        """Return the deliveries that were given up in `state`, as long as they are kept."""
        ...

    async def silence(self, receiver: str, *, keep: int) -> None:
        """Remember for `keep` (ms) that the receiver with this keyed hash wants no deliveries."""
        ...

    async def is_silent(self, receiver: str) -> bool:
        """Whether it is to be left alone."""
        ...

    async def unsilence(self, receiver: str) -> None:
        """Forget that it wants none."""
        ...

    async def watch(self, job_id: str, watcher: str) -> Job | Gone:
        """Have `watcher` woken at every change of the job, and return the record as it is now."""
        ...

    def wakes(self, watcher: str) -> AsyncIterator[Wake]:
        """Yield what `watcher` is to hear: as a watcher of jobs, and as the follower of those that were asked for."""
        ...

    async def request_cancel(self, job_id: str, share: int = 0) -> Canceling:
        """Ask for a job to be canceled; of a shared one, on behalf of one share (0: on behalf of none)."""
        ...

    async def give_verdict(self, job_id: str, verdict: Verdict) -> bool:
        """Tell what became of a job whose start is in doubt; False if it does not live."""
        ...

    async def requests(self, job_ids: Sequence[str]) -> dict[str, Requests]:
        """Return what was asked of each of these jobs; those of which nothing was asked are left out."""
        ...

    async def announce(self, hint: Hint, *, keep: int) -> bool:
        """Tell all replicas of a hint; False if its event was told within `keep` (ms)."""
        ...

    async def erase(self, job_id: str) -> bool:
        """Drop the record and outcome of an ended job, and leave its tombstone; False if it lives, or is not there."""
        ...

    async def beat(self, incarnation: str, *, join: bool = False) -> Beat:
        """Extend `incarnation`'s lease (`join`: begin it)."""
        ...

    async def incarnations(self) -> list[str]:
        """Return every incarnation that is remembered, dead or alive."""
        ...

    async def leave(self, incarnation: str) -> None:
        """End `incarnation`'s lease now, so that others take its jobs over at once."""
        ...

    def take_over(self, dead: str, follower: str) -> AsyncIterator[list[Row]]:
        """Make `follower` the follower of all that `dead` followed, in batches."""
        ...

    async def forget(self, dead: str) -> None:
        """Drop what is remembered of an incarnation, if it has nothing left."""
        ...

    async def remember_token(self, token: str, *, keep: int) -> None:
        """Remember that the upstream accepted the credential with this keyed hash."""
        ...

    async def knows_token(self, token: str) -> bool:
        """Whether it did."""
        ...

    async def learn(self, route: str, ended: Mapping[int, float], jobs: int, operation: str) -> Durations:
        """Count `jobs` that have ended, by their shares of bins, for the route with this keyed hash; return all of it.

        Repeated with the same `operation`, they are counted once. With no jobs, nothing is changed.
        """
        ...

    async def acknowledge(self, marks: Sequence[str]) -> bool:
        """Remember the marks of this gateway's keys; False if the store knows keys, and none of these."""
        ...

    async def ping(self) -> None:
        """Return if the store serves."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
