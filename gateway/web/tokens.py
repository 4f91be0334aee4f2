"""Whether a caller's token is good: what the upstream accepts is proved by asking it, and remembered for a while.

A job's owner whose token was refreshed is still its owner, and the new token is what later reads can use.
"""

from __future__ import annotations

from gateway.auth.principal import Caller
from gateway.core.job import Job, LegKind, State
from gateway.core.policy import SECOND
from gateway.store.port import StoreDown
from gateway.web.gateway import Gateway
from gateway.worker import outages
from gateway.worker.acceptances import REMEMBERED

_PROOF_TIMEOUT = 10 * SECOND


async def is_genuine(gateway: Gateway, job: Job, caller: Caller) -> bool:
    """Whether the upstream has accepted the caller's token, or does now."""
    if caller.has_token(job.token):
        return True
    with outages.told():
        return await gateway.store.knows_token(caller.token) or await _is_proved(gateway, job, caller)


def offer(gateway: Gateway, job: Job, caller: Caller) -> None:
    """Let a new bearer that comes with a valid signature take the place of the one that later reads use."""
    followed = job.leg is not None or job.state is State.UNKNOWN
    if not caller.has_token(job.token) and not job.state.terminal and followed:
        gateway.tasks.spawn(_replace_credential(gateway, job, caller), name=f"credential {job.id}")


async def _is_proved(gateway: Gateway, job: Job, caller: Caller) -> bool:
    """Ask the upstream itself, and remember that it said yes. May raise `StoreDown`."""
    leg = gateway.vault.reveal(job).leg
    # Only a status URI answers at once, and without consequence.
    if caller.bearer is None or leg is None or leg.kind is not LegKind.STATUS:
        return False
    if not await gateway.upstream.accepts(leg, caller.bearer, timeout=_PROOF_TIMEOUT):
        return False
    await gateway.store.remember_token(caller.token, keep=REMEMBERED)
    return True


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
    return await _is_proved(gateway, job, caller)
