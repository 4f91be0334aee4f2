"""Who calls: under pass-through, whoever the token claims to be; only the upstream's accepting it proves the claim."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

import msgspec

from gateway.auth.keyring import Keyring
from gateway.core.errors import CredentialMissing

ANONYMOUS = "anonymous"
"""Everybody, under the gateway's own credential."""

_MAX_TOKEN = 16 * 1024


class Caller(msgspec.Struct, frozen=True):
    """Who calls: `principal` and `token` are keyed hashes; `bearer` is the secret itself, or None."""

    principal: str
    token: str
    bearer: str | None = None
    subject: str = ""
    """Who this is whatever keys are in the ring. Only ever stored sealed."""
    former: tuple[tuple[str, str], ...] = ()
    """Principal and token as each older key of the ring hashes them, in their order."""

    def is_principal(self, principal: str) -> bool:
        """Whether a record's principal is this caller, whichever key hashed it."""
        return principal == self.principal or any(principal == former for former, _ in self.former)

    def has_token(self, token: str) -> bool:
        """Whether a record's token is this caller's, whichever key hashed it."""
        return token == self.token or any(token == former for _, former in self.former)


def anonymous(keyring: Keyring) -> Caller:
    """Return the caller that everybody is under the gateway's own credential."""
    return Caller(ANONYMOUS, ANONYMOUS, subject=ANONYMOUS, former=((ANONYMOUS, ANONYMOUS),) * (len(keyring) - 1))


def bearer_of(authorization: str | None) -> str | None:
    """Return the token of a `Bearer` Authorization field (RFC 6750 2.1), or None."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN or not token.isascii():
        return None
    return token if token.isprintable() and " " not in token else None


def required(bearer: str | None) -> str:
    """Return `bearer`. Raises `CredentialMissing` where there is none."""
    if bearer is None:
        # RFC 9110 15.5.2: a 401 has to name the scheme.
        raise CredentialMissing(
            "send `Authorization: Bearer …`; it goes to the upstream as it is",
            headers=(("WWW-Authenticate", "Bearer"),),
        )
    return bearer


def identify(bearer: str | None, keyring: Keyring) -> Caller:
    """Return who claims to call with `bearer`. Raises `CredentialMissing` without one.

    A JWT's issuer and subject outlive its refreshes, so the same person keeps their jobs; any other token is its own
    principal. Nothing is verified here.
    """
    bearer = required(bearer)
    claims = _claims(bearer)
    (principal, token), *former = (_hashed(bearer, claims, keyring, age) for age in range(len(keyring)))
    return Caller(principal, token, bearer, _subject(bearer, claims), tuple(former))


def _hashed(bearer: str, claims: tuple[str, str] | None, keyring: Keyring, age: int) -> tuple[str, str]:
    token = keyring.hash("token", bearer, age=age)
    return (token if claims is None else keyring.hash("principal", *claims, age=age)), token


def _subject(bearer: str, claims: tuple[str, str] | None) -> str:
    # Never the token itself: a subject is kept for longer than a credential.
    if claims is not None:
        return json.dumps(claims)
    return hashlib.sha256(bearer.encode("utf-8", "surrogatepass")).hexdigest()


def _claims(bearer: str) -> tuple[str, str] | None:
    parts = bearer.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    issuer, subject = payload.get("iss"), payload.get("sub")
    return (issuer, subject) if isinstance(issuer, str) and isinstance(subject, str) and subject else None
