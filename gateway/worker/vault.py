"""Sealing and opening what the store may not know: the start until it is answered, the bearer until the job ends.

The URI that a job is followed on is sealed too: where a tenant asks for no token on redirects, it is itself a secret.
"""

from __future__ import annotations

import base64

import msgspec

from gateway.auth.keyring import Keyring, SealBroken
from gateway.core.job import Job, Leg
from gateway.core.start import StartRequest

_SEALED = "sealed:"
"""What a sealed URI begins with; no URI that is followed has this scheme."""


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
        try:
            return self._keyring.open(sealed, f"credential {job_id}").decode()
        except SealBroken:
            return None

    def seal_subject(self, job_id: str, subject: str) -> bytes:
        """Seal who is called back about a job."""
        return self._keyring.seal(subject.encode("utf-8", "surrogatepass"), f"subject {job_id}")

    def open_subject(self, job_id: str, sealed: bytes) -> str | None:
        """Return who is called back about a job; None if no key opens it."""
        plain = self._open(sealed, f"subject {job_id}")
        return None if plain is None else plain.decode("utf-8", "surrogatepass")

    def conceal(self, job: Job) -> Job:
        """Return the record as it is stored: with the URI of its leg sealed."""
        if job.leg is None or job.leg.url.startswith(_SEALED):
            return job
        sealed = self._keyring.seal(job.leg.url.encode(), f"leg {job.id}")
        return job.with_(leg=_with_url(job.leg, _SEALED + base64.b64encode(sealed).decode()))

    def reveal(self, job: Job) -> Job:
        """Return the record with the URI of its leg open; without a leg if no key opens it."""
        if job.leg is None or not job.leg.url.startswith(_SEALED):
            return job
        plain = self._open(base64.b64decode(job.leg.url.removeprefix(_SEALED)), f"leg {job.id}")
        return job.with_(leg=None if plain is None else _with_url(job.leg, plain.decode()))

    def hash(self, purpose: str, *parts: str, age: int = 0) -> str:
        """Return a keyed hash, 64 hexadecimal digits; `age` counts the ring's keys from the newest."""
        return self._keyring.hash(purpose, *parts, age=age)

    def _open(self, sealed: bytes, bound_to: str) -> bytes | None:
        try:
            return self._keyring.open(sealed, bound_to)
        except SealBroken:
            return None


def _with_url(leg: Leg, url: str) -> Leg:
    return msgspec.structs.replace(leg, url=url)
