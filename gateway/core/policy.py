"""What a route decides about its jobs: the settings that `plan`, the outcome rules and the renderers read.

All durations are milliseconds. A policy belongs to the configuration, never to the record: a job resumed under a
changed configuration follows the new one, except for its deadline and its expiry, which were promised.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.schedule import Schedule

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class OnTimeout(enum.StrEnum):
    """What a wait that runs out means to the caller."""

    ACCEPT = "accept"
    """202 with the job's URLs."""
    REDIRECT = "redirect"
    """A redirect to the wait URI."""
    FAIL = "fail"
    """504 `wait-timeout` with the job's URLs."""
    CANCEL = "cancel"
    """504, and the job is canceled where there is a way; else `FAIL`."""


class OnDisconnect(enum.StrEnum):
    """What becomes of the job of a blocked caller that goes away."""

    LEAVE = "leave"
    """It goes on."""
    CANCEL = "cancel"
    """It is canceled."""


class LongPolls(enum.StrEnum):
    """Where upstream mode `auto` may choose to long-poll."""

    SAFE = "safe"
    """Where a start whose first leg is lost can be found, or may be repeated."""
    ON = "on"
    OFF = "off"


class SameCall(enum.StrEnum):
    """What must be equal for two calls of a route to be one."""

    CALLER = "caller"
    ARGUMENTS = "arguments"


class Deduplicate(msgspec.Struct, frozen=True):
    """A call that repeats another within `window` (ms) of it is answered with that one's job."""

    window: int
    by: frozenset[SameCall] = frozenset(SameCall)


class Binding(msgspec.Struct, frozen=True):
    """What a route is bound to in Orchestrator besides its path: what the Jobs API needs to start and find its jobs."""

    api: bool = False
    """Whether the gateway may use the Jobs API."""
    folder: str | None = None
    """The folder's key, or its fully qualified name; None: the one that the trigger's path names."""
    slug: str | None = None
    """The trigger's path in its folder."""
    process: str | None = None
    """The name of the process that mode `Jobs` starts."""
    release: str | None = None
    """Its release's key (GUID), instead of the name."""
    trigger: str | None = None
    """The trigger's GUID; None: looked up by its path."""
    correlation: str | None = None
    """The in-argument that carries the job's id, so that the job of a start whose answer was lost can be told."""
    repeated: bool = False
    """Its starts may be repeated (`idempotent`): of several jobs that carry one id, any is the job."""

    @property
    def startable(self) -> bool:
        """Whether it names what mode `Jobs` starts."""
        return self.process is not None or self.release is not None


class Pace(msgspec.Struct, frozen=True):
    """What is known of how long a route's jobs take, for planning reads of the status URI."""

    typical: int | None = None
    """A usual duration of the route's jobs, where somebody knows."""
    floor: int = 100
    """No two reads of one job are closer than this."""
    ceiling: int = 15 * SECOND
    """No two reads of one job are further apart, unless the upstream asks for it."""
    learn: bool = True
    """Whether reads are planned by how long the route's jobs took."""
    learned: Schedule | None = None
    """What they have told so far."""
    stretch: int = 1
    """By how much reads are further apart than planned, the ceiling too: something else tells of ends."""


class Policy(msgspec.Struct, frozen=True):
    """A route's decisions, complete with defaults."""

    upstream_mode: UpstreamMode | None = UpstreamMode.ASYNC
    """What the start asks for; None injects no `$callMode`: the trigger answers in its own mode."""
    auto: bool = False
    """Each start asks for what is best at its moment (`choosing`); `upstream_mode` is then what is always right."""
    auto_long_poll: LongPolls = LongPolls.SAFE
    """Where that may be a long poll."""
    caller_mode: CallerMode | None = CallerMode.SYNC
    """For callers who do not say; None answers in whichever mode the trigger itself answered."""
    allowed_modes: frozenset[CallerMode] = frozenset(CallerMode)
    pace: Pace = Pace()
    wait: int = 15 * MINUTE
    """How long a sync caller is held."""
    hold: int = 25 * SECOND
    """How long a long-poll caller is held before each redirect."""
    max_hops: int = 20
    """Redirects of one long-poll caller before its wait counts as run out."""
    on_timeout: OnTimeout | None = None
    """None: 504 to a plain sync caller, 202 to one that also said `respond-async`."""
    redirect_status: int = 303
    running_status: int = 200
    start_wait: int = 2 * SECOND
    """How long an accepting mode waits for the upstream's answer to the start."""
    start_timeout: int = 30 * SECOND
    """A start unanswered for this long is ambiguous."""
    start_max_idle: int = 2 * SECOND
    """A start never goes out on a connection that has idled longer."""
    start_retry: int = 0
    """For how long after acceptance a start that certainly did not run is tried again; 0: the failure is answered."""
    read_timeout: int = 30 * SECOND
    upstream_hold: int = 25 * SECOND
    """How long the upstream holds a leg of its long-poll."""
    hold_margin: int = 10 * SECOND
    """How much longer than its hold a leg may take."""
    deadline: int = 24 * HOUR
    """A job that has not ended this long after acceptance is failed by the gateway."""
    retention: int = 24 * HOUR
    """How long an ended job and its outcome are kept."""
    refused_retention: int = 5 * MINUTE
    """The same for a start that was refused."""
    tombstone: int = 30 * DAY
    """For how long after that its URLs answer 410."""
    unknown_ttl: int = 72 * HOUR
    """How long an `unknown` job waits for a verdict."""
    reconcile_wait: int = 0
    """How long blocked callers wait for the verdict; 0 where nothing can reconcile."""
    idempotent: bool = False
    """Running a job of this route twice does no harm, so an ambiguous start may be sent again within `start_retry`."""
    deduplicate: Deduplicate | None = None
    """Taking a repeated call for the same one, for callers that send no `Idempotency-Key`."""
    coalesce: bool = False
    """Equal calls share one job while it runs; it is canceled when the last of them asks for that."""
    on_disconnect: OnDisconnect = OnDisconnect.LEAVE
    cancel_after: int | None = None
    """How long after acceptance a job that has not ended is canceled."""
    kill_after: int = 30 * SECOND
    """How long after it was asked to stop a job that has not is killed."""
    binding: Binding = Binding()
    callback_url: str | None = None
    """Where outcomes go when a callback caller names no URL."""
    callback_secrets: tuple[str, ...] = ()
    """What signs deliveries of the route's outcomes (`whsec_` and base64), newest first; else the gateway's secrets."""
    track: bool = True
    """False: forget callers only; the upstream's answer is relayed and no record is made."""
