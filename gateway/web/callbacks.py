"""Callbacks over HTTP: those of a job, with every attempt; one more; one again; the secret that signs a caller's.

What receivers have answered is nobody's but the caller's own: a job's signed link is not enough to read it.
"""

from __future__ import annotations

import msgspec

from gateway.auth.principal import Caller
from gateway.core.delivery import Delivery
from gateway.core.errors import BadCallback, MethodNotAllowed, NotFound
from gateway.core.job import Job
from gateway.web import cors, delivery_views, shares
from gateway.web.access import check_change, proven, readable
from gateway.web.bodies import read_body
from gateway.web.gateway import Gateway
from gateway.web.replies import NO_STORE
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.web.who import caller_if_said, caller_of
from gateway.worker.callbacks import NO_SUCH_DELIVERY, Callee

_METHODS = frozenset({"GET", "HEAD", "POST"})


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for one more callback."""

    url: str


async def of_job(request: Request) -> Response:
    """`GET|POST /-/jobs/{id}/callbacks`: the caller's deliveries of a job's outcome, or one more of them."""
    _only(request, "GET", "HEAD", "POST", "OPTIONS")
    gateway = request.gateway
    job = await readable(request, gateway, request.id)
    cors.belongs_to(request, cors.origins_of(gateway.settings, job.route))
    return await (_attach if request.method == "POST" else _list)(request, gateway, job)


async def _list(request: Request, gateway: Gateway, job: Job) -> Response:
    caller = caller_if_said(request)
    found = [
        delivery
        for delivery in await gateway.callbacks.of(job)
        if caller is not None and caller.is_principal(delivery.principal or job.principal)
    ]
    # Of a job that several callers share, each has its own.
    if found and caller is not None and not caller.is_principal(job.principal):
        await proven(request, gateway)
    else:
        await check_change(request, gateway, job)
    views = [delivery_views.of_owner(delivery, waits=not job.state.terminal) for delivery in found]
    return answer(200, {"callbacks": views}, job.id)


async def _attach(request: Request, gateway: Gateway, job: Job) -> Response:
    await check_change(request, gateway, job, share=shares.proved(request, job.id))
    url = _wish(await read_body(request)).url
    caller = caller_of(request)
    principal = job.principal if caller.is_principal(job.principal) else caller.principal
    # What is followed from now on must be known to be: a caller that goes does not end this halfway.
    added = await gateway.tasks.finish(gateway.callbacks.attach(job, url, Callee(principal, caller.subject)))
    view = delivery_views.of_owner(added.delivery, waits=added.waits)
    return answer(201 if added.new else 200, view, job.id)


def _wish(body: bytes) -> _Wish:
    try:
        return msgspec.json.decode(body, type=_Wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadCallback('the body is JSON: {"url": "https://…"}') from None


async def redeliver(request: Request) -> Response:
    """`POST /-/callbacks/{id}/redeliver`: begin the schedule anew, at once."""
    _only(request, "POST", "OPTIONS")
    gateway = request.gateway
    caller = caller_of(request)
    delivery = await gateway.callbacks.find(request.id)
    job = await gateway.callbacks.job_of(delivery)
    cors.belongs_to(request, cors.origins_of(gateway.settings, job.route))
    if not caller.is_principal(delivery.principal or job.principal):
        raise NotFound(NO_SUCH_DELIVERY)
    if caller.is_principal(job.principal):
        await check_change(request, gateway, job)
    else:
        await proven(request, gateway)
    return await begin_anew(gateway, job, delivery)


async def begin_anew(gateway: Gateway, job: Job, delivery: Delivery) -> Response:
    """Send a delivery again, for whoever may have it sent."""
    again = await gateway.tasks.finish(gateway.callbacks.redeliver(job, delivery))
    return answer(202, delivery_views.of_owner(again, waits=False), job.id)


async def secret(request: Request) -> Response:
    """`GET /-/callbacks/secret`: what signs the deliveries of this caller's jobs, newest first."""
    _only(request, "GET", "HEAD", "OPTIONS")
    gateway = request.gateway
    # It is of no one route: of all of them.
    cors.belongs_to(request, cors.all_origins(gateway.settings))
    if gateway.callback_secrets.configured:
        raise NotFound("deliveries are signed with secrets of the gateway's configuration: ask its operator")
    if gateway.own_credential:
        raise NotFound("callers are not told apart here: ask the operator for the secret")
    caller = await proven(request, gateway)
    return answer(200, secrets_of(gateway, caller))


async def preflight(request: Request) -> Response:
    """`OPTIONS` of what is below `/-/callbacks/`, for pages of other origins."""
    cors.belongs_to(request, cors.all_origins(request.gateway.settings))
    return cors.preflight(request, _METHODS)


def secrets_of(gateway: Gateway, caller: Caller) -> dict[str, object]:
    """Return the view of a caller's own secrets."""
    secrets = gateway.callback_secrets.of(caller.subject)
    return {"secret": secrets[0], "secrets": secrets}


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(headers=(("Allow", ", ".join(methods)),))


def answer(status: int, view: dict[str, object], job_id: str | None = None) -> Response:
    """Return a view as JSON."""
    about = () if job_id is None else (("Job-Id", job_id),)
    return Response(status, (NO_STORE, ("Content-Type", "application/json"), *about), msgspec.json.encode(view))
