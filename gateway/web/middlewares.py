"""The middlewares of the data port, in one ordered list with the reason for each place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from gateway.caller.links import JobUrls
from gateway.core.errors import InternalError, MethodNotAllowed, NotATrigger, Problem
from gateway.web import cors, hygiene, replies
from gateway.web.answering import caller_origin
from gateway.web.gateway import GATEWAY
from gateway.web.log import noted

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("access")


@web.middleware
async def log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write one line a request, without its query, which may hold anything."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    status: int | None = None
    try:
        with request.app[GATEWAY].drain.answering():
            response = await handler(request)
        status = response.status
    finally:
        _log.info(
            "request",
            method=request.method,
            path=request.path if request.path.isprintable() else ascii(request.path),
            # None: the caller went before it was answered.
            status=status,
            ms=round((loop.time() - begun) * 1000, 1),
            **noted(request),
        )
    return response


@web.middleware
async def render_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem document: the one place where an exception becomes an answer."""
    try:
        return await handler(request)
    except Problem as error:
        monitor = _monitor(request, error)
        return replies.problem(error, () if error.job_id is None else (("Job-Id", error.job_id),), monitor)
    except web.HTTPMethodNotAllowed as error:
        return replies.problem(MethodNotAllowed(headers=(("Allow", error.headers.get("Allow", "")),)))
    except web.HTTPNotFound:
        return replies.problem(NotATrigger("nothing of the gateway has this path"))
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001 - the last line: whatever it is, the caller gets an answer and the log the cause
        _log.exception("defect", path=request.path)
        return replies.problem(InternalError("the gateway failed at this request; it is in the log"))


def _monitor(request: web.Request, error: Problem) -> str | None:
    if error.job_id is None:
        return None
    return JobUrls(caller_origin(request), error.job_id).monitor


@web.middleware
async def check_hygiene(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what two servers could read in two ways, before anybody acts on one of them."""
    hygiene.check(request)
    return await handler(request)


MIDDLEWARES = (
    log_access,  # outermost: it sees the final status of every request
    render_problems,  # around all that raises
    check_hygiene,  # before any handler reads a header
)


async def finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: the last word on connection and identity, when the response's head is ready to go."""
    response.headers.pop("Server", None)
    if response.get(replies.UNTYPED):
        response.headers.pop("Content-Type", None)
    cors.finish(request, response)
    gateway = request.app.get(GATEWAY)
    if "Transfer-Encoding" in request.headers or (gateway is not None and gateway.drain.begun):
        # A peer may have framed such a request otherwise than we did: its connection is not used again. It is told, so
        # that it sends nothing more; the server itself has written its own `Connection` before this signal.
        response.force_close()
        response.headers["Connection"] = "close"
