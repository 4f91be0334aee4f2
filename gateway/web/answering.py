"""The one loop that answers all callers: ask the renderer, wait for a newer record if it says so, send what it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.caller.common import ended
from gateway.caller.links import JobUrls
from gateway.caller.port import Call, GiveUp, OutcomeReply, ProblemReply, Renderer, Reply, Step, Stream, Wait
from gateway.core.exchange import Headers
from gateway.core.job import Job
from gateway.core.modes import BY_CALL_MODE, CallerMode
from gateway.core.policy import SECOND
from gateway.store.port import Canceling, StoreDown
from gateway.web import replies
from gateway.web.forwarding import origin
from gateway.web.gateway import Gateway
from gateway.web.log import note
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.web.settings import Address
from gateway.web.streaming import stream
from gateway.worker.watches import Watch

_TOLD_WITHIN = 1 * SECOND
"""How long after a job has ended in the store this replica may take to hear of it."""


async def answer(request: Request, job_id: str, call: Call, render: Renderer, extra: Headers = ()) -> Response:
    """Answer a caller about a job. `extra`: more fields for the answer. Raises `Problem`.

    Most of a blocked caller's memory is what its handler holds on to: so it waits in here, and in nothing else.
    """
    gateway = request.gateway

    def matters(job: Job) -> bool:
        return render(job, call, gateway.clock.now()) != step

    async with gateway.watches.open(job_id) as watch:
        while isinstance(step := render(watch.job, call, gateway.clock.now()), Wait):
            if gateway.drain.hurry:
                # This replica is going: what would be said when the wait runs out is said now.
                step = _without_waiting(watch, call, render, step)
                break
            request.slim()
            await watch.changed(step.until, matters)
        return await _said(request, watch, call, step, extra)


async def _said(request: Request, watch: Watch, call: Call, step: Step, extra: Headers) -> Response:
    gateway = request.gateway
    if isinstance(step, GiveUp):
        step = await _give_up(gateway, watch, call, step)
    job = watch.job
    note(request, job=job)
    urls = call.urls(job)
    about = replies.about_job(job.id, urls, _applied(call, job))
    fields = replies.for_operator(job.id) if call.for_operator else (*about, *extra)
    match step:
        case Reply(status, headers, body):
            return replies.response(status, (*headers, *fields), body)
        case ProblemReply(error, headers):
            return replies.problem(error, (*headers, *fields), urls.monitor)
        case OutcomeReply():
            assert job.outcome is not None, "only an ended job is answered with its outcome"
            return replies.outcome(job, job.outcome, await gateway.body_of(watch), fields)
        case Stream():
            return await stream(request, watch, call, fields)
        case Wait() | GiveUp():
            raise AssertionError("waits are settled, and what is given up is answered")


async def _give_up(gateway: Gateway, watch: Watch, call: Call, step: GiveUp) -> Step:
    if gateway.drain.hurry:
        # It is this replica that goes, and no wait that has run out.
        return step.going_on
    try:
        asked = await gateway.store.request_cancel(watch.job.id, call.share)
    except StoreDown:
        return step.going_on
    match asked:
        case Canceling.ASKED:
            return step.canceling
        case Canceling.WAITING:
            return step.shared
        case Canceling.ENDED:
            # Somebody who waited for it all this time is not sent away in the moment in which it ends.
            await watch.changed(gateway.clock.now() + _TOLD_WITHIN)
            return ended(watch.job, call) if watch.job.state.terminal else step.going_on
        case _:
            return step.going_on


def _without_waiting(watch: Watch, call: Call, render: Renderer, step: Step) -> Step:
    while isinstance(step, Wait):
        step = render(watch.job, call, step.until)
    return step


def _applied(call: Call, job: Job) -> str | None:
    """Return the caller mode of an answer: the URL's own, else the starter's, else the one the trigger's is called."""
    mode = call.mode or job.mode
    if mode is None and job.observed is not None:
        mode = BY_CALL_MODE.get(job.observed.value, CallerMode.ASYNC)
    return None if mode is None else mode.value


def urls_for(request: Request, share: str = "") -> Callable[[Job], JobUrls]:
    """Return what makes job URLs as this caller sees them, who has the share of it that is so named."""
    return partial(request.gateway.links.urls, origin=caller_origin(request), share=share)


def caller_origin(request: Request) -> str:
    """Return scheme and authority of the gateway as this caller sees it."""
    return origin(request.headers, "http", request.remote, request.gateway.settings, _local(request))


def _local(request: Request) -> str:
    """Return the address that the request came in on; "" where its connection is gone."""
    name = request.local
    return "" if name is None else str(Address(*name))
