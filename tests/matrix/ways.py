"""How a job comes to be followed in an upstream mode.

A trigger answers in its mode because it was asked to, in spite of that, or unasked. The Jobs API starts a process by
its name, by its release's key, or by the name on a route that has a trigger as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

from gateway.core.modes import BY_CALL_MODE, CALLER_MODES, CallerMode, UpstreamMode
from gateway.core.policy import Binding, Policy
from gateway.simulator import Settings
from gateway.simulator.catalog import Catalog
from gateway.web.settings import Route
from tests.matrix.client import Request

SLUGS: dict[UpstreamMode, str] = {
    UpstreamMode.ASYNC: "async",
    UpstreamMode.LONG_POLL: "longpoll",
    UpstreamMode.FORGET: "forget",
    UpstreamMode.JOBS: "process",
}
"""What begins the slug of a simulated trigger with this mode of its own; a process has any name."""

FOLDER = "folder"
RELEASED = "released"
"""The process that is started by its release's key. A simulated tenant has it once its settings name it."""

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
    """A route that leads to a job which is followed in one mode."""

    name: str
    slug: str
    asks: UpstreamMode | None
    """What the gateway puts into the start; by `Jobs` it starts the process named `slug` instead."""
    trigger: bool = True
    """Whether the route has a trigger."""

    @property
    def path(self) -> str:
        """The gateway's path."""
        return f"/{self.name}"

    def route(self, policy: Policy) -> Route:
        """Return the route, under `policy` but for what it asks for."""
        own = msgspec.structs.replace(policy, upstream_mode=self.asks, binding=self._binding())
        trigger = f"/t/{FOLDER}/{self.slug}" if self.trigger else None
        return Route(name=self.name, path=self.path, trigger=trigger, policy=own)

    def _binding(self) -> Binding:
        if self.asks is not UpstreamMode.JOBS:
            return Binding()
        released = self.slug == RELEASED
        return Binding(
            api=True,
            folder=FOLDER,
            process=None if released else self.slug,
            release=_release_key(RELEASED) if released else None,
        )

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


def _release_key(process: str) -> str:
    catalog = Catalog(Settings())
    found = catalog.process(catalog.folder(FOLDER), process)
    assert found is not None, "the simulator has every process that somebody names"
    return found.release_key


def ways(mode: UpstreamMode) -> tuple[Way, ...]:
    """Return the ways to a job that is followed in `mode`."""
    if mode is UpstreamMode.JOBS:
        return (
            Way("asked", SLUGS[mode], mode, trigger=False),
            Way("in-spite", "fixed-forget", mode),
            Way("unasked", RELEASED, mode, trigger=False),
        )
    other = _OTHER[mode]
    return (
        Way("asked", SLUGS[other], mode),
        Way("in-spite", f"fixed-{SLUGS[mode]}", other),
        Way("unasked", SLUGS[mode], None),
    )
