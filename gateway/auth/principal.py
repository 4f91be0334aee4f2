"""Who calls: under pass-through, whoever the token claims to be; only the upstream's accepting it proves the claim."""

from __future__ import annotations

import base64
import binascii
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


_NOBODY = Caller(ANONYMOUS, ANONYMOUS)


def anonymous() -> Caller:
    """Return the caller that everybody is under the gateway's own credential."""
    return _NOBODY


def bearer_of(authorization: str | None) -> str | None:
    """Return the token of a `Bearer` Authorization field (RFC 6750 2.1), or None."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN or not token.isascii():
        return None
    return token if token.isprintable() and " " not in token else None


def identify(bearer: str | None, keyring: Keyring) -> Caller:
    """Return who claims to call with `bearer`. Raises `CredentialMissing` without one.

    A JWT's issuer and subject outlive its refreshes, so the same person keeps their jobs; any other token is its own
    principal. Nothing is verified here.
    """
    if bearer is None:
        # RFC 9110 15.5.2: a 401 has to name the scheme.
        raise CredentialMissing(
            "send `Authorization: Bearer …`; it goes to the upstream as it is",
            headers=(("WWW-Authenticate", "Bearer"),),
        )
    token = keyring.hash("token", bearer)
    claims = _claims(bearer)
    return Caller(token if claims is None else keyring.hash("principal", *claims), token, bearer)


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
