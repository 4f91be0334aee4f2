"""What can happen to a job: plain frozen data. `states.py` says where each leads, `apply.py` what it changes."""

from __future__ import annotations

import msgspec

from gateway.core.errors import UpstreamAmbiguous
from gateway.core.job import Leg, Outcome, StopStrategy
from gateway.core.modes import UpstreamMode


class StartIntended(msgspec.Struct, frozen=True):
    """The start is about to be sent. Saved before its first byte."""


class StartPostponed(msgspec.Struct, frozen=True):
    """The start will be tried again at `at`: it certainly did not run, or running it twice does no harm."""

    at: int
    why: str
    code: str | None = None
    """The problem code of a try that may have run."""


class StartRefused(msgspec.Struct, frozen=True):
    """The start was answered with an error, or never got out: nothing runs."""

    outcome: Outcome
    frees_key: bool
    """Whether it is certain that nothing ran (a job's own outcome cannot look like this)."""
    hint: int = 0
    """Milliseconds that the upstream asked to wait before another try, or 0."""


class StartAmbiguous(msgspec.Struct, frozen=True):
    """The start may have run. It is never sent again."""

    why: str
    code: str = UpstreamAmbiguous.code


class Followed(msgspec.Struct, frozen=True):
    """The upstream accepted the start and gave a URI to follow."""

    mode: UpstreamMode
    leg: Leg
    key: str | None = None
    """The job's key in Orchestrator, where it was told."""


class Dispatched(msgspec.Struct, frozen=True):
    """The upstream accepted the start and will say no more."""


class StillRunning(msgspec.Struct, frozen=True):
    """The upstream says that the job runs. `hint`: milliseconds it asked to wait, or 0."""

    hint: int = 0
    ago: int = 0
    """How long ago it said so, in milliseconds."""


class Redirected(msgspec.Struct, frozen=True):
    """The upstream named the next URI to read."""

    leg: Leg
    redirects: int = 0
    """Redirects in a row, this one included, that brought the job no further: they are bounded."""


class ReadFailed(msgspec.Struct, frozen=True):
    """A read gave nothing that can be an outcome; it will be repeated. `hint`: milliseconds to wait, or 0."""

    why: str
    hint: int = 0
    unauthorized: bool = False
    """The upstream refused the credential."""


class Lost(msgspec.Struct, frozen=True):
    """A job that was followed cannot be followed on, for instance to a host that is not allowed."""

    why: str
    code: str


class Ended(msgspec.Struct, frozen=True):
    """The upstream gave the job's outcome."""

    outcome: Outcome
    mode: UpstreamMode | None = None
    """Set where the start itself was answered with the outcome."""


class GaveUp(msgspec.Struct, frozen=True):
    """The gateway makes an end: a passed deadline, an outcome that cannot be read."""

    outcome: Outcome


class NoVerdict(msgspec.Struct, frozen=True):
    """Asking Orchestrator what became of an `unknown` job did not tell. `hint`: milliseconds to wait, or 0."""

    why: str
    hint: int = 0


class Located(msgspec.Struct, frozen=True):
    """The job's key in Orchestrator was found."""

    key: str


class StopSent(msgspec.Struct, frozen=True):
    """The upstream has accepted the request to stop the job. Whether it stops, its end will tell."""

    strategy: StopStrategy


class StopFailed(msgspec.Struct, frozen=True):
    """The upstream was not reached with, or did not accept, a request to stop the job. `hint` as in `NoVerdict`."""

    why: str
    hint: int = 0


class CancelRequested(msgspec.Struct, frozen=True):
    """Somebody entitled asked for the job to be canceled."""


class Canceled(msgspec.Struct, frozen=True):
    """The cancel took effect."""

    outcome: Outcome


class VerdictMissed(msgspec.Struct, frozen=True):
    """An `unknown` job got no verdict in time."""


Event = (
    StartIntended
    | StartPostponed
    | StartRefused
    | StartAmbiguous
    | Followed
    | Dispatched
    | StillRunning
    | Redirected
    | ReadFailed
    | Lost
    | NoVerdict
    | Located
    | StopSent
    | StopFailed
    | Ended
    | GaveUp
    | CancelRequested
    | Canceled
    | VerdictMissed
)
