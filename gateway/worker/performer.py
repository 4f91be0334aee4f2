"""Performing the actions of a followed job: each is one question to the upstream, asked with the job's credential.

A credential is opened for the question and forgotten after it; the store may have a newer one, which is taken over
where the old one was refused, or may be old by now.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.core import events as e
from gateway.core.plan import Read, Reconcile, Start, Stop, unsettled
from gateway.core.policy import Policy
from gateway.core.start import StartRequest
from gateway.store.port import Store, StoreDown
from gateway.worker.entry import Entry
from gateway.worker.port import Upstream
from gateway.worker.vault import Vault


class Performer:
    """Asks the upstream; what came of it, the driver applies."""

    def __init__(self, store: Store, upstream: Upstream, vault: Vault) -> None:
        self._store = store
        self._upstream = upstream
        self._vault = vault

    def opened(self, entry: Entry) -> StartRequest | None:
        """Return what starts the job; None if no key of the keyring opens it."""
        if entry.request is not None or entry.start is None:
            return entry.request
        return self._vault.open_start(entry.job.id, entry.start)

    async def start(self, entry: Entry, request: StartRequest, action: Start, policy: Policy) -> e.Event:
        """Send the start, once."""
        bearer, entry.bearer = entry.bearer, None
        return await self._upstream.start(
            request,
            entry.job.asked,
            self._bearer(entry) if bearer is None else bearer,
            timeout=action.timeout,
            max_idle=policy.start_max_idle,
        )

    async def read(self, entry: Entry, action: Read, policy: Policy, *, told: bool = False) -> e.Event:
        """Read the job's leg. `told`: something says that it has news."""
        event = await self._upstream.read(
            action.leg,
            self._bearer(entry),
            timeout=action.timeout,
            redirects=entry.job.redirects,
            failures=entry.job.progress.failures,
            told=told,
        )
        if isinstance(event, e.ReadFailed) and event.unauthorized:
            await self._renew_credential(entry)
        return unsettled(entry.job, event, policy)

    async def reconcile(self, entry: Entry, action: Reconcile, policy: Policy) -> e.Event:
        """Ask what became of a start that is in doubt."""
        # Looks are seldom, and a doubt may outlive the token that the job began with.
        await self._renew_credential(entry)
        return await self._upstream.reconcile(entry.job, policy.binding, self._bearer(entry), timeout=action.timeout)

    async def stop(self, entry: Entry, action: Stop, policy: Policy) -> e.Event:
        """Ask for the job to be stopped."""
        await self._renew_credential(entry)
        return await self._upstream.stop(
            entry.job, policy.binding, action.strategy, self._bearer(entry), timeout=action.timeout
        )

    def _bearer(self, entry: Entry) -> str | None:
        return None if entry.credential is None else self._vault.open_credential(entry.job.id, entry.credential)

    async def _renew_credential(self, entry: Entry) -> None:
        """Take over a credential that somebody brought meanwhile."""
        if entry.credential is None:
            return
        with suppress(StoreDown):
            entry.credential = await self._store.read_credential(entry.job.id) or entry.credential
