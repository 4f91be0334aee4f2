"""A call of a trigger: understand it, have it durably accepted, answer it in its mode."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.auth.principal import Caller
from gateway.caller.arguments import read_arguments
from gateway.caller.choosing import Choice, choose
from gateway.caller.port import Call
from gateway.caller.renderers import renderer
from gateway.core.errors import BadRequest, Draining, KeyReused, MethodNotAllowed, PrefetchRefused, Problem
from gateway.core.exchange import Headers
from gateway.core.job import KeyScope
from gateway.web import cors, orders, relay, shares
from gateway.web.access import prove
from gateway.web.answering import answer, urls_for
from gateway.web.bodies import body_at_hand, read_body
from gateway.web.departure import Departure
from gateway.web.gateway import Gateway
from gateway.web.log import note
from gateway.web.request import Request
from gateway.web.response import Answered
from gateway.web.routing import Destination, find
from gateway.web.who import bearer_for, caller_of
from gateway.worker.callbacks import Callee
from gateway.worker.intake import Accepted, Order

_PURPOSES = frozenset({"sec-purpose", "purpose"})


def call(request: Request) -> Coroutine[Any, Any, Answered]:
    """Handle a request to a route. Raises `Problem`."""
    return run(request, find(request.gateway.settings, request.raw_path, request.method))


async def run(request: Request, destination: Destination) -> Answered:
    """Have a call's job started and answer about it. Raises `Problem`."""
    gateway, route = request.gateway, destination.route
    request.notes = {"route": route.name}
    if gateway.drain.hurry:
        raise Draining("send it again: another replica will take it")
    request.origins = route.cors
    if request.method == "OPTIONS":
        return cors.preflight(request, route.methods)
    _check_method(request, destination)
    # Who calls matters to records only; without one, all that is needed is what goes upstream.
    caller = caller_of(request) if route.policy.track else None
    bearer = bearer_for(request) if caller is None else caller.bearer
    body = body_at_hand(request)
    if body is None:
        body = await read_body(request)
    arguments = read_arguments(destination.method, destination.query, body, request.headers.get("Content-Type"))
    choice = choose(orders.said(request, destination, arguments), route.policy)
    if caller is not None:
        return _follow(request, orders.order(request, destination, caller, arguments, choice), caller, choice)
    if destination.chosen_id is not None:
        raise BadRequest("this route keeps no records (track: off), so no job of it has an id")
    policy = orders.settled(gateway, route.policy, route.name, choice)
    return relay.forget(request, orders.start(request, destination, arguments, policy), bearer, policy)


async def _follow(request: Request, order: Order, caller: Caller, choice: Choice) -> Answered:
    """Have the job accepted, or find the one that this call repeats; answer about it."""
    gateway = request.gateway
    note(request, mode=choice.mode.value if choice.mode else "upstream")
    departure = Departure(request, choice.mode, order.policy)
    with departure:
        # A caller that goes now must not leave a job behind that was created and is followed by nobody.
        with request.kept(), gateway.held.chosen(order.policy.upstream_mode):
            accepted = await departure.of(gateway.intake.accept(order))
        extra: Headers = ()
        if accepted.replayed:
            try:
                await _check_replay(gateway, accepted.job_id, caller, order)
            except Problem:
                departure.turned_away()
                raise
            extra = (("Idempotent-Replayed", "true"),)
        if choice.preference_applied is not None:
            extra = (*extra, ("Preference-Applied", choice.preference_applied))
        terms = _terms(request, order, choice, accepted, shares.name(gateway, accepted.job_id, caller, accepted.share))
    answering = answer(request, accepted.job_id, terms, renderer(choice.mode), extra)
    return departure.watching(answering) if departure.matters else answering


def _terms(request: Request, order: Order, choice: Choice, accepted: Accepted, share: str) -> Call:
    now = request.gateway.clock.now()
    # A call that is taken for another's without having said so has no more than a look at that one's job.
    same = order.idempotency_key is not None or order.chosen_id is not None
    return Call(
        policy=order.policy,
        urls=urls_for(request, share),
        arrived=now,
        mode=choice.mode,
        until=now + choice.wait,
        on_timeout=choice.on_timeout,
        respond_async=choice.respond_async,
        share=accepted.share,
        may_cancel=not accepted.replayed or accepted.share > 0 or same,
    )


async def _check_replay(gateway: Gateway, job_id: str, caller: Caller, order: Order) -> None:
    """See that an earlier call's job may answer this one: it is this caller's, and will call back where this one says.

    Raises `CredentialUnproven`, `KeyReused`, `BadCallback`.
    """
    earlier, url = await prove(gateway, job_id, caller), order.callback_url
    if earlier is None or url is None:
        return
    if earlier.key_scope is not KeyScope.CALL:
        # Calls that are alike are answered alike, each where it wants to be.
        await gateway.tasks.finish(gateway.callbacks.attach(earlier, url, Callee(caller.principal, caller.subject)))
    elif url != earlier.callback_url:
        raise KeyReused("the job of this key was accepted without this callback", job_id=job_id)


def _check_method(request: Request, destination: Destination) -> None:
    if destination.method not in destination.route.methods:
        allow = ", ".join(sorted({*destination.route.methods, "OPTIONS"}))
        raise MethodNotAllowed(f"this route takes {allow}", headers=(("Allow", allow),))
    for name in _PURPOSES & request.names.present:
        if "prefetch" in request.headers[name].lower():
            raise PrefetchRefused
