"""From a request to an order: which trigger or process, what is sent, and what is to be known of the call later."""

from __future__ import annotations

import msgspec

from gateway.auth.principal import Caller
from gateway.caller.arguments import Arguments
from gateway.caller.choosing import Choice, Said
from gateway.core.choosing import Moment, choose_upstream
from gateway.core.errors import BadCallback, BadRequest, CancelUnavailable
from gateway.core.jobs_api import start_request
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import SECOND, Policy
from gateway.core.preferences import Preferences
from gateway.core.preferences import parse as parse_preferences
from gateway.core.reach import stoppable
from gateway.core.start import StartRequest
from gateway.web.answering import caller_origin
from gateway.web.forwarding import upstream_headers
from gateway.web.gateway import Gateway
from gateway.web.request import Request
from gateway.web.routing import Destination
from gateway.worker.intake import Order

_MAX_KEY = 255
_NO_WISH = Preferences()
_OF_MODE = frozenset({"accept", "call-mode", "call-on-timeout", "prefer"})
_MAX_DIGITS = 10


def said(request: Request, destination: Destination, arguments: Arguments) -> Said:
    """Return everything in a request that speaks of its mode."""
    headers = request.headers
    if _OF_MODE.isdisjoint(request.names.present):
        return Said(prefix=destination.mode, argument=arguments.call_mode)
    wishes = headers.getall("Prefer", ())
    return Said(
        prefix=destination.mode,
        header=headers.get("Call-Mode"),
        argument=arguments.call_mode,
        accept=", ".join(headers.getall("Accept", ())),
        preferences=parse_preferences(wishes, max_wait=destination.route.policy.wait // 1000) if wishes else _NO_WISH,
        on_timeout=headers.get("Call-On-Timeout"),
    )


def order(request: Request, destination: Destination, caller: Caller, arguments: Arguments, choice: Choice) -> Order:
    """Return the order of a call. Raises `BadRequest`, `BadCallback`, `CancelUnavailable`, `BadArgumentsProblem`."""
    gateway, route = request.gateway, destination.route
    key = _idempotency_key(request, destination)
    named = key is not None or destination.chosen_id is not None
    compared = named or route.policy.deduplicate is not None or route.policy.coalesce
    cancel_after = _cancel_after(request, route.policy)
    policy = settled(gateway, gateway.policies.policy(route.name), route.name, choice, cancels=cancel_after is not None)
    return Order(
        route=route.name,
        policy=policy,
        principal=caller.principal,
        token=caller.token,
        former=tuple(principal for principal, _ in caller.former),
        bearer=None if gateway.own_credential else caller.bearer,
        mode=choice.mode,
        start=start(request, destination, arguments, policy),
        idempotency_key=key,
        chosen_id=destination.chosen_id,
        arguments=_compared(destination, arguments) if compared else "",
        cancel_after=cancel_after,
        callback_url=_callback_url(request, route.policy, choice),
        subject=caller.subject,
        origin=caller_origin(request),
        trace=request.headers.get("traceparent"),
    )


def settled(gateway: Gateway, policy: Policy, route: str, choice: Choice, *, cancels: bool = False) -> Policy:
    """Return a route's policy for one call: what its start asks for is chosen, where that is left to the gateway."""
    if not policy.auto:
        return policy
    held = gateway.held
    moment = Moment(choice.mode, len(held), held.budget, told=gateway.told.of(route), cancels=cancels)
    return msgspec.structs.replace(policy, upstream_mode=choose_upstream(policy, moment))


def start(request: Request, destination: Destination, arguments: Arguments, policy: Policy) -> StartRequest:
    """Return what starts the job of a call under its policy, but for what is particular to the job."""
    base = request.gateway.upstream_url
    if policy.upstream_mode is UpstreamMode.JOBS:
        return start_request(base, policy.binding.folder, arguments.as_object())
    query, body = arguments.asking(policy.upstream_mode)
    return StartRequest(
        method=destination.method,
        url=destination.upstream_url(base, query),
        headers=upstream_headers(request.raw_headers, request.names, arguments.content_type),
        body=body,
    )


def _compared(destination: Destination, arguments: Arguments) -> str:
    """Return what two calls must have in common to be one.

    What the caller said, and not what is made of it: a call is the same under a changed configuration. An id that the
    caller chose is the job's on any route, a key is on its own.
    """
    call = f"{destination.method} {arguments.query or ''}\n{arguments.body.hex()}"
    return call if destination.chosen_id is None else f"{destination.route.name}\n{call}"


def _idempotency_key(request: Request, destination: Destination) -> str | None:
    """Return the key, bare or as the quoted string that the draft asks for."""
    value = request.headers.get("Idempotency-Key")
    if value is None:
        return None
    if destination.chosen_id is not None:
        raise BadRequest("the id in the path is this call's key; there is no place for an `Idempotency-Key`")
    key = value.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > _MAX_KEY or not key.isascii() or not key.isprintable():
        raise BadRequest(f"`Idempotency-Key` has 1 to {_MAX_KEY} printable ASCII characters")
    return key


def _cancel_after(request: Request, policy: Policy) -> int | None:
    """Return after how long (ms) the caller wants its job to be canceled."""
    value = request.headers.get("Cancel-After")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < _MAX_DIGITS and int(value) > 0):
        raise BadRequest("`Cancel-After` is a number of whole seconds, 1 or more")
    if not stoppable(policy):
        raise CancelUnavailable("this route gives no way to stop a job that was started, so it would run on")
    return int(value) * SECOND


def _callback_url(request: Request, policy: Policy, choice: Choice) -> str | None:
    url = request.headers.get("Callback-Url")
    if choice.mode is CallerMode.CALLBACK:
        url = url or policy.callback_url
        if url is None:
            raise BadCallback("the mode `callback` needs a `Callback-Url`, or a callback_url of the route")
    if url is not None:
        request.gateway.callbacks.check(url)
    return url
