"""A call of a trigger: understand it, have it durably accepted, answer it in its mode."""

from __future__ import annotations

from aiohttp import web

from gateway.auth.principal import Caller, anonymous, bearer_of, identify
from gateway.caller.arguments import Arguments, read_arguments
from gateway.caller.choosing import Choice, Said, choose
from gateway.caller.port import Call
from gateway.caller.renderers import renderer
from gateway.core.errors import (
    BadCallback,
    BadRequest,
    Draining,
    KeyReused,
    MethodNotAllowed,
    PrefetchRefused,
)
from gateway.core.exchange import Headers
from gateway.core.jobs_api import start_request
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Policy
from gateway.core.preferences import parse as parse_preferences
from gateway.core.start import StartRequest
from gateway.web import cors, relay
from gateway.web.access import prove
from gateway.web.answering import answer, caller_origin, urls_for
from gateway.web.bodies import read_body
from gateway.web.departure import Departure
from gateway.web.forwarding import upstream_headers
from gateway.web.gateway import GATEWAY, Gateway
from gateway.web.log import note
from gateway.web.routing import Destination, find
from gateway.web.settings import Route
from gateway.worker.guard import Refused
from gateway.worker.intake import Accepted, Order

_MAX_KEY = 255


async def call(request: web.Request) -> web.StreamResponse:
    """Handle a request to a route. Raises `Problem`."""
    gateway = request.app[GATEWAY]
    destination = find(gateway.settings, request.raw_path)
    note(request, route=destination.route.name)
    if gateway.drain.hurry:
        raise Draining("send it again: another replica will take it")
    cors.belongs_to(request, destination.route.cors)
    if request.method == "OPTIONS":
        return cors.preflight(request, destination.route.methods)
    _check_method(request, destination.route)
    caller = _caller(request, gateway)
    arguments = read_arguments(
        request.method, destination.query, await read_body(request), request.headers.get("Content-Type")
    )
    policy = destination.route.policy
    choice = choose(_said(request, destination, arguments), policy)
    if not policy.track:
        return await relay.forget(request, _start(request, destination, arguments), caller, policy)
    return await _run(request, _order(request, destination, caller, arguments, choice), caller, choice)


async def _run(request: web.Request, order: Order, caller: Caller, choice: Choice) -> web.StreamResponse:
    """Have the job accepted, or find the one that this call repeats; answer about it."""
    gateway = request.app[GATEWAY]
    note(request, mode=choice.mode.value if choice.mode else "upstream")
    with Departure(request, choice.mode, order.policy) as departure:
        # A caller that goes now must not leave a job behind that was created and is followed by nobody.
        accepted = await gateway.tasks.finish(departure.of(gateway.intake.accept(order)))
        extra: Headers = ()
        if accepted.replayed:
            await _check_replay(gateway, accepted.job_id, caller, order.callback_url)
            extra = (("Idempotent-Replayed", "true"),)
        if choice.preference_applied is not None:
            extra = (*extra, ("Preference-Applied", choice.preference_applied))
        terms = _terms(request, order, choice, accepted)
        return await answer(request, accepted.job_id, terms, renderer(choice.mode), extra)


def _terms(request: web.Request, order: Order, choice: Choice, accepted: Accepted) -> Call:
    now = request.app[GATEWAY].clock.now()
    # A call that is taken for another's without having said so has no more than a look at that one's job.
    same = order.idempotency_key is not None or order.chosen_id is not None
    return Call(
        policy=order.policy,
        urls=urls_for(request, accepted.share),
        arrived=now,
        mode=choice.mode,
        until=now + choice.wait,
        on_timeout=choice.on_timeout,
        respond_async=choice.respond_async,
        share=accepted.share,
        may_cancel=not accepted.replayed or accepted.share > 0 or same,
    )


def _order(
    request: web.Request, destination: Destination, caller: Caller, arguments: Arguments, choice: Choice
) -> Order:
    gateway, route = request.app[GATEWAY], destination.route
    key = _idempotency_key(request)
    compared = key is not None or route.policy.deduplicate is not None or route.policy.coalesce
    return Order(
        route=route.name,
        policy=route.policy,
        principal=caller.principal,
        token=caller.token,
        former=tuple(principal for principal, _ in caller.former),
        bearer=None if gateway.own_credential else caller.bearer,
        mode=choice.mode,
        start=_start(request, destination, arguments),
        idempotency_key=key,
        # What the caller said, and not what is made of it: a call is the same under a changed configuration.
        arguments=f"{request.method} {arguments.query or ''}\n{arguments.body.hex()}" if compared else "",
        callback_url=_callback_url(request, gateway, route.policy, choice),
        subject=caller.subject,
        origin=caller_origin(request),
        trace=request.headers.get("traceparent"),
    )


async def _check_replay(gateway: Gateway, job_id: str, caller: Caller, callback_url: str | None) -> None:
    """See that an earlier call's job may answer this one: it is this caller's, and will call back where this one says.

    Raises `CredentialUnproven`, `KeyReused`.
    """
    earlier = await prove(gateway, job_id, caller)
    if earlier is not None and callback_url not in {None, earlier.callback_url}:
        raise KeyReused("the job of this key was accepted without this callback", job_id=job_id)


def _caller(request: web.Request, gateway: Gateway) -> Caller:
    if gateway.own_credential:
        return anonymous(gateway.keyring)
    return identify(bearer_of(request.headers.get("Authorization")), gateway.keyring)


def _check_method(request: web.Request, route: Route) -> None:
    if request.method not in route.methods:
        allow = ", ".join(sorted({*route.methods, "OPTIONS"}))
        raise MethodNotAllowed(f"this route takes {allow}", headers=(("Allow", allow),))
    purpose = f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}"
    if "prefetch" in purpose.lower():
        raise PrefetchRefused


def _said(request: web.Request, destination: Destination, arguments: Arguments) -> Said:
    headers = request.headers
    return Said(
        prefix=destination.mode,
        header=headers.get("Call-Mode"),
        argument=arguments.call_mode,
        accept=", ".join(headers.getall("Accept", ())),
        preferences=parse_preferences(headers.getall("Prefer", ()), max_wait=destination.route.policy.wait // 1000),
        on_timeout=headers.get("Call-On-Timeout"),
    )


def _start(request: web.Request, destination: Destination, arguments: Arguments) -> StartRequest:
    base, policy = request.app[GATEWAY].upstream_url, destination.route.policy
    if policy.upstream_mode is UpstreamMode.JOBS:
        return start_request(base, policy.binding.folder, arguments.as_object())
    query, body = arguments.asking(policy.upstream_mode)
    return StartRequest(
        method=request.method,
        url=destination.upstream_url(base, query),
        headers=upstream_headers(request.headers, arguments.content_type),
        body=body,
    )


def _idempotency_key(request: web.Request) -> str | None:
    """Return the key, bare or as the quoted string that the draft asks for."""
    value = request.headers.get("Idempotency-Key")
    if value is None:
        return None
    key = value.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > _MAX_KEY or not key.isascii() or not key.isprintable():
        raise BadRequest(f"`Idempotency-Key` has 1 to {_MAX_KEY} printable ASCII characters")
    return key


def _callback_url(request: web.Request, gateway: Gateway, policy: Policy, choice: Choice) -> str | None:
    url = request.headers.get("Callback-Url")
    if choice.mode is CallerMode.CALLBACK:
        url = url or policy.callback_url
        if url is None:
            raise BadCallback("the mode `callback` needs a `Callback-Url`, or a callback_url of the route")
    if url is not None:
        try:
            gateway.guard.check(url)
        except Refused as error:
            raise BadCallback(str(error)) from error
    return url
