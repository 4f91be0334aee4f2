"""A job's own URLs: monitor, poll, wait, result, events. All but OPTIONS is taken as GET, as real clients need."""

from __future__ import annotations

from aiohttp import web

from gateway.caller import long_poll, polling
from gateway.caller.choosing import read_on_timeout
from gateway.caller.common import ambiguous, ended
from gateway.caller.monitor import monitor, retry_after
from gateway.caller.port import Call, ProblemReply, Renderer, Reply, Step, Stream, Wait
from gateway.core.errors import CancelUnavailable, MethodNotAllowed, NotFound, ResultNotReady
from gateway.core.exchange import Headers
from gateway.core.ids import is_id
from gateway.core.job import Job
from gateway.core.modes import CallerMode
from gateway.core.policy import SECOND, OnTimeout
from gateway.web import cors
from gateway.web.access import readable
from gateway.web.answering import answer, urls_for
from gateway.web.gateway import GATEWAY

_MAX_HOP = 1_000
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /-/jobs/{id}[?wait=N]`: the monitor."""
    if request.method == "DELETE":
        return await cancel(request)
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(headers=(("Allow", "GET, HEAD, DELETE"),))
    wait = _number(request.query.get("wait"), 0)
    return await _answer(request, _monitor, wait=wait * SECOND)


async def poll(request: web.Request) -> web.StreamResponse:
    """`/-/jobs/{id}/poll`: the status URI of async polling."""
    return await _answer(request, polling.poll, mode=CallerMode.ASYNC)


async def wait(request: web.Request) -> web.StreamResponse:
    """`/-/jobs/{id}/wait?hop=N`: one hop of the redirect loop."""
    hop = min(_number(request.query.get("hop"), 0), _MAX_HOP)
    said = read_on_timeout(request.headers.get("Call-On-Timeout", request.query.get("on-timeout")))
    return await _answer(request, long_poll.render, mode=CallerMode.LONG_POLL, hop=hop, on_timeout=said)


async def result(request: web.Request) -> web.StreamResponse:
    """`/-/jobs/{id}/result`: the outcome."""
    return await _answer(request, _result)


async def stream(request: web.Request) -> web.StreamResponse:
    """`GET /-/jobs/{id}/events`: the event stream, resumable by `Last-Event-ID`."""
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(headers=(("Allow", "GET, HEAD"),))
    return await _answer(request, lambda _job, _call, _now: Stream(), mode=CallerMode.STREAM)


async def cancel(request: web.Request) -> web.StreamResponse:
    """`POST /-/jobs/{id}/cancel`: nothing that speaks to API triggers alone can cancel a job."""
    await _job(request)
    raise CancelUnavailable("API triggers give no way to stop a job")


def _monitor(job: Job, call: Call, now: int) -> Step:
    if not job.state.terminal and now < call.until:
        return Wait(call.until)
    headers: Headers = (("Content-Type", "application/json"),)
    if not job.state.terminal:
        headers = (*headers, ("Retry-After", str(retry_after(job, call.policy, now))))
    return Reply(200, headers, monitor(job, call.policy, call.urls(job)))


def _result(job: Job, call: Call, now: int) -> Step:
    if job.state.terminal:
        return ended(job, call)
    step = ambiguous(job, call, now)
    if step is not None and not isinstance(step, Wait):
        return step
    after = ("Retry-After", str(retry_after(job, call.policy, now)))
    return ProblemReply(ResultNotReady(job_id=job.id), (after,))


async def preflight(request: web.Request) -> web.Response:
    """`OPTIONS` of any of them, for pages of other origins."""
    settings = request.app[GATEWAY].settings
    cors.belongs_to(request, cors.all_origins(settings))
    return cors.preflight(request, _METHODS)


async def _answer(
    request: web.Request,
    render: Renderer,
    *,
    mode: CallerMode | None = None,
    hop: int = 0,
    wait: int = 0,
    on_timeout: OnTimeout | None = None,
) -> web.StreamResponse:
    job = await _job(request)
    gateway = request.app[GATEWAY]
    policy = gateway.policies.policy(job.route)
    cors.belongs_to(request, cors.origins_of(gateway.settings, job.route))
    now = gateway.clock.now()
    call = Call(
        policy=policy,
        urls=urls_for(request),
        arrived=now,
        mode=mode,
        until=now + min(wait, policy.wait),
        on_timeout=on_timeout,
        hop=hop,
    )
    return await answer(request, job.id, call, render)


async def _job(request: web.Request) -> Job:
    job_id = request.match_info["id"]
    if not is_id(job_id):
        raise NotFound("no job has this id, or it is not yours")
    return await readable(request, request.app[GATEWAY], job_id)


def _number(value: str | None, default: int) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 7 else default
