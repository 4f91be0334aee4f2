"""From a request's path to its route, and from a record's route to its policy.

A configured route is met by exactly its path; with no routes configured, `/t/…` passes through.
"""

from __future__ import annotations

import msgspec

from gateway.core.errors import BadRequest, NotATrigger
from gateway.core.policy import Policy
from gateway.core.target import BadTarget, Target, join, parse_target, trigger_path
from gateway.web.settings import Route, WebSettings

_CALL_PREFIX = "/-/call/"


class Destination(msgspec.Struct, frozen=True):
    """What a call is of: its route, the arguments in its query, the mode that its path demands."""

    route: Route
    query: str | None
    mode: str | None = None
    method: str = "POST"
    """The verb that the trigger is called with."""
    chosen_id: str | None = None
    """The id that the caller chose for the job."""

    def upstream_url(self, base: str, query: str | None) -> str:
        """Return the URL of the route's trigger below the upstream's `base`."""
        assert self.route.trigger is not None, "only routes of mode `Jobs` have no trigger"
        return join(base, self.route.trigger, query)


class RoutePolicies:
    """The routes' policies, as configured."""

    def __init__(self, settings: WebSettings) -> None:
        self._policies = {route.name: route.policy for route in settings.routes}
        self._default = settings.default_policy

    def policy(self, route: str) -> Policy:
        """Return the policy of a route; the default one for a route that is no longer there."""
        return self._policies.get(route, self._default)


def find(settings: WebSettings, raw_target: str, method: str) -> Destination:
    """Return what a request calls. Raises `BadRequest`, `NotATrigger`."""
    try:
        target = parse_target(raw_target)
    except BadTarget as error:
        raise BadRequest(f"the request target is refused: {error}") from error
    mode = None
    if target.path.startswith(_CALL_PREFIX):
        mode, _, rest = target.path[len(_CALL_PREFIX) :].partition("/")
        target = Target(f"/{rest}", target.query, target.authority)
    route = _configured(settings, target.path) if settings.routes else _passed_through(settings, target)
    return Destination(route, target.query, mode, method)


def _configured(settings: WebSettings, path: str) -> Route:
    for route in settings.routes:
        if route.path == path:
            return route
    raise NotATrigger("no route of the configuration has this path")


def _passed_through(settings: WebSettings, target: Target) -> Route:
    trigger = trigger_path(target, settings.base_path)
    if trigger is None:
        raise NotATrigger("paths of triggers begin with /t/")
    return Route(name=trigger, path=target.path, trigger=trigger, policy=settings.default_policy)
