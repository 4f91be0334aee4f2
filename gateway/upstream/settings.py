"""What the configuration says of the upstream."""

from __future__ import annotations

import msgspec


class OAuthSettings(msgspec.Struct, frozen=True):
    """An external application of Orchestrator's that the gateway is, by OAuth client credentials."""

    client_id: str
    client_secret: str
    scope: str = ""
    token_url: str | None = None
    """Where tokens are had. None: where `authority` says, else where Orchestrator's own are."""
    authority: str | None = None
    """An identity server whose discovery document names the token endpoint."""
    tenant: str | None = None
    """The tenant's name, which a standalone Orchestrator's identity server asks for."""


class JobsApiSettings(msgspec.Struct, frozen=True):
    """The use of the Jobs API. Without a credential of its own, the upstream's, else each caller's own, goes there."""

    bearer: str | None = None
    oauth: OAuthSettings | None = None
    calls_per_minute: int = 60
    """Lists of jobs that all replicas together ask for; Orchestrator allows 100 a minute to a whole tenant."""
    grouped_reads: bool = True
    """Whether lists, with half of those calls, tell of many jobs at once that they still run."""


class UpstreamSettings(msgspec.Struct, frozen=True):
    """Where Orchestrator is and how to speak to it. Durations are milliseconds, sizes bytes."""

    url: str
    """The base under which `/t/…` lies, without a trailing slash: `https://…/orchestrator_`."""
    bearer: str | None = None
    """The gateway's own credential; without it and `oauth`, each caller's own bearer is passed on."""
    oauth: OAuthSettings | None = None
    """The same by OAuth."""
    jobs_api: JobsApiSettings | None = None
    """None: the Jobs API is not used."""
    allowed_hosts: frozenset[str] = frozenset()
    """Hosts besides its own (`host`, `host:port`, `*.domain`) that its Locations and downloads may name."""
    connect_timeout: int = 5_000
    max_connections: int = 1_024
    idle_timeout: int = 55_000
    """A pooled connection idle for longer is closed."""
    max_answer: int = 16 * 1024 * 1024
    ca_file: str | None = None
    """A PEM file of certificates to trust instead of the system's."""

    @property
    def own_credential(self) -> bool:
        """Whether the gateway has a credential of its own, rather than passing callers' on."""
        return self.bearer is not None or self.oauth is not None
