"""What a simulated tenant is like: every knob of the simulator, in frozen records.

Durations are float seconds. Where Orchestrator's behaviour is public (25 s legs, the 15-minute limit, bearer tokens
on every call), the default is Orchestrator's; where it is not public (whether Location is absolute, whether a result
can be read twice), both answers can be set, so that a client can be tried against each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ASYNC = "AsyncRequestReply"
LONG_POLLING = "LongPolling"
FORGET = "FireAndForget"
MODES = frozenset({ASYNC, LONG_POLLING, FORGET})
"""The call modes by the names that `$callMode` takes."""

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH"})
"""The verbs that a trigger can be configured with; PATCH belongs to coded functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What one trigger has of its own; None means: as the tenant's `Settings` say."""

    mode: str | None = None
    honour_call_mode: bool | None = None
    duration: float | None = None
    methods: frozenset[str] = METHODS


WEBHOOK_EVENTS = frozenset({"job.created", "job.started", "job.completed", "job.faulted", "job.stopped"})
"""The events of jobs that webhooks can be registered for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where events are posted, and which. Without a secret they are not signed.

    Raises ValueError for an event that there is none of, and for a URL that is not HTTP.
    """

    url: str
    secret: str | None = None
    events: frozenset[str] = WEBHOOK_EVENTS
    name: str = "webhook"

    def __post_init__(self) -> None:
        """Refuse what could never be delivered."""
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"a webhook's url is an http or https one, not {self.url!r}")
        if not self.events <= WEBHOOK_EVENTS:
            unknown = sorted(self.events - WEBHOOK_EVENTS)
            raise ValueError(f"a webhook's events are {sorted(WEBHOOK_EVENTS)}, not {unknown}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTraffic:
    """How webhooks are delivered, and what goes wrong with them. `…_every=n` is every n-th event of each; 0 is none."""

    signature: Literal["base64", "sha256=base64", "sha256=hex"] = "base64"
    """The form of X-UiPath-Signature; sources differ, and a receiver has to take them all."""
    timeout: float = 10.0
    """Seconds after which a delivery that was not answered has failed."""
    breaker: float = 3600.0
    """Seconds for which a failed delivery disables its webhook."""
    lose_every: int = 0
    """Events that are never sent."""
    double_every: int = 0
    """Events that are sent twice."""
    delay_every: int = 0
    """Events that come `delay` seconds late, so that later ones overtake them."""
    delay: float = 1.0
    forge_every: int = 0
    """Events whose signature is made with another secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A tenant with its API triggers.

    Raises ValueError when a mode, a location form or a rate is not one.
    """

    mode: str = ASYNC
    """The call mode of a trigger that neither its slug nor `triggers` gives another."""
    honour_call_mode: bool = True
    """Whether `$callMode`, in body or query, overrides the trigger's own mode."""
    duration: float = 1.0
    """How long a job runs when its arguments do not say."""
    triggers: Mapping[str, Trigger] | None = None
    """Triggers that differ, by slug."""
    unknown_slugs: frozenset[str] = frozenset({"missing"})
    """Slugs that have no trigger (404 with error code 1623) and no process. Every other slug has both."""
    folders: tuple[str, ...] = ("Shared",)
    """Folders that are listed before anybody has named them: fully qualified names, or keys."""

    leg: float = 25.0
    """How long one long-polling call is held before it is redirected."""
    sync_limit: float = 900.0
    """How long after its start a LongPolling job is waited for; then 504 with error code 4803, and the job goes on."""
    unique_legs: bool = True
    """Whether each redirect of a long poll names a new status URI, or always the same one."""
    retry_after_on_running: int | None = None
    """Seconds for a Retry-After on 202 and on the 200 of a running job; None sends none."""

    require_auth: bool = True
    """Whether calls need a bearer token at all."""
    require_auth_on_redirects: bool = True
    """The tenant's "Require Authentication header for sync API Triggers redirects"."""
    tokens: frozenset[str] | None = None
    """The bearer tokens that are accepted (else 401); None accepts any."""
    forbidden_tokens: frozenset[str] = frozenset()
    """Tokens that are valid but lack the scope: 403."""

    oauth_clients: Mapping[str, str] | None = None
    """Clients of the identity server, id and secret; then only tokens that it issued are good, and those in `tokens`.

    None is a tenant without one: any bearer token is good, or those in `tokens`."""
    oauth_scopes: frozenset[str] = frozenset({"OR.Default", "OR.Execution", "OR.Folders", "OR.Jobs", "OR.Webhooks"})
    """The scopes that a client may ask for (else `invalid_scope`), each with its `.Read` and `.Write`."""
    token_lifetime: int = 3600
    """Seconds that a token is good: its `expires_in`."""

    location: Literal["absolute", "relative"] = "absolute"
    """The form of every Location; relative ones start with a slash."""
    location_host: str | None = None
    """`host:port` to name in absolute Locations instead of the request's own Host."""
    foreign_origin: str = "http://foreign.invalid"
    """Scheme and host of the Location that the fault `foreign-location` gives."""

    read_once: bool = False
    """Whether an output URI answers 404 after its first read."""
    retention: float = 3600.0
    """How long after its end a job's URIs work and its record is kept."""
    max_arguments: int = 10_000
    """Characters of arguments from which a start is refused (500, 4801) and a Faulted job is left."""
    max_output: int = 512 * 1024
    """Bytes of output above which the answer is 200 with an empty body."""

    require_folder: bool = True
    """Whether calls to the Jobs API need a header that selects a folder (else 400 with error code 1101)."""
    list_limit: int | None = 100
    """How many lists of jobs a minute the tenant answers; one more is 429 with Retry-After. None sets no limit."""
    list_lag: float = 0.0
    """How long after its creation a job comes up in lists; by id and by key it is there at once."""
    max_inline_output: int = 10_000
    """Characters of output above which a job has an OutputFile (an attachment) and no OutputArguments."""
    stop_delay: float = 1.0
    """How long after a SoftStop a job ends, where its arguments do not say."""
    kill_delay: float = 0.1
    """How long after a Kill a job ends."""
    clock_skew: float = 0.0
    """Seconds by which the tenant's clock, in CreationTime and its like, is ahead of the machine's."""
    blob_host: str | None = None
    """`host:port` that attachments' blobs are read from, instead of the request's own Host."""

    webhooks: tuple[Webhook, ...] = ()
    """The webhooks that are registered from the start."""
    webhook_traffic: WebhookTraffic = WebhookTraffic()
    """How events are delivered to them."""

    cold_start: bool = False
    """Whether the first start of each slug is answered 500, with nothing started."""
    fault_rate: float = 0.0
    """Probability, for each start and each read, that one of `faults` happens to it."""
    faults: tuple[str, ...] = field(default=())
    """The faults to draw from at `fault_rate`: `name`, or `name@point` with start, status, leg or output."""
    seed: int = 0
    """Seeds the faults that are drawn, so that a run can be repeated."""
    stall: float = 300.0
    """How long a stalled call is held before its connection is cut."""

    def __post_init__(self) -> None:
        """Refuse what no tenant could be."""
        modes = {self.mode} | {t.mode for t in (self.triggers or {}).values() if t.mode is not None}
        if not modes <= MODES:
            raise ValueError(f"mode must be one of {sorted(MODES)}, not {sorted(modes - MODES)}")
        if self.location not in {"absolute", "relative"}:
            raise ValueError(f"location must be 'absolute' or 'relative', not {self.location!r}")
        if not 0.0 <= self.fault_rate <= 1.0:
            raise ValueError(f"fault_rate must be between 0 and 1, not {self.fault_rate!r}")


_MODE_BY_PREFIX = (("async", ASYNC), ("longpoll", LONG_POLLING), ("forget", FORGET))
_FIXED = "fixed-"


def trigger_of(settings: Settings, slug: str) -> Trigger:
    """Return the trigger behind `slug` with every field decided.

    The first that says something wins: `settings.triggers`, then the slug's own prefix (`async…`, `longpoll…`,
    `forget…`, after an optional `fixed-`, which makes the trigger ignore `$callMode`), then the settings.
    """
    own = (settings.triggers or {}).get(slug) or Trigger()
    fixed = slug.startswith(_FIXED)
    kind = slug.removeprefix(_FIXED)
    named = next((mode for prefix, mode in _MODE_BY_PREFIX if kind.startswith(prefix)), settings.mode)
    honour = settings.honour_call_mode and not fixed if own.honour_call_mode is None else own.honour_call_mode
    return Trigger(
        mode=own.mode or named,
        honour_call_mode=honour,
        duration=settings.duration if own.duration is None else own.duration,
        methods=own.methods,
    )
