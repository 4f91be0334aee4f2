"""The configuration file as people write it: every key, its kind, its default and what it is for.

Defaults are those of the settings that the packages declare; no number stands here a second time. The texts below the
keys are their descriptions in the JSON Schema and in errors.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.config import kinds as k
from gateway.core.modes import CallerMode
from gateway.core.policy import SECOND, Policy, SameCall
from gateway.observability.settings import LogSettings
from gateway.store.settings import StoreSettings
from gateway.upstream.settings import JobsApiSettings, UpstreamSettings
from gateway.web.settings import Route, WebSettings
from gateway.worker.settings import CallbackSettings, WorkerSettings

_UPSTREAM = UpstreamSettings(url="")
_STORE = StoreSettings()
_WEB = WebSettings()
_WORKER = WorkerSettings()
_CALLBACKS = CallbackSettings()
_LOG = LogSettings()
_POLICY = Policy()
_ROUTE = Route(name="", path="", trigger="")
_JOBS_API = JobsApiSettings()

RECONCILE_WAIT = 30 * SECOND
"""`reconcile_wait` where jobs can be found again: until then most are."""

ROUTE_START_RETRY = 60 * SECOND
"""`start_retry` of configured routes: their callers wait for an outcome, where pass-through relays each answer."""

DRAIN_NOTICE = 5 * SECOND
"""`drain_notice` of replicas: a load balancer that asks every two seconds has noticed after two failures."""

_LIST = Field(strict=False)  # YAML has lists, the settings tuples


class Keys(BaseModel):
    """Some keys of the file. Types are strict, unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class OAuthKeys(Keys):
    """OAuth client credentials: an external application of Orchestrator's, of application scope."""

    client_id: k.Text
    """The application's id."""
    client_secret: k.Text
    """Its secret: ${env:NAME} or ${file:path}."""
    scope: k.Text | None = None
    """What tokens are asked for, such as OR.Default, or OR.Jobs OR.Folders.Read."""
    token_url: k.HttpUrl | None = None
    """Where tokens are had; by default Orchestrator's own place for them."""
    authority: k.HttpUrl | None = None
    """An identity server to ask for it instead (OpenID discovery)."""
    tenant: k.Name | None = None
    """The tenant's name, which a standalone Orchestrator asks for."""


class JobsApiKeys(Keys):
    """The Jobs API: mode Jobs, finding jobs whose start is in doubt, and canceling."""

    bearer: k.Bearer | None = None
    """A credential for it alone; by default the upstream's, else each caller's own."""
    oauth: OAuthKeys | None = None
    """The same by OAuth."""
    calls_per_minute: k.Count = _JOBS_API.calls_per_minute
    """Lists of jobs that all replicas together ask for; Orchestrator allows 100 a minute to a whole tenant."""


class UpstreamKeys(Keys):
    """Where Orchestrator is and how to speak to it."""

    url: k.UpstreamUrl
    """The base of Orchestrator's API: https://cloud.uipath.com/<org>/<tenant>/orchestrator_"""
    bearer: k.Bearer | None = None
    """The gateway's own credential. Without it, each caller's own bearer goes upstream."""
    oauth: OAuthKeys | None = None
    """The same by OAuth client credentials."""
    jobs_api: Annotated[JobsApiKeys, k.Switchable()] | None = None
    """The use of the Jobs API: on, or its keys."""
    allowed_hosts: Annotated[tuple[k.HostPattern, ...], _LIST] = ()
    """Hosts besides its own (host, host:port, *.domain) that its Locations and downloads may name."""
    connect_timeout: k.Positive = _UPSTREAM.connect_timeout
    """How long connecting may take."""
    idle_timeout: k.Positive = _UPSTREAM.idle_timeout
    """A pooled connection idle for longer is closed."""
    ca_file: k.FilePath | None = None
    """A PEM file of certificates to trust instead of the system's."""


class StoreKeys(Keys):
    """Where jobs are kept."""

    url: k.StoreUrl | None = None
    """A Redis or Valkey that replicas share: redis://, redis+sentinel://, redis+cluster://, rediss… for TLS, unix://.
    Without it, the gateway runs an embedded server in data_dir."""
    username: k.Text | None = None
    """The ACL user, where url names none."""
    password: k.Text | None = None
    """Its password, or the default user's."""
    sentinel_username: k.Text | None = None
    """The Sentinels' ACL user."""
    sentinel_password: k.Text | None = None
    """Its password, or their default user's."""
    ca_file: k.FilePath | None = None
    """A PEM file of certificates to trust for TLS instead of the system's."""
    cert_file: k.FilePath | None = None
    """A PEM file with the certificate to show to servers that ask for one."""
    key_file: k.FilePath | None = None
    """Its private key, where cert_file does not hold it."""
    data_dir: k.FilePath | None = None
    """The embedded server's directory; by default $XDG_STATE_HOME/callmode."""
    durability: k.Durability = _STORE.durability
    """memory: as the store is set up; disk: refuse a store that does not say `appendfsync always`."""
    wait_replicas: k.Number = _STORE.wait_replicas
    """A write counts only once so many of the server's replicas have it; too few, and the store counts as down."""
    wait_timeout: k.Positive = _STORE.wait_timeout
    """How long they may take for it."""
    prefix: k.KeyPrefix = _STORE.prefix
    """What every key in the store begins with."""
    lease: k.Positive = _STORE.lease
    """Within this time of a replica's death the others follow its jobs."""
    timeout: k.Positive = _STORE.timeout
    """How long one command may take."""
    answer_unsaved: k.Duration = _WORKER.answer_unsaved
    """A blocked caller is answered from memory when saving takes longer than this."""


class LimitKeys(Keys):
    """Sizes and counts beyond which the gateway refuses."""

    body: k.Size = _WEB.max_body
    """A caller's body."""
    answer: k.Size = _UPSTREAM.max_answer
    """An answer of the upstream."""
    connections: k.Count = _UPSTREAM.max_connections
    """Connections to the upstream at once."""


class CallbackKeys(Keys):
    """Who may be called back. Off while allow is empty."""

    allow: Annotated[tuple[k.ReceiverPattern, ...], _LIST] = _CALLBACKS.allow
    """Hosts (host, host:port, *.domain) and networks that outcomes may be delivered to."""
    secret: k.WebhookSecret | None = None
    """What signs deliveries (Standard Webhooks)."""
    secrets: Annotated[tuple[k.WebhookSecret, ...], _LIST] = _CALLBACKS.secrets
    """Several, newest first, to change from one to the next: each delivery is signed with all. Without any, each
    caller has secrets of its own, which it reads at /-/callbacks/secret."""
    timeout: k.Positive = _CALLBACKS.timeout
    """How long one delivery may take."""
    insecure: k.Switch = _CALLBACKS.insecure
    """Deliver to http: receivers too."""


class HookKeys(Keys):
    """Orchestrator's own webhooks, which only have the jobs that they tell of looked at sooner."""

    secrets: Annotated[tuple[k.Text, ...], _LIST] = _WEB.hook_secrets
    """What Orchestrator signs them with, one secret or several; without any, /-/hooks/orchestrator takes none."""


class LogKeys(Keys):
    """The log, which goes to standard error."""

    format: k.LogFormat = _LOG.format
    """json, console, or auto: console on a terminal."""
    level: k.LogLevel = _LOG.level
    """The least that is logged: debug, info, warning or error."""


class DeduplicateKeys(Keys):
    """Taking a repeated call for the same one, for callers that send no Idempotency-Key."""

    window: k.Positive
    """A call that repeats another within this time of it is answered with that one's job."""
    by: Annotated[tuple[k.SameCallName, ...], _LIST, Field(min_length=1)] = tuple(SameCall)
    """What makes two calls of a route one."""


class PolicyKeys(Keys):
    """What a route decides about its jobs."""

    upstream_mode: k.UpstreamModeName = _POLICY.upstream_mode
    """The call mode asked of the trigger; trigger: ask for none, take its own; Jobs: start by the Jobs API instead."""
    caller_mode: k.CallerModeName = _POLICY.caller_mode
    """For callers who name no mode; upstream: answer in whichever mode the trigger did."""
    modes: Annotated[tuple[k.AllowedMode, ...], _LIST, Field(min_length=1)] = tuple(
        mode for mode in CallerMode if mode in _POLICY.allowed_modes
    )
    """The modes that callers may choose."""
    typical: k.Positive | None = None
    """How long jobs usually take, where somebody knows; polls are planned from it."""
    poll_floor: k.Positive = _POLICY.pace.floor
    """No two reads of one job's status are closer than this."""
    poll_ceiling: k.Positive = _POLICY.pace.ceiling
    """No two are further apart, unless the upstream asks for it."""
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
    callback_secrets: Annotated[tuple[k.WebhookSecret, ...], _LIST] = ()
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
    methods: Annotated[tuple[k.Method, ...], _LIST, Field(min_length=1)] = tuple(sorted(_ROUTE.methods))
    """The methods that the trigger has."""
    cors: Annotated[tuple[k.Origin, ...], _LIST] = ()
    """Origins that browsers may call from; * for any."""


class GatewayKeys(Keys):
    """The configuration of callmode."""

    listen: k.Listen = _WEB.listen
    """Where callers connect, host:port."""
    admin: k.ListenOrOff = _WEB.admin
    """Where operators see to jobs and callbacks, host:port, and probes (/healthz, /readyz). It asks for no credentials:
    keep it private. off: nowhere."""
    public_url: k.HttpUrl | None = None
    """What job URLs begin with; by default Host and scheme of the request."""
    trusted_proxies: Annotated[tuple[k.Network, ...], _LIST] = _WEB.trusted_proxies
    """Peers whose X-Forwarded-Host and X-Forwarded-Proto are believed."""
    drain: k.Duration = _WEB.drain
    """How long blocked callers are waited for when the replica stops."""
    drain_notice: k.Duration | None = None
    """How much of that, at least, new calls are taken: what load balancers need to notice. 5s; 0 with no store.url."""
    keep_alive: k.Positive = _WEB.keep_alive
    """How long a caller's idle connection is kept."""
    auth: k.NoAuth = False
    """none: anybody who reaches the port may call under the gateway's own credential."""
    keyring: k.Text | None = None
    """The keyring's text; by default the environment variable CALLMODE_KEYRING."""
    keyring_file: k.FilePath | None = None
    """A file that holds the keyring; with the embedded store it is made when absent, by default in data_dir."""
    upstream: UpstreamKeys
    """Where Orchestrator is: at least its `url`, or the flag --upstream."""
    store: StoreKeys = StoreKeys()
    limits: LimitKeys = LimitKeys()
    callbacks: CallbackKeys = CallbackKeys()
    webhooks: HookKeys = HookKeys()
    log: LogKeys = LogKeys()
    defaults: PolicyKeys = PolicyKeys()
    """The policy of every route, and of pass-through."""
    routes: Annotated[tuple[RouteKeys, ...], _LIST] = ()
    """Paths bound to triggers. Without any, /t/… passes through."""


def sections() -> dict[str, type[Keys]]:
    """Return the mappings of the file by the key that they stand under; the file itself under the empty one."""
    return {
        "": GatewayKeys,
        "upstream": UpstreamKeys,
        "upstream.oauth": OAuthKeys,
        "upstream.jobs_api": JobsApiKeys,
        "upstream.jobs_api.oauth": OAuthKeys,
        "store": StoreKeys,
        "limits": LimitKeys,
        "callbacks": CallbackKeys,
        "webhooks": HookKeys,
        "log": LogKeys,
        "defaults": PolicyKeys,
        "defaults.deduplicate": DeduplicateKeys,
        "routes": RouteKeys,
        "routes.deduplicate": DeduplicateKeys,
    }
