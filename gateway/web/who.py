"""Who sends a request: under the gateway's own credential everybody is one, else whoever the bearer claims to be."""

from __future__ import annotations

from aiohttp import web

from gateway.auth.principal import Caller, anonymous, bearer_of, identify
from gateway.web.gateway import GATEWAY


def caller_of(request: web.Request) -> Caller:
    """Return who sends a request. Raises `CredentialMissing`."""
    gateway = request.app[GATEWAY]
    if gateway.own_credential:
        return anonymous(gateway.keyring)
    return identify(bearer_of(request.headers.get("Authorization")), gateway.keyring)


def caller_if_said(request: web.Request) -> Caller | None:
    """Return who sends a request; None for one without a bearer, where there has to be one."""
    gateway = request.app[GATEWAY]
    if not gateway.own_credential and bearer_of(request.headers.get("Authorization")) is None:
        return None
    return caller_of(request)
