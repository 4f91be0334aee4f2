"""The keys of routes, and of the policies that they have in common: see `model.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from gateway.config import kinds as k
from gateway.config.keys import LIST, Keys
from gateway.core.modes import CallerMode
from gateway.core.policy import SECOND, Policy, SameCall
from gateway.web.settings import Route

_POLICY = Policy()
_ROUTE = Route(name="", path="", trigger="")

RECONCILE_WAIT = 30 * SECOND
"""`reconcile_wait` where jobs can be found again: until then most are."""

ROUTE_START_RETRY = 60 * SECOND
"""`start_retry` of configured routes: their callers wait for an outcome, where pass-through relays each answer."""


class DeduplicateKeys(Keys):
    """Taking a repeated call for the same one, for callers that send no Idempotency-Key."""

    window: k.Positive
    """A call that repeats another within this time of it is answered with that one's job."""
    by: Annotated[tuple[k.SameCallName, ...], LIST, Field(min_length=1)] = tuple(SameCall)
    """What makes two calls of a route one."""


class PolicyKeys(Keys):
    """What a route decides about its jobs."""

    upstream_mode: k.UpstreamModeName = _POLICY.upstream_mode
    """The call mode asked of the trigger; trigger: ask for none, take its own; Jobs: start by the Jobs API instead.
    auto: what is best at each moment; of a route that names a process and no trigger, Jobs."""
    auto_long_poll: k.LongPollsName = _POLICY.auto_long_poll
    """Whether auto may hold a connection for a short job: safe, if a start lost with it is found or may be repeated."""
    caller_mode: k.CallerModeName = _POLICY.caller_mode
    """For callers who name no mode; upstream: answer in whichever mode the trigger did."""
    modes: Annotated[tuple[k.AllowedMode, ...], LIST, Field(min_length=1)] = tuple(
        mode for mode in CallerMode if mode in _POLICY.allowed_modes
    )
    """The modes that callers may choose."""
    typical: k.Positive | None = None
    """How long jobs usually take, where somebody knows; polls are planned from it until they have told themselves."""
    poll_floor: k.Positive = _POLICY.pace.floor
    """No two reads of one job's status are closer than this."""
    poll_ceiling: k.Positive = _POLICY.pace.ceiling
    """No two are further apart, unless the upstream asks for it."""
    learn: k.Switch = _POLICY.pace.learn
    """Plan polls by how long the route's jobs took, as soon as a dozen have ended; off: by age and typical alone."""
    wait: k.Duration = _POLICY.wait
    """How long a sync caller is held."""
    hold: k.Positive = _POLICY.hold
    """How long a long-poll caller is held before each redirect."""
    max_hops: k.Count = _POLICY.max_hops
    """Redirects of one long-poll caller before its wait counts as run out."""
    on_timeout: k.OnTimeoutName | None = None
    """A wait that runs out: accept (202), redirect (to the wait URI), fail (504), cancel (the job; else fail)."""
    redirect_status: k.RedirectStatus = _POLICY.redirect_status
    """Of redirects to the wait URI and the result: 303, or 302 for clients that know no other."""
    running_status: k.RunningStatus = _POLICY.running_status
    """Of the poll URI while the job runs: 200, or 202."""
    start_wait: k.Duration = _POLICY.start_wait
    """How long accepting modes wait for the upstream's answer to the start."""
    start_timeout: k.Positive = _POLICY.start_timeout
    """A start unanswered for this long may have run or not: it is never sent again."""
    start_max_idle: k.Duration = _POLICY.start_max_idle
    """A start never goes out on a connection that has idled longer."""
    start_retry: k.Duration = _POLICY.start_retry
    """For how long a start that certainly did not run is tried again; 0: never. Routes: 60s, at most their wait."""
    read_timeout: k.Positive = _POLICY.read_timeout
    """How long a read of a job's status or output may take."""
    upstream_hold: k.Positive = _POLICY.upstream_hold
    """How long the upstream holds a leg of its long-poll."""
    hold_margin: k.Duration = _POLICY.hold_margin
    """How much longer than its hold a leg may take."""
    deadline: k.Positive = _POLICY.deadline
    """A job that has not ended by then is failed by the gateway."""
    retention: k.Positive = _POLICY.retention
    """How long an ended job and its outcome are kept."""
    refused_retention: k.Positive = _POLICY.refused_retention
    """The same for a start that was refused."""
    tombstone: k.Positive = _POLICY.tombstone
    """For how long after that the job's URLs answer 410."""
    unknown_ttl: k.Positive = _POLICY.unknown_ttl
    """How long a job whose start is in doubt waits for a verdict."""
    reconcile_wait: k.Duration = _POLICY.reconcile_wait
    """How long blocked callers wait for that verdict; 30s where jobs can be found again (mode Jobs, correlation)."""
    folder: k.Text | None = None
    """The folder's key or fully qualified name; by default the one that the trigger's path names."""
    correlation: k.Text | None = None
    """An in-argument of the process that the gateway puts its job id into, to find jobs again; needs the Jobs API."""
    idempotent: k.Switch = _POLICY.idempotent
    """Running a job twice does no harm: a start that may have run or not is sent again within start_retry."""
    deduplicate: DeduplicateKeys | None = None
    """Taking a repeated call for the same one."""
    coalesce: k.Switch = _POLICY.coalesce
    """Equal calls share one job while it runs."""
    on_disconnect: k.OnDisconnectName = _POLICY.on_disconnect
    """The job of a blocked caller that goes away: leave it, or cancel it."""
    cancel_after: k.Positive | None = None
    """A job that has not ended this long after acceptance is canceled."""
    kill_after: k.Duration = _POLICY.kill_after
    """A job that has not ended this long after it was asked to stop is killed."""
    callback_url: k.ReceiverUrl | None = None
    """Where outcomes go when a callback caller names no URL."""
    callback_secrets: Annotated[tuple[k.WebhookSecret, ...], LIST] = ()
    """What signs deliveries of the route's outcomes instead of the secrets of callbacks, newest first."""
    track: k.Switch = _POLICY.track
    """off: callers of mode forget only; the upstream's answer is relayed and no record is made."""


class RouteKeys(PolicyKeys):
    """A path of the gateway bound to one trigger or process, and what differs from the defaults."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [key]} for key in ("trigger", "process", "release")]}
    )

    path: k.GatewayPath
    """The gateway's path: /invoices"""
    trigger: k.TriggerPath | None = None
    """The trigger's path below upstream.url: /t/<folder>/<slug>"""
    trigger_id: k.Guid | None = None
    """The trigger's id, for finding its jobs; by default it is looked up by its path."""
    process: k.Text | None = None
    """The process that mode Jobs starts, instead of a trigger."""
    release: k.Guid | None = None
    """Its release's key, instead of its name."""
    name: k.Name | None = None
    """What records, logs and traces call the route; by default its path without the first slash."""
    methods: Annotated[tuple[k.Method, ...], LIST, Field(min_length=1)] = tuple(sorted(_ROUTE.methods))
    """The methods that the trigger has."""
    cors: Annotated[tuple[k.Origin, ...], LIST] = ()
    """Origins that browsers may call from; * for any."""
