"""Who may read a job: its principal, under a token that the upstream has accepted, or whoever has its signed link.

To anyone else it does not exist: same answer, whether or not there is such a job. To change it, a link is not enough:
it may have gone through logs and histories.
"""

from __future__ import annotations

from gateway.auth.principal import Caller, bearer_of, identify
from gateway.core.errors import CredentialUnproven, NotFound, ReadOnlyLink
from gateway.core.ids import is_id
from gateway.core.job import Job, KeyScope
from gateway.core.policy import SameCall
from gateway.store.port import Gone
from gateway.web.gateway import Gateway
from gateway.web.request import Request
from gateway.web.tokens import is_genuine, offer
from gateway.worker import outages
from gateway.worker.watches import NOT_FOUND, present

_PROVE = "make a call that the upstream accepts with this token, then repeat this one"
_NO_JOB = "no job has this id"


async def readable(request: Request, gateway: Gateway, job_id: str) -> Job:
    """Return a job that this request may read. Raises `NotFound`, `JobExpired`, `CredentialMissing`."""
    if not is_id(job_id):
        raise NotFound(NOT_FOUND)
    signed = gateway.signer.valid(job_id, request.query.get("sig", ""), gateway.clock.now())
    bearer = bearer_of(request.headers.get("Authorization"))
    caller = None
    if not gateway.own_credential and (bearer is not None or not signed):
        caller = identify(bearer, gateway.keyring)
    job = await _find(gateway, job_id)
    if isinstance(job, Job):
        if signed and caller is not None:
            offer(gateway, job, caller)
        if signed or caller is None or await _owns(gateway, job, caller):
            return job
    elif job is Gone.TOMBSTONE and (signed or caller is None or await _owned(gateway, job_id, caller)):
        return present(job, job_id)
    raise NotFound(NOT_FOUND)


async def of_operator(gateway: Gateway, job_id: str) -> Job:
    """Return a job for an operator of the gateway, whosever it is. Raises `NotFound`, `JobExpired`."""
    if not is_id(job_id):
        raise NotFound(_NO_JOB)
    job = await _find(gateway, job_id)
    if job is Gone.NEVER:
        raise NotFound(_NO_JOB)
    return present(job, job_id)


async def check_change(request: Request, gateway: Gateway, job: Job, *, share: int = 0) -> None:
    """See that a request that may read `job` may change it, or with `share` give that share of it up.

    Raises `ReadOnlyLink`, `CredentialUnproven`.
    """
    if gateway.own_credential:
        return
    bearer = bearer_of(request.headers.get("Authorization"))
    if bearer is None:
        raise ReadOnlyLink("send the token of whoever started the job as well", job_id=job.id)
    caller = identify(bearer, gateway.keyring)
    if not caller.is_principal(job.principal) and not (share and _is_shared_by_all(gateway, job)):
        raise ReadOnlyLink("the job was started by somebody else", job_id=job.id)
    if not await is_genuine(gateway, job, caller):
        raise CredentialUnproven(_PROVE, job_id=job.id)


async def may_change(request: Request, gateway: Gateway, job: Job, *, share: int = 0) -> bool:
    """Whether `check_change` has nothing against it."""
    try:
        await check_change(request, gateway, job, share=share)
    except (ReadOnlyLink, CredentialUnproven):
        return False
    return True


async def proven(request: Request, gateway: Gateway) -> Caller:
    """Return who sends this request, whose token names nobody but itself, or was accepted by the upstream lately.

    Raises `CredentialMissing`, `CredentialUnproven`.
    """
    caller = identify(bearer_of(request.headers.get("Authorization")), gateway.keyring)
    if caller.token == caller.principal:
        return caller
    with outages.told():
        for token in (caller.token, *(token for _, token in caller.former)):
            if await gateway.store.knows_token(token):
                return caller
    raise CredentialUnproven(_PROVE)


async def prove(gateway: Gateway, job_id: str, caller: Caller) -> Job | None:
    """See that `caller`, whose call repeats that of the job's principal, has a token that the upstream accepts.

    Where a route takes calls of different callers for one, it may be anybody's. Return the job; None if its record is
    gone. Raises `CredentialUnproven`.
    """
    job = await _find(gateway, job_id)
    if not isinstance(job, Job):
        return None
    known = caller.is_principal(job.principal) or _is_shared_by_all(gateway, job)
    if not known or not await is_genuine(gateway, job, caller):
        raise CredentialUnproven(_PROVE)
    return job


def _is_shared_by_all(gateway: Gateway, job: Job) -> bool:
    """Whether the job's route takes calls of different callers for one, and this job is of such a call."""
    same = gateway.policies.policy(job.route).deduplicate
    return job.key_scope is not KeyScope.CALL and same is not None and SameCall.CALLER not in same.by


async def _find(gateway: Gateway, job_id: str) -> Job | Gone:
    followed = gateway.driver.job(job_id)
    if followed is not None:
        return followed
    with outages.told():
        return await gateway.store.read(job_id)


async def _owns(gateway: Gateway, job: Job, caller: Caller) -> bool:
    return caller.is_principal(job.principal) and await is_genuine(gateway, job, caller)


async def _owned(gateway: Gateway, job_id: str, caller: Caller) -> bool:
    """Whether a job that is gone was this caller's: nothing of it is left that a claim would have to be proved for."""
    with outages.told():
        principal = await gateway.store.buried(job_id)
    return principal is not None and caller.is_principal(principal)
