"""A job's own URLs: monitor, poll, wait, result, events. All but OPTIONS is taken as GET, as real clients need."""

from __future__ import annotations

from gateway.caller import long_poll, polling, views
from gateway.caller.choosing import read_on_timeout
from gateway.caller.port import Call, Renderer, Stream
from gateway.core.errors import MethodNotAllowed
from gateway.core.modes import CallerMode
from gateway.core.policy import SECOND, OnTimeout
from gateway.web import commands, cors, shares
from gateway.web.access import may_change, readable
from gateway.web.answering import answer, urls_for
from gateway.web.request import Request
from gateway.web.response import Response

_MAX_HOP = 1_000
_DIGITS = 6
"""Of a count in the query: seconds and hops beyond are as good as without end."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


async def show(request: Request) -> Response:
    """`GET /-/jobs/{id}[?wait=N]`: the monitor."""
    if request.method == "DELETE":
        return await commands.delete(request)
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(headers=(("Allow", "GET, HEAD, PUT, DELETE, OPTIONS"),))
    wait = _number(request.query.get("wait"))
    return await _answer(request, views.show, wait=wait * SECOND)


async def poll(request: Request) -> Response:
    """`/-/jobs/{id}/poll`: the status URI of async polling."""
    return await _answer(request, polling.poll, mode=CallerMode.ASYNC)


async def wait(request: Request) -> Response:
    """`/-/jobs/{id}/wait?hop=N`: one hop of the redirect loop."""
    hop = min(_number(request.query.get("hop")), _MAX_HOP)
    said = read_on_timeout(request.headers.get("Call-On-Timeout", request.query.get("on-timeout")))
    return await _answer(request, long_poll.render, mode=CallerMode.LONG_POLL, hop=hop, on_timeout=said)


async def result(request: Request) -> Response:
    """`/-/jobs/{id}/result`: the outcome."""
    return await _answer(request, views.result)


async def stream(request: Request) -> Response:
    """`GET /-/jobs/{id}/events`: the event stream, resumable by `Last-Event-ID`."""
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(headers=(("Allow", "GET, HEAD"),))
    return await _answer(request, lambda _job, _call, _now: Stream(), mode=CallerMode.STREAM)


async def preflight(request: Request) -> Response:
    """`OPTIONS` of any of them, for pages of other origins."""
    settings = request.gateway.settings
    cors.belongs_to(request, cors.all_origins(settings))
    return cors.preflight(request, _METHODS)


async def _answer(
    request: Request,
    render: Renderer,
    *,
    mode: CallerMode | None = None,
    hop: int = 0,
    wait: int = 0,
    on_timeout: OnTimeout | None = None,
) -> Response:
    gateway = request.gateway
    job = await readable(request, gateway, request.id)
    share = shares.proved(request, job.id)
    policy = gateway.policies.policy(job.route)
    # Its link lets a caller that has dropped its token on a redirect wait on; more it does not.
    gives_up = mode is CallerMode.LONG_POLL and (on_timeout or policy.on_timeout) is OnTimeout.CANCEL
    cors.belongs_to(request, cors.origins_of(gateway.settings, job.route))
    now = gateway.clock.now()
    call = Call(
        policy=policy,
        urls=urls_for(request, shares.named(request)),
        arrived=now,
        mode=mode,
        until=now + min(wait, policy.wait),
        on_timeout=on_timeout,
        hop=hop,
        share=share,
        may_cancel=gives_up and await may_change(request, gateway, job, share=share),
    )
    return await answer(request, job.id, call, render)


def _number(value: str | None) -> int:
    """Return a count from the query, as large as any that means something; 0 for what is none."""
    if not value or not (value.isascii() and value.isdigit()):
        return 0
    return int(value) if len(value) <= _DIGITS else 10**_DIGITS
