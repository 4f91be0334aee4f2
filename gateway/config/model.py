"""The configuration file as people write it: every key, its kind, its default and what it is for.

Defaults are those of the settings that the packages declare; no number stands here a second time. The texts below the
keys are their descriptions in the JSON Schema and in errors. Routes and their policies are in `routes.py`.
"""

from __future__ import annotations

from typing import Annotated

from gateway.config import kinds as k
from gateway.config.keys import LIST, Keys
from gateway.config.routes import DeduplicateKeys, PolicyKeys, RouteKeys
from gateway.core.policy import SECOND
from gateway.observability.settings import LogSettings
from gateway.store.settings import StoreSettings
from gateway.upstream.settings import JobsApiSettings, UpstreamSettings
from gateway.web.settings import WebSettings
from gateway.worker.settings import CallbackSettings, WorkerSettings

_UPSTREAM = UpstreamSettings(url="")
_STORE = StoreSettings()
_WEB = WebSettings()
_WORKER = WorkerSettings()
_CALLBACKS = CallbackSettings()
_LOG = LogSettings()
_JOBS_API = JobsApiSettings()

DRAIN_NOTICE = 5 * SECOND
"""`drain_notice` of replicas: a load balancer that asks every two seconds has noticed after two failures."""

WORKERS = 1
"""One process is a gateway; more are for machines with CPUs to spare, and each takes memory like one more replica."""


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
    grouped_reads: k.Switch = _JOBS_API.grouped_reads
    """Use up to half of these lists to learn of many jobs at once that they still run."""


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
    allowed_hosts: Annotated[tuple[k.HostPattern, ...], LIST] = ()
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
    held_connections: k.Number = _WORKER.held_connections
    """Of these, on each replica, those that may wait for jobs' ends before upstream_mode auto chooses no more."""


class CallbackKeys(Keys):
    """Who may be called back. Off while allow is empty."""

    allow: Annotated[tuple[k.ReceiverPattern, ...], LIST] = _CALLBACKS.allow
    """Hosts (host, host:port, *.domain) and networks that outcomes may be delivered to."""
    secret: k.WebhookSecret | None = None
    """What signs deliveries (Standard Webhooks)."""
    secrets: Annotated[tuple[k.WebhookSecret, ...], LIST] = _CALLBACKS.secrets
    """Several, newest first, to change from one to the next: each delivery is signed with all. Without any, each
    caller has secrets of its own, which it reads at /-/callbacks/secret."""
    timeout: k.Positive = _CALLBACKS.timeout
    """How long one delivery may take."""
    insecure: k.Switch = _CALLBACKS.insecure
    """Deliver to http: receivers too."""


class HookKeys(Keys):
    """Orchestrator's own webhooks, which only have the jobs that they tell of looked at sooner."""

    secrets: Annotated[tuple[k.Text, ...], LIST] = _WEB.hook_secrets
    """What Orchestrator signs them with, one secret or several; without any, /-/hooks/orchestrator takes none."""


class LogKeys(Keys):
    """The log, which goes to standard error."""

    format: k.LogFormat = _LOG.format
    """json, console, or auto: console on a terminal."""
    level: k.LogLevel = _LOG.level
    """The least that is logged: debug, info, warning or error."""


class GatewayKeys(Keys):
    """The configuration of callmode."""

    listen: k.Listen = _WEB.listen
    """Where callers connect, host:port."""
    admin: k.ListenOrOff = _WEB.admin
    """Where operators see to jobs and callbacks, host:port, and probes (/healthz, /readyz). It asks for no credentials:
    keep it private. off: nowhere."""
    public_url: k.HttpUrl | None = None
    """What job URLs begin with; by default Host and scheme of the request."""
    trusted_proxies: Annotated[tuple[k.Network, ...], LIST] = _WEB.trusted_proxies
    """Peers whose X-Forwarded-Host and X-Forwarded-Proto are believed."""
    workers: k.Workers = WORKERS
    """Processes that serve, behind one address; auto: as many as there are CPUs for them."""
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
    routes: Annotated[tuple[RouteKeys, ...], LIST] = ()
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
