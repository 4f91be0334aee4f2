"""The identity server: tokens for client credentials (RFC 6749, 4.4), and where to get them.

The cloud has it at `/{org}/identity_/connect/token`, a standalone server at `/identity/connect/token`. Tokens live by
the event loop's clock; who has one may call until it expires or an admin ends them all.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.answers import Answer, json_answer
from gateway.simulator.counters import Counters
from gateway.simulator.faults import Point, Stage
from gateway.simulator.planning import FaultPlan
from gateway.simulator.settings import Settings
from gateway.simulator.targets import Identity
from gateway.simulator.wire import Script

_NO_STORE = (("Pragma", "no-cache"),)
_FORM = "application/x-www-form-urlencoded"


class TokenRefusedError(Exception):
    """A token request that is refused: an error code of RFC 6749, 5.2, and a text for people."""

    def __init__(self, error: str, description: str, *, challenge: bool = False) -> None:
        super().__init__(description)
        self.error = error
        self.challenge = challenge


class Tokens:
    """The tokens that were issued, each until it expires."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expires_at: dict[str, float] = {}

    def issue(self) -> str:
        """Return a new token."""
        now = asyncio.get_running_loop().time()
        self._expires_at = {token: at for token, at in self._expires_at.items() if at > now}
        token = secrets.token_urlsafe(32)
        self._expires_at[token] = now + self._lifetime
        return token

    def live(self, token: str) -> bool:
        """Whether a token was issued and has not expired."""
        return self._expires_at.get(token, 0.0) > asyncio.get_running_loop().time()

    def expire(self) -> int:
        """End every token now; return how many were live."""
        now = asyncio.get_running_loop().time()
        live = sum(at > now for at in self._expires_at.values())
        self._expires_at.clear()
        return live


class IdentityServer:
    """The handlers of the token endpoint and of the discovery document."""

    def __init__(self, settings: Settings, tokens: Tokens, counters: Counters, plan: FaultPlan) -> None:
        self._settings = settings
        self._tokens = tokens
        self._counters = counters
        self._plan = plan

    async def answer(self, request: web.Request, identity: Identity, origin: str) -> Answer | Script:
        """Answer a call to the identity server; a tenant without OAuth clients has none."""
        if self._settings.oauth_clients is None:
            return answers.error(404, "Not found.", 0)
        method = "POST" if identity.token else "GET"
        if request.method != method:
            return answers.error(405, "This resource does not support the method.", 0, ("Allow", method))
        if identity.token:
            return await self._token(request, self._settings.oauth_clients)
        return json_answer(200, _discovery(origin + identity.base))

    async def _token(self, request: web.Request, clients: Mapping[str, str]) -> Answer | Script:
        self._counters.token_requests += 1
        choice = self._plan.on_call(Point.TOKEN)
        if choice is not None and choice.fault.stage is Stage.BEFORE:
            return self._plan.spoil(choice)
        try:
            answer = self._grant(_form(request.content_type, await request.read()), request, clients)
        except TokenRefusedError as refused:
            answer = _refusal(refused)
        return self._plan.spoil(choice, answer)

    def _grant(self, form: dict[str, str], request: web.Request, clients: Mapping[str, str]) -> Answer:
        """Return a token, or raise TokenRefusedError."""
        if "grant_type" not in form:
            raise TokenRefusedError("invalid_request", "grant_type is missing.")
        client_id, secret, challenge = _credentials(form, request.headers.get("Authorization"))
        known = clients.get(client_id)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode()):
            raise TokenRefusedError("invalid_client", "Unknown client, or a wrong secret.", challenge=challenge)
        if form["grant_type"] != "client_credentials":
            raise TokenRefusedError("unsupported_grant_type", "Only client_credentials is supported.")
        scope = self._scope(form.get("scope", ""))
        self._counters.tokens += 1
        token = {
            "access_token": self._tokens.issue(),
            "expires_in": self._settings.token_lifetime,
            "token_type": "Bearer",
            "scope": scope,
        }
        return json_answer(200, token, *_NO_STORE)

    def _scope(self, asked: str) -> str:
        """Return the scope that is granted: what was asked for, or all of the client's."""
        allowed = self._settings.oauth_scopes
        if not {scope.removesuffix(".Read").removesuffix(".Write") for scope in asked.split()} <= allowed:
            raise TokenRefusedError("invalid_scope", f"The client may have {' '.join(sorted(allowed))}.")
        return asked or " ".join(sorted(allowed))


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """Return a form's fields; one that comes twice is an error (RFC 6749, 3.2)."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
    except UnicodeDecodeError:
        pairs = []
    fields = dict(pairs)
    if content_type != _FORM or not pairs or len(fields) < len(pairs):
        raise TokenRefusedError("invalid_request", "The body is no form, or a field comes twice.")
    return fields


def _credentials(form: dict[str, str], authorization: str | None) -> tuple[str, str, bool]:
    """Return a client's id and secret, and whether they came in the Authorization field (RFC 6749, 2.3.1)."""
    if authorization is None:
        return form.get("client_id", ""), form.get("client_secret", ""), False
    if "client_secret" in form:
        raise TokenRefusedError("invalid_request", "The client authenticates in more than one way.")
    scheme, _, credentials = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        scheme = colon = ""
    if scheme.lower() != "basic" or not colon:
        raise TokenRefusedError("invalid_client", "The Authorization field is not understood.", challenge=True)
    return unquote_plus(client_id), unquote_plus(secret), True


def _refusal(refused: TokenRefusedError) -> Answer:
    """Return the error: 400, or 401 with a challenge for a client that used the Authorization field."""
    body = {"error": refused.error, "error_description": str(refused)}
    if refused.challenge:
        return json_answer(401, body, ("WWW-Authenticate", 'Basic realm="identity"'), *_NO_STORE)
    return json_answer(400, body, *_NO_STORE)


def _discovery(issuer: str) -> dict[str, object]:
    """Return the discovery document (RFC 8414) as far as a client of this grant reads it."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/connect/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    }
