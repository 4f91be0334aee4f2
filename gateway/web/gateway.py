"""What handlers need, in one place: made by the composition root, found by them in the request."""

from __future__ import annotations

import dataclasses

from gateway.auth.keyring import Keyring
from gateway.auth.links import Signer
from gateway.store.port import Store
from gateway.upstream.orchestrator import Orchestrator
from gateway.web.drain import Drain
from gateway.web.settings import WebSettings
from gateway.worker.callback_secrets import CallbackSecrets
from gateway.worker.callbacks import Callbacks
from gateway.worker.clock import Clock
from gateway.worker.driver import Driver
from gateway.worker.held import Held
from gateway.worker.hints import Hints
from gateway.worker.intake import Intake
from gateway.worker.leases import Leases
from gateway.worker.links import Links
from gateway.worker.port import Policies
from gateway.worker.tasks import Tasks
from gateway.worker.told import Told
from gateway.worker.vault import Vault
from gateway.worker.watches import Watch, Watches


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """The running gateway, as the web layer sees it."""

    settings: WebSettings
    policies: Policies
    upstream_url: str
    own_credential: bool
    """Whether the gateway's own credential goes upstream; else each caller's own bearer does."""
    keyring: Keyring
    signer: Signer
    links: Links
    vault: Vault
    store: Store
    upstream: Orchestrator
    clock: Clock
    tasks: Tasks
    driver: Driver
    leases: Leases
    intake: Intake
    held: Held
    hints: Hints
    told: Told
    watches: Watches
    callbacks: Callbacks
    callback_secrets: CallbackSecrets
    drain: Drain

    async def body_of(self, watch: Watch) -> bytes:
        """Return the body of an ended job's outcome: from memory where its end was seen here, else from the store."""
        return watch.body if watch.body is not None else await self.watches.body(watch.job)
