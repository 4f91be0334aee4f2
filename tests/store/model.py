"""What the store's verbs come to, as rows and times in Python. The scripts must agree with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.core.delivery import SPAN, Delivery, DeliveryState
from gateway.core.job import Job, KeyScope
from gateway.core.policy import HOUR
from gateway.core.verdict import Verdict
from gateway.store.port import (
    Attached,
    Beat,
    Canceling,
    Created,
    Held,
    KeyTaken,
    NewJob,
    Requests,
    Save,
    Saved,
    SavedEnd,
    Stored,
)

PENDING = DeliveryState.PENDING
MANY = 1_000_000_000
"""More shares than are ever given up."""


@dataclass
class Row:
    """A job, as long as its record is kept."""

    job: Job
    follower: str | None
    until: int
    start: bytes | None = None
    credential: bytes | None = None
    created_by: str | None = None
    operation: str | None = None
    cancel: bool = False
    verdict: Verdict | None = None
    shares: int = 0
    """How many calls share it; 0 where jobs are not shared."""
    given_up: set[int] = field(default_factory=set)
    taken: int = 0
    rests_until: int = 0

    @property
    def requests(self) -> Requests:
        """What was asked of it."""
        return Requests(self.cancel, self.verdict)

    @property
    def stored(self) -> Stored:
        """What following it takes."""
        return Stored(self.job, self.start, self.credential, self.requests, self.rests_until)


@dataclass
class Key:
    """An idempotency key while it tells repetitions."""

    job_id: str
    fingerprint: str
    until: int


@dataclass
class Letter:
    """A delivery."""

    delivery: Delivery
    follower: str | None
    until: int


@dataclass
class Kept:
    """An outcome's body, or a tombstone."""

    value: bytes
    until: int


@dataclass
class Mark:
    """Which share of a job a call has, for when it is repeated."""

    share: int
    until: int


@dataclass
class Model:
    """Everything. `now` is virtual time in ms; what is over is dropped by `pass_time`."""

    now: int
    lease: int
    """How long a heartbeat counts."""
    rows: dict[str, Row] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    bodies: dict[str, Kept] = field(default_factory=dict)
    tombs: dict[str, Kept] = field(default_factory=dict)
    letters: dict[str, Letter] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)

    def copy(self) -> Model:
        """Return a model that goes its own way from here."""
        rows = {name: replace(row, given_up={*row.given_up}) for name, row in self.rows.items()}
        keys = {name: replace(key) for name, key in self.keys.items()}
        bodies = {name: replace(body) for name, body in self.bodies.items()}
        tombs = {name: replace(tomb) for name, tomb in self.tombs.items()}
        letters = {name: replace(letter) for name, letter in self.letters.items()}
        marks = {name: replace(mark) for name, mark in self.marks.items()}
        return Model(self.now, self.lease, rows, keys, bodies, tombs, letters, dict(self.leases), marks)

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, and drop what is over."""
        self.now += milliseconds
        for kept in (self.rows, self.keys, self.bodies, self.tombs, self.letters, self.marks):
            for name in [name for name, each in kept.items() if each.until <= self.now]:
                del kept[name]

    # Jobs.

    def create(self, new: NewJob, follower: str, keep: int) -> Created | Held | KeyTaken:
        """A key that is held leads to its job; a job that there is or was is not begun again."""
        job, row = new.job, self.rows.get(new.job.id)
        if row is not None and row.created_by == new.operation:
            return Created()
        key = None if job.key is None else self.keys.get(job.key)
        if key is not None:
            if key.fingerprint != job.fingerprint:
                return KeyTaken()
            holder = self.rows.get(key.job_id)
            if not new.joins or holder is None or holder.follower is None:
                return Held(key.job_id)
            if not holder.cancel:
                return Held(key.job_id, self._share(holder, new.operation))
        if row is not None or job.id in self.tombs:
            return Held(job.id)
        self.rows[job.id] = Row(job, follower, self.now + keep, new.start, new.credential, new.operation)
        if new.joins:
            self.rows[job.id].shares = 1
        if job.key is not None:
            self.keys[job.key] = Key(job.id, job.fingerprint, self.now + (new.key_keep or keep))
        return Created()

    def _share(self, row: Row, operation: str) -> int:
        mark = self.marks.get((row.job.id, operation))
        if mark is None:
            row.shares += 1
            mark = self.marks[row.job.id, operation] = Mark(row.shares, self.now + HOUR)
        return mark.share

    def save(self, save: Save, follower: str) -> Saved | SavedEnd:
        """Applied once, by the follower, on what it knows or on what is older."""
        job, row = save.job, self.rows.get(save.job.id)
        if row is not None and row.operation == save.operation:
            return _saved(self._others(save, follower)) if job.state.terminal else Saved.SAVED
        if row is None:
            if not save.restores:
                return Saved.MISSING
            if job.id in self.tombs:
                return Saved.FENCED
            row = self.rows[job.id] = Row(job, follower, 0, save.start, save.credential)
            row.shares = MANY if job.key_scope is KeyScope.RUN else 0
        elif row.follower != follower or row.job.revision > save.revision:
            return Saved.FENCED
        row.job, row.operation, row.until = job, save.operation, self.now + save.keep
        if job.start_answered:
            row.start, row.taken, row.rests_until = None, 0, 0
        self._save_key(save)
        return _saved(self._end(save, row, follower)) if job.state.terminal else Saved.SAVED

    def _save_key(self, save: Save) -> None:
        job = save.job
        holder = None if job.key is None else self.keys.get(job.key)
        if job.key is None or (holder is not None and holder.job_id != job.id):
            return
        if save.key_keep:
            self.keys[job.key] = Key(job.id, job.fingerprint, self.now + save.key_keep)
        else:
            self.keys.pop(job.key, None)

    def _end(self, save: Save, row: Row, follower: str) -> list[Letter]:
        job, waiting = save.job, self._others(save, None)
        keep = max(save.keep, SPAN) if waiting else save.keep
        row.until = self.now + keep
        row.start = row.credential = row.follower = None
        self.bodies[job.id] = Kept(save.body or b"", self.now + keep)
        least = SPAN if waiting else 0
        self.tombs[job.id] = Kept(job.principal.encode(), self.now + max(save.tombstone, save.keep, least))
        for letter in waiting:
            letter.follower, letter.until = follower, self.now + max(keep, SPAN)
        known = None if save.delivery is None else self.letters.get(save.delivery.id)
        if save.delivery is not None and (known is None or known.follower is None):
            self.letters[save.delivery.id] = Letter(save.delivery, follower, self.now + max(keep, SPAN))
        return waiting

    def _others(self, save: Save, follower: str | None) -> list[Letter]:
        """Return the job's deliveries that `follower` follows, but for the one that comes with this save."""
        own = None if save.delivery is None else save.delivery.id
        return [
            letter
            for name, letter in self.letters.items()
            if letter.delivery.job_id == save.job.id and letter.follower == follower and name != own
        ]

    def erase(self, job_id: str) -> bool:
        """Only what has ended; its tombstone stays."""
        if job_id not in self.rows or self.rows[job_id].follower is not None:
            return False
        del self.rows[job_id]
        self.bodies.pop(job_id, None)
        return True

    def offer(self, job_id: str, sealed: bytes) -> bool:
        """A live job takes a new credential."""
        row = self.rows.get(job_id)
        if row is None or row.follower is None:
            return False
        row.credential = sealed
        return True

    # Requests.

    def cancel(self, job_id: str, share: int) -> Canceling:
        """Asked for when all that share the job have asked."""
        row = self.rows.get(job_id)
        if row is None:
            return Canceling.TOMBSTONE if job_id in self.tombs else Canceling.NEVER
        if row.follower is None:
            return Canceling.ENDED
        if row.shares > 1:
            if not 1 <= share <= row.shares:
                return Canceling.SHARED
            row.given_up.add(share)
            if len(row.given_up) < row.shares:
                return Canceling.WAITING
        row.cancel = True
        return Canceling.ASKED

    def give_verdict(self, job_id: str, verdict: Verdict) -> bool:
        """The newest one counts."""
        row = self.rows.get(job_id)
        if row is None or row.follower is None:
            return False
        row.verdict = verdict
        return True

    # Deliveries.

    def attach(self, delivery: Delivery, follower: str) -> Attached | Delivery:
        """Known is known; else it waits for the job's end, or is due."""
        if delivery.id in self.letters:
            return self.letters[delivery.id].delivery
        row = self.rows.get(delivery.job_id)
        if row is None:
            return Attached.TOMBSTONE if delivery.job_id in self.tombs else Attached.NEVER
        if row.follower is not None:
            self.letters[delivery.id] = Letter(delivery, None, row.until + SPAN)
            return Attached.WAITS
        self.letters[delivery.id] = Letter(delivery, follower, self.now + SPAN)
        self._keep_job(delivery.job_id, SPAN)
        return Attached.DUE

    def save_delivery(self, delivery: Delivery, revision: int, follower: str, keep: int) -> Saved:
        """Under the fence of its follower and its exact revision."""
        letter = self.letters.get(delivery.id)
        if letter is None:
            return Saved.MISSING
        if letter.delivery == delivery:
            return Saved.SAVED
        if (letter.delivery.revision, letter.follower) != (revision, follower):
            return Saved.FENCED
        letter.delivery, letter.until = delivery, self.now + keep
        if delivery.state is not DeliveryState.DELIVERED:
            self._keep_job(delivery.job_id, keep)
        return Saved.SAVED

    def redeliver(self, delivery: Delivery, revision: int, follower: str, keep: int) -> Saved:
        """By whoever asks, under the fence of its revision, while there is something to deliver."""
        letter = self.letters.get(delivery.id)
        if letter is None:
            return Saved.MISSING
        if letter.delivery == delivery:
            return Saved.SAVED
        if letter.delivery.revision != revision or letter.follower is None:
            return Saved.FENCED
        if delivery.job_id not in self.rows or delivery.job_id not in self.bodies:
            return Saved.MISSING
        letter.delivery, letter.follower = delivery, follower
        letter.until = max(letter.until, self.now + keep)
        self._keep_job(delivery.job_id, letter.until - self.now)
        return Saved.SAVED

    def _keep_job(self, job_id: str, keep: int) -> None:
        for kept in (self.rows, self.bodies, self.tombs):
            if job_id in kept:
                kept[job_id].until = max(kept[job_id].until, self.now + keep)

    # Followers.

    def beat(self, incarnation: str, *, join: bool) -> Beat:
        """A lease that has run out is not extended."""
        alive = join or self.leases.get(incarnation, -1) >= self.now
        if alive:
            self.leases[incarnation] = self.now + self.lease
        dead = tuple(sorted(each for each, until in self.leases.items() if until < self.now))
        others = [until for each, until in self.leases.items() if until >= self.now and each != incarnation]
        return Beat(self.now, alive, dead, min(others, default=None), len(others) + alive)

    def followed(self, incarnation: str) -> set[str]:
        """Return the ids of all rows that an incarnation has to go on with."""
        jobs = {job_id for job_id, row in self.rows.items() if row.follower == incarnation}
        return jobs | {
            name
            for name, letter in self.letters.items()
            if letter.follower == incarnation and letter.delivery.state is PENDING
        }

    def take_over(self, dead: str, follower: str, listed: set[str]) -> dict[str, Stored | Delivery]:
        """All that the dead one followed is the taker's; so is what is `listed` as the dead one's and is so already."""
        taken: dict[str, Stored | Delivery] = {}
        for row_id in listed & (self.followed(dead) | self.followed(follower)):
            if row_id in self.rows:
                row = self.rows[row_id]
                row.follower = follower
                if self.now >= row.rests_until:
                    row.taken += 1
                    row.rests_until = self.now + min(1_000 << row.taken - 3, 300_000) if row.taken > 3 else 0
                taken[row_id] = row.stored
            else:
                self.letters[row_id].follower = follower
                taken[row_id] = self.letters[row_id].delivery
        return taken


def _saved(due: list[Letter]) -> Saved | SavedEnd:
    return SavedEnd(tuple(letter.delivery for letter in due)) if due else Saved.SAVED
