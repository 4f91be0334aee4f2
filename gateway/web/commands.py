"""What changes a job: canceling it, erasing it, a verdict on it. The store keeps the request, its follower heeds it.

So any replica may be asked. It answers when the follower has taken the request, or a moment later anyway: the
monitor says how far it has come.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from gateway.caller import views
from gateway.caller.port import Call, Renderer
from gateway.caller.verdicts import HasEnded, NeverRan, Runs, Told, read_verdict
from gateway.core.errors import (
    AlreadyEnded,
    BadVerdict,
    CancelUnavailable,
    JobExpired,
    JobShared,
    MethodNotAllowed,
    NotUnknown,
)
from gateway.core.job import Job, State
from gateway.core.jobs_api import place
from gateway.core.policy import SECOND
from gateway.core.reach import NO_WAY, cancelable
from gateway.core.verdict import Fate, Verdict
from gateway.store.port import Canceling, Gone
from gateway.web import cors, shares
from gateway.web.access import check_change, readable
from gateway.web.answering import answer, urls_for
from gateway.web.bodies import read_body
from gateway.web.gateway import Gateway
from gateway.web.replies import NO_STORE
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.worker import outages
from gateway.worker.watches import present

_TAKEN = 1 * SECOND
"""How long a request waits to be taken by the job's follower before it is answered."""


async def cancel(request: Request) -> Response:
    """`POST /-/jobs/{id}/cancel[?share=…]`: ask for the job to be canceled, or give one's share of it up."""
    _only_post(request)
    job = await _job(request)
    share = shares.proved(request, job.id)
    await check_change(request, request.gateway, job, share=share)
    if job.state.terminal:
        raise AlreadyEnded(f"it is {job.state.value}", job_id=job.id)
    return await _cancel(request, job, share)


async def delete(request: Request) -> Response:
    """`DELETE /-/jobs/{id}`: cancel a live job; drop the record and the outcome of one that has ended."""
    gateway, job = request.gateway, await _job(request)
    share = shares.proved(request, job.id)
    # An outcome belongs to whoever started the job, and not to each who shares it.
    await check_change(request, gateway, job, share=0 if job.state.terminal else share)
    if not job.state.terminal:
        return await _cancel(request, job, share)
    with asking(job.id):
        if not await gateway.store.erase(job.id):
            raise JobExpired("its outcome was erased", job_id=job.id)
    return Response(204, (("Job-Id", job.id), NO_STORE))


async def resolve(request: Request) -> Response:
    """`POST /-/jobs/{id}/resolve`: say what became of a job whose start is in doubt."""
    _only_post(request)
    job = await _job(request)
    await check_change(request, request.gateway, job)
    return await give_verdict(request, job, terms(request, job), by_operator=False)


async def give_verdict(request: Request, job: Job, call: Call, *, by_operator: bool = True) -> Response:
    """Pass on the verdict that is the request's body; answer once it is taken.

    Raises `BadVerdict`, `NotUnknown`, `JobExpired`, `JobUnavailable`.
    """
    gateway = request.gateway
    told = read_verdict(await read_body(request))
    if job.state is not State.UNKNOWN:
        raise NotUnknown(f"it is {job.state.value}", job_id=job.id)
    if isinstance(told, Runs) and not by_operator and gateway.upstream.own_jobs_credential:
        # The gateway may read and stop what whoever sends this may not: any job of the folder.
        raise BadVerdict("the gateway follows jobs under a credential of its own: only an operator may name one")
    verdict = _verdict(gateway, job, told)
    with asking(job.id):
        if not await gateway.store.give_verdict(job.id, verdict):
            now = present(await gateway.store.read(job.id), job.id)
            raise NotUnknown(f"it is {now.state.value}", job_id=job.id)
    return await answer(request, job.id, call, views.resolving)


def _verdict(gateway: Gateway, job: Job, told: Told) -> Verdict:
    match told:
        case NeverRan():
            return Verdict(Fate.NEVER_RAN, job.changed)
        case HasEnded():
            return Verdict(Fate.ENDED, job.changed, outcome=told.outcome())
        case Runs(key):
            binding = gateway.policies.policy(job.route).binding
            if not binding.api:
                raise BadVerdict("this route may not use the Jobs API, so a job cannot be followed by its key")
            folder, _ = place(job, binding)
            try:
                leg = gateway.upstream.job_leg(key, folder)
            except ValueError as error:
                raise BadVerdict(str(error)) from error
            return Verdict(Fate.RUNNING, job.changed, leg=leg, key=key)


async def _cancel(request: Request, job: Job, share: int) -> Response:
    gateway = request.gateway
    check_cancelable(gateway, job)
    with asking(job.id):
        asked = await gateway.store.request_cancel(job.id, share)
    render: Renderer = views.share_given_up if asked is Canceling.WAITING else views.canceling
    check_asked(asked, job.id)
    return await answer(request, job.id, terms(request, job), render)


def check_cancelable(gateway: Gateway, job: Job) -> None:
    """Raise `CancelUnavailable` where nothing that may be called can cancel `job`."""
    if not cancelable(job, gateway.policies.policy(job.route)):
        raise CancelUnavailable(NO_WAY, job_id=job.id)


def check_asked(asked: Canceling, job_id: str) -> None:
    """Raise what a request to cancel came to, if it was not taken."""
    match asked:
        case Canceling.SHARED:
            how = "use the cancel link of your own call: its `share` says which of them that is"
            raise JobShared(how, job_id=job_id)
        case Canceling.ENDED:
            raise AlreadyEnded(job_id=job_id)
        case Canceling.NEVER | Canceling.TOMBSTONE:
            present(Gone.TOMBSTONE if asked is Canceling.TOMBSTONE else Gone.NEVER, job_id)


def asking(job_id: str) -> AbstractContextManager[None]:
    """Tell of a store that cannot be reached. What was asked for may be done twice."""
    return outages.told(job_id, "whether it was taken is not known; ask for it again")


def terms(request: Request, job: Job) -> Call:
    """Return how whoever sent a command is answered."""
    gateway = request.gateway
    now = gateway.clock.now()
    return Call(
        policy=gateway.policies.policy(job.route),
        urls=urls_for(request, shares.named(request)),
        arrived=now,
        mode=None,
        until=now + _TAKEN,
    )


async def _job(request: Request) -> Job:
    gateway = request.gateway
    job = await readable(request, gateway, request.id)
    cors.belongs_to(request, cors.origins_of(gateway.settings, job.route))
    return job


def _only_post(request: Request) -> None:
    if request.method != "POST":
        raise MethodNotAllowed(headers=(("Allow", "POST, OPTIONS"),))
