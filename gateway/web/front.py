"""What is around every handler, in order, with the reason for each place; the one place where errors become answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from gateway.caller.links import JobUrls
from gateway.core.errors import InternalError, Problem
from gateway.web import cors, hygiene, replies
from gateway.web.answering import caller_origin
from gateway.web.request import Request
from gateway.web.response import Answered, Response

Handler = Callable[[Request], Coroutine[Any, Any, Answered]]

Front = Callable[[Request], Coroutine[Any, Any, None]]
"""Answers a request, whatever happens."""

_log = structlog.get_logger("access")


def front(route: Handler) -> Front:
    """Return what answers every request of a port, whatever happens. `route` finds the handler and calls it."""

    async def handle(request: Request) -> None:
        request.connection.server.began()
        try:
            # Before any handler reads a header: what two servers could read in two ways is acted on by neither.
            hygiene.check(request)
            answered: Answered = (
                route(request) if not request.wants_continue or _is_done(request) else Response(417, close=True)
            )
            while not isinstance(answered, Response):
                answered = await answered
            response = answered
        except asyncio.CancelledError:
            request.connection.unanswered(request)
            raise
        except Problem as error:
            response = _told(request, error)
        except Exception:  # noqa: BLE001 - the last line: the caller gets an answer, the log the cause
            response = _failed(request)
        if request.origins:
            # Last, so that a page may read problems too.
            response.fields = cors.finished(request, response.fields)
        try:
            request.connection.answer(request, response)
        except ValueError:
            request.connection.answer(request, _failed(request))

    return handle


def _told(request: Request, error: Problem) -> Response:
    if error.job_id is None:
        return replies.problem(error)
    monitor = JobUrls(caller_origin(request), error.job_id).monitor
    return replies.problem(error, (("Job-Id", error.job_id),), monitor)


def _failed(request: Request) -> Response:
    _log.exception("defect", path=request.path)
    return replies.problem(InternalError("the gateway failed at this request; it is in the log"))


def _is_done(request: Request) -> bool:
    """Whether what a request expects is done here."""
    return request.headers["Expect"].lower() == "100-continue"
