"""Who may read a job: its principal, under a token that the upstream has accepted, or whoever has its signed link.

To anyone else it does not exist: same answer, whether or not there is such a job. To change it, a link is not enough:
it may have gone through logs and histories.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from gateway.auth.principal import Caller, bearer_of, identify
from gateway.core.errors import CredentialUnproven, JobExpired, NotFound, ReadOnlyLink, StoreUnavailable
from gateway.core.ids import is_id
from gateway.core.job import Job, KeyScope, LegKind, State
from gateway.core.policy import SECOND, SameCall
from gateway.store.port import Gone, StoreDown
from gateway.web.gateway import Gateway
from gateway.worker.acceptances import REMEMBERED

_PROOF_TIMEOUT = 10 * SECOND

_PROVE = "make a call that the upstream accepts with this token, then repeat this one"
_NO_JOB = "no job has this id"
_OVER = "its outcome was kept for the route's retention, which is over, or it was erased"
_NOT_FOUND = "no job has this id, or it is not yours"


async def readable(request: web.Request, gateway: Gateway, job_id: str) -> Job:
    """Return a job that this request may read. Raises `NotFound`, `JobExpired`, `CredentialMissing`."""
    if not is_id(job_id):
        raise NotFound(_NOT_FOUND)
    signed = gateway.signer.valid(job_id, request.query.get("sig", ""), gateway.clock.now())
    bearer = bearer_of(request.headers.get("Authorization"))
    caller = None
    if not gateway.own_credential and (bearer is not None or not signed):
        caller = identify(bearer, gateway.keyring)
    job = await _find(gateway, job_id)
    if isinstance(job, Job):
        if signed and caller is not None:
            _offer(gateway, job, caller)
        if signed or caller is None or await _owns(gateway, job, caller):
            return job
    elif job is Gone.TOMBSTONE and (signed or caller is None or await _owned(gateway, job_id, caller)):
        raise JobExpired(_OVER, job_id=job_id)
    raise NotFound(_NOT_FOUND)


async def of_operator(gateway: Gateway, job_id: str) -> Job:
    """Return a job for an operator of the gateway, whosever it is. Raises `NotFound`, `JobExpired`."""
    if not is_id(job_id):
        raise NotFound(_NO_JOB)
    job = await _find(gateway, job_id)
    if isinstance(job, Job):
        return job
    if job is Gone.TOMBSTONE:
        raise JobExpired(_OVER, job_id=job_id)
    raise NotFound(_NO_JOB)


async def check_change(request: web.Request, gateway: Gateway, job: Job, *, share: int = 0) -> None:
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
    if not await _is_genuine(gateway, job, caller):
        raise CredentialUnproven(_PROVE, job_id=job.id)


async def may_change(request: web.Request, gateway: Gateway, job: Job, *, share: int = 0) -> bool:
    """Whether `check_change` has nothing against it."""
    try:
        await check_change(request, gateway, job, share=share)
    except (ReadOnlyLink, CredentialUnproven):
        return False
    return True


async def proven(request: web.Request, gateway: Gateway) -> Caller:
    """Return who sends this request, whose token names nobody but itself, or was accepted by the upstream lately.

    Raises `CredentialMissing`, `CredentialUnproven`.
    """
    caller = identify(bearer_of(request.headers.get("Authorization")), gateway.keyring)
    if caller.token == caller.principal:
        return caller
    with _asking_the_store():
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
    if not known or not await _is_genuine(gateway, job, caller):
        raise CredentialUnproven(_PROVE)
    return job


def _is_shared_by_all(gateway: Gateway, job: Job) -> bool:
    """Whether the job's route takes calls of different callers for one, and this job is of such a call."""
    same = gateway.policies.policy(job.route).deduplicate
    return job.key_scope is not KeyScope.CALL and same is not None and SameCall.CALLER not in same.by


@contextmanager
def _asking_the_store() -> Iterator[None]:
    # Not yet known to be anybody's job, so nothing is said of one.
    try:
        yield
    except StoreDown as error:
        raise StoreUnavailable("the job store cannot be reached; ask again") from error


async def _find(gateway: Gateway, job_id: str) -> Job | Gone:
    followed = gateway.driver.job(job_id)
    if followed is not None:
        return followed
    with _asking_the_store():
        return await gateway.store.read(job_id)


async def _owns(gateway: Gateway, job: Job, caller: Caller) -> bool:
    return caller.is_principal(job.principal) and await _is_genuine(gateway, job, caller)


async def _is_genuine(gateway: Gateway, job: Job, caller: Caller) -> bool:
    """Whether the upstream has accepted the caller's token, or does now."""
    if caller.has_token(job.token):
        return True
    with _asking_the_store():
        if await gateway.store.knows_token(caller.token):
            return True
        if not await _accepted_upstream(gateway, job, caller):
            return False
        await gateway.store.remember_token(caller.token, keep=REMEMBERED)
    return True


async def _owned(gateway: Gateway, job_id: str, caller: Caller) -> bool:
    """Whether a job that is gone was this caller's: nothing of it is left that a claim would have to be proved for."""
    with _asking_the_store():
        principal = await gateway.store.buried(job_id)
    return principal is not None and caller.is_principal(principal)


async def _accepted_upstream(gateway: Gateway, job: Job, caller: Caller) -> bool:
    """Ask the upstream itself: only a status URI answers at once, and without consequence."""
    leg = gateway.vault.reveal(job).leg
    if caller.bearer is None or leg is None or leg.kind is not LegKind.STATUS:
        return False
    return await gateway.upstream.accepts(leg, caller.bearer, timeout=_PROOF_TIMEOUT)


def _offer(gateway: Gateway, job: Job, caller: Caller) -> None:
    """Let a new bearer that comes with a valid signature take the place of the one that later reads use."""
    followed = job.leg is not None or job.state is State.UNKNOWN
    if not caller.has_token(job.token) and not job.state.terminal and followed:
        gateway.tasks.spawn(_replace_credential(gateway, job, caller), name=f"credential {job.id}")


async def _replace_credential(gateway: Gateway, job: Job, caller: Caller) -> None:
    assert caller.bearer is not None, "an identified caller has a bearer"
    offered = gateway.keyring.hash("offered", job.id, caller.token)
    try:
        if await gateway.store.knows_token(offered) or not await _of_use(gateway, job, caller):
            return
        await gateway.store.offer_credential(job.id, gateway.vault.seal_credential(job.id, caller.bearer))
        await gateway.store.remember_token(offered, keep=REMEMBERED)
    except StoreDown:
        return  # The next read offers it again.


async def _of_use(gateway: Gateway, job: Job, caller: Caller) -> bool:
    """Whether the job can be followed on with the caller's bearer. May raise `StoreDown`."""
    leg = gateway.vault.reveal(job).leg
    if caller.bearer is None:
        return False
    if leg is None:
        # There is nothing to try it on while the job is in doubt: it has to be its owner's own.
        return caller.is_principal(job.principal) and await gateway.store.knows_token(caller.token)
    if leg.kind is LegKind.JOB:
        return await gateway.upstream.readable(leg, caller.bearer, timeout=_PROOF_TIMEOUT)
    if not await _accepted_upstream(gateway, job, caller):
        return False
    await gateway.store.remember_token(caller.token, keep=REMEMBERED)
    return True
