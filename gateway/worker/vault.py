"""Sealing and opening what the store may not know: the start until it is answered, the bearer until the job ends."""

from __future__ import annotations

import msgspec

from gateway.auth.keyring import Keyring, SealBroken
from gateway.core.start import StartRequest


class Vault:
    """Seals under one keyring; every sealed value is bound to its job and its purpose."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal_start(self, job_id: str, start: StartRequest) -> bytes:
        """Seal a start request for a job."""
        return self._keyring.seal(msgspec.msgpack.encode(start), f"start {job_id}")

    def open_start(self, job_id: str, sealed: bytes) -> StartRequest | None:
        """Return the start request; None if no key opens it."""
        plain = self._open(sealed, f"start {job_id}")
        return None if plain is None else msgspec.msgpack.decode(plain, type=StartRequest)

    def seal_credential(self, job_id: str, bearer: str) -> bytes:
        """Seal a bearer for a job."""
        return self._keyring.seal(bearer.encode(), f"credential {job_id}")

    def open_credential(self, job_id: str, sealed: bytes) -> str | None:
        """Return the bearer; None if no key opens it."""
        plain = self._open(sealed, f"credential {job_id}")
        return None if plain is None else plain.decode()

    def hash(self, purpose: str, *parts: str) -> str:
        """Return a keyed hash, 64 hexadecimal digits."""
        return self._keyring.hash(purpose, *parts)

    def _open(self, sealed: bytes, bound_to: str) -> bytes | None:
        try:
            return self._keyring.open(sealed, bound_to)
        except SealBroken:
            return None
