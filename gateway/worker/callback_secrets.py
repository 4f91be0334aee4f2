"""Which secrets sign deliveries (Standard Webhooks): the route's, else the gateway's, else the called caller's own.

All that are current sign together, the newest first, so that a receiver changes from one to the next when it likes. A
caller's own come from the keyring, one from each key in it: rotating the keyring rotates them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from gateway.auth.keyring import Keyring
from gateway.core.delivery import Delivery
from gateway.core.job import Job
from gateway.worker.port import Policies
from gateway.worker.settings import CallbackSettings
from gateway.worker.vault import Vault

_PREFIX = "whsec_"
_PURPOSE = "callbacks"


class CannotSign(Exception):  # noqa: N818 - a condition, not a defect
    """No key of the ring tells whose secrets sign a delivery."""


class CallbackSecrets:
    """Knows the secrets."""

    def __init__(self, settings: CallbackSettings, policies: Policies, keyring: Keyring) -> None:
        self._configured = _keys(settings.signing)
        self._policies = policies
        self._keyring = keyring
        self._vault = Vault(keyring)

    @property
    def configured(self) -> bool:
        """Whether the gateway has secrets for all callers, which are not theirs to read."""
        return bool(self._configured)

    def keys(self, delivery: Delivery, job: Job) -> tuple[bytes, ...]:
        """Return the keys that sign a delivery of `job`. Raises `CannotSign`."""
        return (
            _keys(self._policies.policy(job.route).callback_secrets)
            or self._configured
            or self._derived(self._subject(delivery, job))
        )

    def of(self, subject: str) -> tuple[str, ...]:
        """Return a caller's own secrets as receivers are given them, newest first."""
        return tuple(_PREFIX + base64.b64encode(key).decode() for key in self._derived(subject))

    def _derived(self, subject: str) -> tuple[bytes, ...]:
        return tuple(self._keyring.derive(_PURPOSE, subject, age=age) for age in range(len(self._keyring)))

    def _subject(self, delivery: Delivery, job: Job) -> str:
        if not delivery.subject:
            return job.principal  # Everybody, under the gateway's own credential.
        subject = self._vault.open_subject(job.id, delivery.subject)
        if subject is None:
            raise CannotSign("no key of the keyring tells whose secret signs")
        return subject


def _keys(secrets: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(secret.removeprefix(_PREFIX)) for secret in secrets)
