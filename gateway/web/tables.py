"""What each port answers: the table of its reserved paths, and what becomes of any other."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from gateway.core.errors import MethodNotAllowed, NotATrigger
from gateway.store.port import StoreDown
from gateway.web import callbacks, calls, chosen, commands, dead_letters, hooks, jobs, operators
from gateway.web.front import Front, Handler, front
from gateway.web.request import Request
from gateway.web.response import Answered, Response

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_ANY = "*"
_RESERVED = "/-/"

Table = Mapping[str, Mapping[str, Handler]]
"""Handlers by path and method; `{id}` stands for the third segment, `*` for every other method."""


async def health(_request: Request) -> Response:
    """Answer that the process serves."""
    return Response(200, _TEXT, b"ok\n")


async def ready(request: Request) -> Response:
    """Answer whether calls should be sent here: the store answers, and somebody stays."""
    gateway = request.gateway
    try:
        await gateway.store.ping()
        serves = gateway.leases.healthy and not gateway.drain.leaving
    except StoreDown:
        serves = False
    return Response(200, _TEXT, b"ready\n") if serves else Response(503, _TEXT, b"not ready\n")


def _get(handler: Handler) -> Mapping[str, Handler]:
    return {"GET": handler, "HEAD": handler}


def _job(handler: Handler) -> Mapping[str, Handler]:
    return {"OPTIONS": jobs.preflight, _ANY: handler}


def _callbacks(handler: Handler) -> Mapping[str, Handler]:
    return {"OPTIONS": callbacks.preflight, _ANY: handler}


_DATA: Table = {
    "/-/healthz": _get(health),
    "/-/readyz": _get(ready),
    "/-/jobs/{id}": {"OPTIONS": jobs.preflight, "PUT": chosen.put, _ANY: jobs.show},
    "/-/jobs/{id}/poll": _job(jobs.poll),
    "/-/jobs/{id}/wait": _job(jobs.wait),
    "/-/jobs/{id}/result": _job(jobs.result),
    "/-/jobs/{id}/events": _job(jobs.stream),
    "/-/jobs/{id}/cancel": _job(commands.cancel),
    "/-/jobs/{id}/resolve": _job(commands.resolve),
    "/-/jobs/{id}/callbacks": _job(callbacks.of_job),
    "/-/callbacks/secret": _callbacks(callbacks.secret),
    "/-/callbacks/{id}/redeliver": _callbacks(callbacks.redeliver),
    "/-/hooks/orchestrator": {_ANY: hooks.orchestrator},
}

_ADMIN: Table = {
    "/healthz": _get(health),
    "/readyz": _get(ready),
    "/-/jobs/{id}": _get(operators.show),
    "/-/jobs/{id}/cancel": {"POST": operators.cancel},
    "/-/jobs/{id}/resolve": {"POST": operators.resolve},
    "/-/callbacks": _get(dead_letters.show),
    "/-/callbacks/secret": _get(dead_letters.secret),
    "/-/callbacks/{id}/redeliver": {"POST": dead_letters.redeliver},
}


def data_port() -> Front:
    """Return what answers the data port."""

    def route(request: Request) -> Coroutine[Any, Any, Answered]:
        if request.raw_path.startswith("/") and not request.raw_path.startswith(_RESERVED):
            return calls.call(request)
        path = request.escaped_path
        methods = _found(_DATA, request, path) if path.startswith(_RESERVED) else None
        handler = None if methods is None else methods.get(request.method) or methods.get(_ANY)
        # Everything else is a call, whose path is judged as it came over the wire.
        return (handler or calls.call)(request)

    return front(route)


def admin_port() -> Front:
    """Return what answers the admin port."""

    def route(request: Request) -> Coroutine[Any, Any, Answered]:
        operators.check_operator(request)
        methods = _found(_ADMIN, request, request.escaped_path)
        if methods is None:
            raise NotATrigger("nothing of the gateway has this path")
        handler = methods.get(request.method)
        if handler is None:
            raise MethodNotAllowed(headers=(("Allow", _listed(methods)),))
        return handler(request)

    return front(route)


def _found(table: Table, request: Request, path: str) -> Mapping[str, Handler] | None:
    """Return what a path leads to, with its `{id}` noted; None for nothing."""
    methods = table.get(path)
    if methods is not None:
        return methods
    segments = path.split("/")
    if len(segments) < 4 or not segments[3]:
        return None
    request.id = unquote(segments[3])
    segments[3] = "{id}"
    return table.get("/".join(segments))


def _listed(methods: Iterable[str]) -> str:
    return ",".join(sorted(methods))
