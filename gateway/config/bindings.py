"""What routes are bound to, and what finds, shares and cancels their jobs: which keys go together."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.descriptions import descriptions
from gateway.config.errors import Fault, Key
from gateway.config.model import GatewayKeys, JobsApiKeys, UpstreamKeys
from gateway.config.routes import RouteKeys
from gateway.core.modes import UpstreamMode
from gateway.core.policy import OnDisconnect, Policy, SameCall
from gateway.core.reach import stoppable


def own_credential(keys: GatewayKeys) -> bool:
    """Return whether calls go upstream under a credential of the gateway's own."""
    return _has_credential(keys.upstream)


def _has_credential(keys: UpstreamKeys | JobsApiKeys) -> bool:
    return bool(keys.bearer or keys.oauth)


def doubts(keys: GatewayKeys, meant: Policy, key: Key) -> Iterator[Fault]:
    """Check what finds, shares and cancels jobs."""
    binding = meant.binding
    if binding.correlation and not binding.api:
        yield Fault((*key, "correlation"), "is for finding jobs by the Jobs API; say `jobs_api: on` in upstream")
    if not own_credential(keys) and meant.deduplicate and SameCall.CALLER not in meant.deduplicate.by:
        yield Fault(
            (*key, "deduplicate", "by"),
            "must name caller: without a credential of the gateway's own, one caller's outcome would be another's",
        )
    # Whether the defaults' jobs can be found is each route's to say, where there are routes.
    if stoppable(meant) or (key == ("defaults",) and keys.routes):
        return
    for name, cancels in (
        ("cancel_after", meant.cancel_after),
        ("on_disconnect", meant.on_disconnect is OnDisconnect.CANCEL),
    ):
        if cancels:
            yield Fault((*key, name), "needs a way to cancel: `jobs_api: on` in upstream, and correlation or mode Jobs")


def bound(keys: GatewayKeys, route: RouteKeys, meant: Policy, key: Key) -> Iterator[Fault]:
    """Check what a route starts: a trigger, or by mode Jobs a process."""
    if meant.upstream_mode is UpstreamMode.JOBS:
        yield from _process(keys, route, meant, key)
        return
    named = [name for name in ("process", "release") if getattr(route, name)]
    if route.trigger is None and not named:
        yield Fault((*key, "trigger"), f"is missing. {descriptions(RouteKeys)['trigger']}")
    for name in named:
        yield Fault((*key, name), "is for `upstream_mode: Jobs`; a trigger starts what it is bound to itself")


def _process(keys: GatewayKeys, route: RouteKeys, meant: Policy, key: Key) -> Iterator[Fault]:
    binding, mode = meant.binding, (*key, "upstream_mode")
    if not meant.track:
        yield Fault((*key, "track"), "cannot be off in mode Jobs, which names each job by its record")
    if not binding.startable:
        yield Fault(mode, "is Jobs, which starts a process; name it by process, or by release")
    if route.process and route.release:
        yield Fault((*key, "release"), "says what is started, and so does process; keep one")
    if binding.folder is None:
        yield Fault((*key, "folder"), "is missing: a process is started in a folder")
    if not binding.api:
        yield Fault(mode, "is Jobs; say `jobs_api: on` in upstream")
    elif not own_credential(keys) and (keys.upstream.jobs_api and _has_credential(keys.upstream.jobs_api)):
        yield Fault(
            mode,
            "is Jobs, which upstream.jobs_api's own credential would start for callers that nobody has asked who they"
            " are; leave that credential out, or give upstream one",
        )
