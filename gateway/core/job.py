"""The job record: everything that any replica needs to go on with a job, except the outcome's body and the secrets.

The record is the program counter. It is stored as MessagePack by `store/codec.py`; fields are only ever added, with a
default, and `schema` tells a replica of another version to leave a record alone.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.core.exchange import Headers
from gateway.core.modes import CallerMode, UpstreamMode

SCHEMA = 1


class State(enum.StrEnum):
    """A job's state. The table of what leads where is `states.py`."""

    ACCEPTED = "accepted"
    STARTING = "starting"
    RUNNING = "running"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    DISPATCHED = "dispatched"
    EXPIRED = "expired"

    terminal: bool
    """Whether a job in this state never changes again."""

    # Enum's own is a Python function, and jobs' tables are keyed by state.
    __hash__ = str.__hash__


for _state in State:
    _state.terminal = _state in {State.SUCCEEDED, State.FAILED, State.CANCELED, State.DISPATCHED, State.EXPIRED}


class LegKind(enum.StrEnum):
    """What a followed URI means."""

    STATUS = "status"
    """Async polling's status URI: 200 is "still running"."""
    HOLD = "hold"
    """Long-polling's status URI: held, then a redirect or the outcome."""
    OUTPUT = "output"
    """The output URI: whatever it answers is the outcome."""
    JOB = "job"
    """The job in the Jobs API, by its key: its state, and with the last one the outcome."""


class StopStrategy(enum.StrEnum):
    """How Orchestrator is asked to stop a job: its own words."""

    SOFT = "SoftStop"
    """The process sees that it should stop, and does when it can."""
    KILL = "Kill"


class Stopping(msgspec.Struct, frozen=True):
    """How far the stopping of a job has come."""

    at: int
    """When the last request to stop it was answered, or failed; then with the wait that the upstream asked for."""
    sent: StopStrategy | None = None
    """What the upstream has accepted; effective is only the job's end."""
    failures: int = 0
    """Requests that failed in a row."""


class KeyScope(enum.StrEnum):
    """For how long another call with the job's key is a repetition of this one."""

    CALL = "call"
    """An idempotency key: as long as anything of the job is remembered."""
    WINDOW = "window"
    """Until `key_until`."""
    RUN = "run"
    """While the job lives, and until `key_until`."""


class Leg(msgspec.Struct, frozen=True):
    """The URI to read next, exactly as the upstream gave it, made absolute."""

    kind: LegKind
    url: str
    folder: str | None = None
    """The key of the job's folder, which a read in the Jobs API has to name."""


class OutcomeHead(msgspec.Struct, frozen=True):
    """An outcome without its body, which is stored apart."""

    status: int
    headers: Headers = ()
    size: int = 0
    problem: str | None = None
    """The problem code, where the gateway and not the upstream made this end."""


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: status, end-to-end headers and body as the upstream gave them."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    problem: str | None = None
    """The problem code of an end that the gateway made; such an outcome has no body, each caller's is rendered."""
    detail: str | None = None
    """In words, with `problem`."""

    @property
    def head(self) -> OutcomeHead:
        """The part of it that the record keeps."""
        return OutcomeHead(self.status, self.headers, len(self.body), self.problem)


class Progress(msgspec.Struct, frozen=True):
    """What changes with every read: kept by the follower, saved only along with something that matters."""

    read_at: int = 0
    """When the last upstream answer (or failure) came."""
    hint: int = 0
    """How long the upstream asked to wait before the next read (Retry-After)."""
    failures: int = 0
    """Reads that failed in a row."""
    attempts: int = 0
    """Upstream calls so far, starts included."""
    trouble: str | None = None
    """Why the last read failed."""


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One execution. Times are milliseconds of the store's clock."""

    id: str
    route: str
    principal: str
    """A keyed hash of who started it."""
    token: str
    """A keyed hash of the credential that started it."""
    mode: CallerMode | None
    """The mode its starter was answered in; None: the trigger's own."""
    asked: UpstreamMode | None
    """What the start asked the trigger for."""
    created: int
    deadline: int
    schema: int = SCHEMA
    state: State = State.ACCEPTED
    revision: int = 1
    """Grows by one with every saved change; the fence of every save."""
    observed: UpstreamMode | None = None
    """How the trigger answered."""
    leg: Leg | None = None
    not_before: int = 0
    """The start must not go out earlier."""
    changed: int = 0
    """When the state last changed."""
    started: int | None = None
    """When the upstream accepted the start."""
    finished: int | None = None
    redirects: int = 0
    """Redirects followed in a row that brought the job no further: moved URIs, and output URIs among themselves."""
    refused: bool = False
    """The upstream refused the start: nothing runs."""
    frees_key: bool = False
    """The start certainly did not run, so its idempotency key may be used again."""
    cancel_requested: bool = False
    cancel_at: int | None = None
    """When it is to be canceled if it has not ended."""
    stopping: Stopping | None = None
    """Set once the upstream was asked to stop it."""
    intended: int | None = None
    """When its start was last about to be sent."""
    upstream_key: str | None = None
    """The key (GUID) that it has in Orchestrator, where that is known."""
    message: str | None = None
    """In words, why the job is where it is. No secrets."""
    error: str | None = None
    """The problem code of an `unknown` job, or of an end that the gateway made."""
    outcome: OutcomeHead | None = None
    key: str | None = None
    """The keyed hash of what tells a repetition of its call: an idempotency key, or the call itself."""
    fingerprint: str = ""
    """A keyed hash of method, target and arguments: two calls with one key must have the same."""
    key_scope: KeyScope = KeyScope.CALL
    key_until: int = 0
    """When the key stops to tell repetitions, for the scopes that end."""
    callback_url: str | None = None
    subject: bytes = b""
    """Sealed: who is called back, as the secrets that sign for them are derived from it."""
    origin: str = ""
    """What job URLs begin with for its starter: scheme and authority, no path."""
    trace: str | None = None
    """The caller's `traceparent` (W3C Trace Context)."""
    progress: Progress = Progress()

    @property
    def start_answered(self) -> bool:
        """Whether the start request itself is of no more use."""
        return self.state is not State.ACCEPTED and self.state is not State.STARTING

    def with_(self, **changes: object) -> Job:
        """Return a copy with `changes`."""
        return msgspec.structs.replace(self, **changes)
