"""What happened, as it is written down: one JSON line each, times in seconds of the machine's monotonic clock.

Every exchange is two lines, `invoke` and `complete`, so that one which was never answered can be told from one which
was never sent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO

import msgspec

DEDUPLICATED = "again"
"""The route that takes equal calls of one caller for one call."""

REDIS = -1
"""The target of a fault that all replicas suffer."""


class Call(msgspec.Struct, frozen=True, tag="call"):
    """One client's wish: one job. `call` is its correlation tag, unique, and comes back in the job's output."""

    call: str
    at: float
    mode: str
    route: str
    method: str
    token: str
    """Which of the two callers: `a` or `b`."""
    key: str | None
    """Its Idempotency-Key, or the id that it chose for its job."""
    duration: float
    fault: str | None = None
    """What the simulator does to it: `name@point`."""
    chosen: bool = False
    """Whether the key is the job's chosen id."""
    cancel: bool = False
    """Whether the client asks for the job to be canceled."""

    @property
    def repeatable(self) -> bool:
        """Whether the client may send it again: by its key, or since its route takes equal calls for one."""
        return self.key is not None or self.route == DEDUPLICATED


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A client is done with its call."""

    call: str
    at: float
    how: str
    """`outcome`, `pointer` (it knows the job), `refused` (told that nothing ran), or `nothing` (it heard nothing)."""
    job: str | None = None
    why: str = ""


class Invoke(msgspec.Struct, frozen=True, tag="invoke"):
    """A request goes out."""

    n: int
    call: str
    road: str
    """`start`, `cancel`, or a way to read: `monitor`, `poll`, `wait`, `result`, `events`, `replay`, `stranger`."""
    replica: int
    at: float
    may_take: float
    """Seconds for which the gateway may hold it by contract."""
    final: bool = False
    """Whether all was healed before it."""
    job: str | None = None
    """The job that is asked for, where there is one."""
    last_event: int | None = None


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    id: int
    name: str
    data: str


class Complete(msgspec.Struct, frozen=True, tag="complete"):
    """What came back: an answer, or `error`; with a `status` as well, an answer that was cut short."""

    n: int
    at: float
    status: int | None = None
    job: str | None = None
    job_status: str | None = None
    replayed: bool = False
    location: str | None = None
    problem: str | None = None
    retryable: bool = False
    body: str = ""
    """Its bytes, as Latin-1."""
    events: tuple[Event, ...] = ()
    error: str | None = None


class Repeated(msgspec.Struct, frozen=True, tag="repeated"):
    """An exchange at the end was answered 503, on a busy machine, and is made once more."""

    n: int


class Delivered(msgspec.Struct, frozen=True, tag="callback"):
    """A callback arrived. `stored`: the job's state in the store at that moment, None where that could not be seen."""

    at: float
    call: str
    job: str
    webhook_id: str
    status: int
    body: str
    stored: str | None
    answered: int


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """Something was done to a replica, or to the store (`target` is `REDIS`), from `at` until `until`."""

    kind: str
    target: int
    at: float
    until: float
    detail: str = ""


class Unwell(msgspec.Struct, frozen=True, tag="unwell"):
    """A replica did not answer its probe promptly, for whatever reason."""

    target: int
    at: float
    until: float


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """A record of a job as it was written into the store, in the order of the writes."""

    at: float
    job: str
    revision: int
    state: str


class Record(msgspec.Struct, frozen=True, tag="record"):
    """The store's record of a job at the end."""

    job: str
    state: str
    revision: int
    route: str
    error: str | None
    status: int | None
    """Of the outcome."""
    refused: bool
    frees_key: bool
    callback: bool
    created: int
    finished: int | None
    body: str | None
    """The outcome's bytes, as Latin-1; None where they are not kept."""


class Upstream(msgspec.Struct, frozen=True, tag="upstream"):
    """What the simulator counted for one call."""

    call: str
    starts: int
    jobs: int
    reads: int
    lasted: float
    """Seconds from the job's start to its last read or end, as far as is known."""


class Leftover(msgspec.Struct, frozen=True, tag="leftover"):
    """Something that must not be there at the end."""

    what: str
    detail: str


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """A turn of the run itself: `healed`, `quiet`."""

    at: float
    what: str


Line = (
    Call
    | Ended
    | Invoke
    | Complete
    | Repeated
    | Delivered
    | Fault
    | Unwell
    | Seen
    | Record
    | Upstream
    | Leftover
    | Mark
)

_decoder = msgspec.json.Decoder(Line)


class History:
    """The lines so far, and the file that they are in."""

    def __init__(self, path: Path) -> None:
        self.lines: list[Line] = []
        self._encoder = msgspec.json.Encoder()
        self._file: IO[bytes] = path.open("ab")
        self._exchanges = 0

    @staticmethod
    def now() -> float:
        """Return the time of what is written now."""
        return asyncio.get_running_loop().time()

    def number(self) -> int:
        """Return the number of a new exchange."""
        self._exchanges += 1
        return self._exchanges

    def add(self, line: Line) -> None:
        """Write `line` down."""
        self.lines.append(line)
        self._file.write(self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[Line]:
    """Return the lines of a file."""
    with path.open("rb") as file:
        return [_decoder.decode(line) for line in file]
