"""What renderers are given and what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.caller.links import JobUrls
from gateway.core.errors import Problem
from gateway.core.exchange import Headers
from gateway.core.job import Job
from gateway.core.modes import CallerMode
from gateway.core.policy import OnTimeout, Policy


class Call(msgspec.Struct, frozen=True):
    """How one caller is to be answered. Times are milliseconds of the store's clock."""

    policy: Policy
    urls: Callable[[Job], JobUrls]
    arrived: int
    mode: CallerMode | None = CallerMode.SYNC
    """None: as the trigger itself answers."""
    until: int = 0
    """When a sync caller's wait runs out."""
    on_timeout: OnTimeout | None = None
    respond_async: bool = False
    """The caller also said `Prefer: respond-async`."""
    hop: int = 0
    """Redirects that a long-poll caller has followed."""
    share: int = 0
    """Which share of a job that several calls share is this call's; 0 where there are no shares."""
    may_cancel: bool = False
    """Whether the job, or its share of it, is this call's to give up."""
    for_operator: bool = False
    """An operator of the gateway asks, whom the job's outcome does not concern."""


class Reply(msgspec.Struct, frozen=True):
    """An answer. Common headers (`Job-Id`, `Link`, ...) are added to every one by the web layer."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class OutcomeReply(msgspec.Struct, frozen=True):
    """The answer is the job's outcome, whose body the record does not hold."""


class ProblemReply(msgspec.Struct, frozen=True):
    """The answer is a problem of the gateway's own."""

    problem: Problem
    headers: Headers = ()


class Wait(msgspec.Struct, frozen=True):
    """Nothing to say yet: ask again when the record is newer, or at `until`."""

    until: int


class GiveUp(msgspec.Struct, frozen=True):
    """The call gives its job up: the job is asked to cancel on its behalf, and then the answer is one of these."""

    canceling: ProblemReply
    """It was asked for."""
    shared: ProblemReply
    """This call's share was given up, and others have not given up theirs."""
    going_on: ProblemReply
    """It could not be asked for, or it is not the time to."""


class Stream(msgspec.Struct, frozen=True):
    """The answer is the event stream of the job."""


Step = Reply | OutcomeReply | ProblemReply | Wait | GiveUp | Stream


class Renderer(Protocol):
    """Answers callers of one mode."""

    def __call__(self, job: Job, call: Call, now: int) -> Step:
        """Return the next step for this caller."""
        ...
