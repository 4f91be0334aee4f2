"""One followed job, as the replica that follows it has it in memory."""

from __future__ import annotations

import asyncio

from gateway.core.delivery import Delivery
from gateway.core.job import Job
from gateway.core.start import StartRequest
from gateway.store.port import Stored


class Entry:
    """One followed job: its newest record, and how much of it the store has."""

    __slots__ = (
        "bearer",
        "body",
        "credential",
        "delivery",
        "followed",
        "follower",
        "forgotten",
        "given_up",
        "hurried",
        "job",
        "may_give_up",
        "request",
        "saved",
        "saving",
        "start",
        "step",
        "tell_at",
        "told",
        "unsaved",
        "waited",
    )

    def __init__(
        self, stored: Stored, job: Job, follower: str, request: StartRequest | None = None, bearer: str | None = None
    ) -> None:
        self.job = job
        self.saved = stored.job
        """The newest record that the store has."""
        self.forgotten = False
        """The store has lost the job, and will not have it back. It lives on here, for whoever waits for it here."""
        self.start = stored.start
        """The sealed start, until it is answered."""
        self.request = request
        """The same as it is sent, where the job was accepted here."""
        self.credential = stored.credential
        self.bearer = bearer
        """What is sealed in that, until the start is first sent, where the job was accepted here."""
        self.followed = True
        """This is what its follower has of the job; no longer once it is over, or another's."""
        self.follower = follower
        self.unsaved = False
        """Something has changed that the store does not have and ought to."""
        self.saving: asyncio.Future[None] | None = None
        self.step: asyncio.Task[None] | None = None
        """What is being done for the job, if anything is."""
        self.may_give_up = False
        """The step waits for an answer that may as well be asked for again."""
        self.given_up = False
        self.hurried = False
        """Something said that looking now is worth while, whatever the plan says."""
        self.told = False
        """What said so was a webhook: if the job has ended, then just now."""
        self.body: bytes | None = None
        """The outcome's body, once the job has ended."""
        self.tell_at: int | None = None
        """When to tell of the job's end though it is not saved yet, where that may be told."""
        self.delivery: Delivery | None = None
        """Of the callback that its starter asked for, once the job has ended."""
        self.waited: tuple[Delivery, ...] = ()
        """Of those that were added while it ran."""
