"""What the configuration says of the data and admin ports."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import msgspec

from gateway.core.policy import Policy


class Address(msgspec.Struct, frozen=True):
    """A host and a port to listen on. Port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as `host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Route(msgspec.Struct, frozen=True):
    """A gateway path bound to one trigger, or to the process that mode `Jobs` starts."""

    name: str
    """What records, logs and traces call it; under pass-through, its path."""
    path: str
    """The gateway's path, exactly as it comes over the wire: `/invoices`."""
    trigger: str | None
    """The upstream path below its base: `/t/<folder>/<slug>`; None where the policy's binding says what is started."""
    methods: frozenset[str] = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH"})
    policy: Policy = Policy()
    cors: frozenset[str] = frozenset()
    """Origins that browsers may call from; `*` for any."""


class WebSettings(msgspec.Struct, frozen=True):
    """The ports and what is served there. Durations are milliseconds, sizes bytes."""

    listen: Address = Address("127.0.0.1", 8080)
    admin: Address | None = Address("127.0.0.1", 9090)
    public_url: str | None = None
    """What job URLs begin with, without a trailing slash; None takes Host and scheme of the request."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Peers whose X-Forwarded-Host and X-Forwarded-Proto are believed."""
    max_body: int = 1024 * 1024
    routes: tuple[Route, ...] = ()
    """Without any, `/t/…` passes through under `default_policy`."""
    default_policy: Policy = Policy()
    base_path: str = ""
    """The path of the upstream's own base, which pass-through accepts too."""
    drain: int = 20_000
    """How long blocked callers are waited for when the replica stops."""
    drain_notice: int = 0
    """For how much of that, at least, calls are taken as ever: a load balancer takes a while to see readiness fail."""
    hook_secrets: tuple[str, ...] = ()
    """What Orchestrator signs its webhooks with; without any, none are taken."""
    keep_alive: int = 75_000
    """How long an idle connection is kept."""
