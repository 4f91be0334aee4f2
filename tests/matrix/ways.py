"""How a trigger comes to answer in an upstream mode: because it was asked to, in spite of that, or unasked."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

from gateway.core.modes import BY_CALL_MODE, CALLER_MODES, CallerMode, UpstreamMode
from gateway.core.policy import Policy
from gateway.web.settings import Route
from tests.matrix.client import Request

SLUGS: dict[UpstreamMode, str] = {
    UpstreamMode.ASYNC: "async",
    UpstreamMode.LONG_POLL: "longpoll",
    UpstreamMode.FORGET: "forget",
}
"""What begins the slug of a simulated trigger with this mode of its own."""

_OTHER: dict[UpstreamMode, UpstreamMode] = {
    UpstreamMode.ASYNC: UpstreamMode.FORGET,
    UpstreamMode.LONG_POLL: UpstreamMode.ASYNC,
    # Asked for LongPolling, an empty 200 would be the outcome, and of a forgetting trigger it is none.
    UpstreamMode.FORGET: UpstreamMode.ASYNC,
}
"""A mode that is not this one."""

_CALL_MODES = {row.mode: row.call_mode for row in CALLER_MODES}
assert {BY_CALL_MODE[name] for name in _CALL_MODES.values()} == set(CallerMode)


@dataclass(frozen=True)
class Way:
    """A route that leads to a trigger which answers in `mode`."""

    name: str
    slug: str
    asks: UpstreamMode | None
    """What the gateway puts into the start."""

    @property
    def path(self) -> str:
        """The gateway's path."""
        return f"/{self.name}"

    def route(self, policy: Policy) -> Route:
        """Return the route, under `policy` but for what it asks for."""
        own = msgspec.structs.replace(policy, upstream_mode=self.asks)
        return Route(name=self.name, path=self.path, trigger=f"/t/folder/{self.slug}", policy=own)

    def request(self, mode: CallerMode | None, arguments: dict[str, object]) -> Request:
        """Return a call with `arguments`, demanding `mode` the way of this way; each has another."""
        request = Request(self.path, json.dumps(arguments).encode())
        if mode is None:
            return request
        if self.name == "asked":
            return request.demanding(mode)
        if self.name == "in-spite":
            return request.demanding_in_path(mode)
        # Had the gateway passed it on, the trigger would refuse it, or follow it: it has to be cut out.
        return Request(self.path, json.dumps({"$callMode": _CALL_MODES[mode], **arguments}).encode())


def ways(mode: UpstreamMode) -> tuple[Way, ...]:
    """Return the ways to a trigger that answers in `mode`."""
    other = _OTHER[mode]
    return (
        Way("asked", SLUGS[other], mode),
        Way("in-spite", f"fixed-{SLUGS[mode]}", other),
        Way("unasked", SLUGS[mode], None),
    )
