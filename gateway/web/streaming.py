"""Server-Sent Events: a job's changes as they come, heartbeats between them, the outcome last."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from multidict import CIMultiDict

from gateway.caller import stream as events
from gateway.caller.common import ended
from gateway.caller.port import Call, OutcomeReply, ProblemReply, Reply
from gateway.core import problem_details
from gateway.core.exchange import Headers
from gateway.core.policy import SECOND
from gateway.web.gateway import GATEWAY, Gateway
from gateway.worker.watches import Watch

_HEARTBEAT = 15 * SECOND
"""Proxies cut connections that are silent for half a minute or more."""

_RETRY = b"retry: 1000\n\n"


async def stream(request: web.Request, watch: Watch, call: Call, fields: Headers) -> web.StreamResponse:
    """Send the job's events until the outcome or until the client goes."""
    last_id = _last_event_id(request)
    if watch.job.state.terminal and last_id == watch.job.revision:
        return web.Response(status=204, headers=CIMultiDict(fields))
    headers = CIMultiDict([*fields, ("Content-Type", events.EVENT_STREAM), ("X-Accel-Buffering", "no")])
    if request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    # A client that has gone while we wrote is no defect; it comes back with `Last-Event-ID` if it wants to know.
    with suppress(ConnectionResetError):
        await response.prepare(request)
        await response.write(_RETRY)
        await _send(response, request.app[GATEWAY], watch, call, last_id)
        await response.write_eof()
    return response


async def _send(response: web.StreamResponse, gateway: Gateway, watch: Watch, call: Call, last_id: int | None) -> None:
    told: object = None
    while not (job := watch.job).state.terminal:
        # A job that follows its upstream from URI to URI has nothing new for anybody.
        view = (events.name_of(job), job.message, job.cancel_requested)
        if view != told and (event := events.change(job, call, last_id)) is not None:
            await response.write(event.frame())
        # Whoever listens misses nothing; only a client that comes back may have to begin anew.
        told, last_id = view, None
        if gateway.drain.hurry:
            return
        if watch.job is not job:
            continue  # It came while we wrote, so nobody will be woken for it.
        if not await watch.changed(gateway.clock.now() + _HEARTBEAT) and not gateway.drain.hurry:
            await response.write(b": still here\n\n")
    await response.write((await _final(gateway, watch, call)).frame())


async def _final(gateway: Gateway, watch: Watch, call: Call) -> events.Event:
    job = watch.job
    match ended(job, call):
        case Reply(status, headers, body):
            return events.final(job, status, headers, body)
        case ProblemReply(error, _):
            document = problem_details.document(error, call.urls(job).monitor)
            return events.final(job, error.status, (("Content-Type", problem_details.MEDIA_TYPE),), document)
        case OutcomeReply():
            assert job.outcome is not None, "an outcome has a head"
            body = await gateway.body_of(watch)
            return events.final(job, job.outcome.status, job.outcome.headers, body)
        case other:
            raise AssertionError(f"an ended job is answered, not with {other}")


def _last_event_id(request: web.Request) -> int | None:
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
