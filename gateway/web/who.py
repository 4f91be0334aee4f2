"""Who sends a request: under the gateway's own credential everybody is one, else whoever the bearer claims to be."""

from __future__ import annotations

from gateway.auth.principal import Caller, anonymous, bearer_of, identify, required
from gateway.web.request import Request


def caller_of(request: Request) -> Caller:
    """Return who sends a request. Raises `CredentialMissing`."""
    gateway = request.gateway
    if gateway.own_credential:
        return anonymous(gateway.keyring)
    return identify(bearer_of(request.headers.get("Authorization")), gateway.keyring)


def bearer_for(request: Request) -> str | None:
    """Return the bearer that a request goes upstream with; None under the gateway's own. Raises `CredentialMissing`."""
    if request.gateway.own_credential:
        return None
    return required(bearer_of(request.headers.get("Authorization")))


def caller_if_said(request: Request) -> Caller | None:
    """Return who sends a request; None for one without a bearer, where there has to be one."""
    gateway = request.gateway
    if not gateway.own_credential and bearer_of(request.headers.get("Authorization")) is None:
        return None
    return caller_of(request)
