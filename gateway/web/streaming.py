"""Server-Sent Events: a job's changes as they come, heartbeats between them, the outcome last."""

from __future__ import annotations

from contextlib import suppress

from gateway.caller import stream as events
from gateway.caller.common import ended
from gateway.caller.port import Call, OutcomeReply, ProblemReply, Reply
from gateway.core import problem_details
from gateway.core.errors import JobExpired, JobUnavailable
from gateway.core.exchange import Headers
from gateway.core.policy import SECOND
from gateway.web import cors
from gateway.web.gateway import Gateway
from gateway.web.request import Request
from gateway.web.response import Response, Sent
from gateway.worker.watches import Watch

_HEARTBEAT = 15 * SECOND
"""Proxies cut connections that are silent for half a minute or more."""

_RETRY = b"retry: 1000\n\n"


async def stream(request: Request, watch: Watch, call: Call, fields: Headers) -> Response:
    """Send the job's events until the outcome or until the client goes."""
    last_id = _last_event_id(request)
    if watch.job.state.terminal and last_id == watch.job.revision:
        return Response(204, fields)
    headers = (*fields, ("Content-Type", events.EVENT_STREAM), ("X-Accel-Buffering", "no"))
    if request.method == "HEAD":
        return Response(200, headers)
    # A client that has gone while we wrote is no defect; it comes back with `Last-Event-ID` if it wants to know.
    with suppress(ConnectionResetError):
        writer = Writer(request, 200, cors.finished(request, headers))
        await writer.write(_RETRY)
        await _send(writer, request.gateway, watch, call, last_id)
        writer.end()
    return Sent(200)


class Writer:
    """Writes an answer piece by piece. All of it raises `ConnectionResetError` once the client has gone."""

    def __init__(self, request: Request, status: int, fields: Headers) -> None:
        self._request = request
        request.connection.write_head(request, status, fields)

    async def write(self, data: bytes) -> None:
        """Write some of the body, and wait until there is room for more."""
        await self._request.connection.write_chunk(self._request, data)

    def end(self) -> None:
        """End the body."""
        self._request.connection.write_end(self._request)


async def _send(response: Writer, gateway: Gateway, watch: Watch, call: Call, last_id: int | None) -> None:
    if not await _caught_up(gateway, watch, last_id):
        return
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
    # Without its outcome, the stream ends like one whose replica goes: its client asks again, and that is answered.
    with suppress(JobUnavailable, JobExpired):
        await response.write((await _final(gateway, watch, call)).frame())


async def _caught_up(gateway: Gateway, watch: Watch, last_id: int | None) -> bool:
    """Wait until this replica knows what the client has seen; return False where it goes before that.

    Whoever follows a job learns of a save by its reply, which others may be ahead of. A client that is ahead for long
    names an id that never was, or one that the store has lost.
    """
    until = gateway.clock.now() + _HEARTBEAT
    while last_id is not None and watch.job.revision < last_id and not watch.job.state.terminal:
        if gateway.drain.hurry:
            return False
        if not await watch.changed(until):
            break
    return True


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


def _last_event_id(request: Request) -> int | None:
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
