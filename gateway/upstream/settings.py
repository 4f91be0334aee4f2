"""What the configuration says of the upstream."""

from __future__ import annotations

import msgspec


class UpstreamSettings(msgspec.Struct, frozen=True):
    """Where Orchestrator is and how to speak to it. Durations are milliseconds, sizes bytes."""

    url: str
    """The base under which `/t/…` lies, without a trailing slash: `https://…/orchestrator_`."""
    bearer: str | None = None
    """The gateway's own credential; None passes each caller's own bearer on."""
    allowed_hosts: frozenset[str] = frozenset()
    """Hosts besides its own (`host`, `host:port`, `*.domain`) that its Locations may name."""
    connect_timeout: int = 5_000
    max_connections: int = 1_024
    idle_timeout: int = 55_000
    """A pooled connection idle for longer is closed."""
    max_answer: int = 16 * 1024 * 1024
    ca_file: str | None = None
    """A PEM file of certificates to trust instead of the system's."""
