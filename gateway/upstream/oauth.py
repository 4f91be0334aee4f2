"""The gateway's own credential by OAuth 2.0 client credentials (RFC 6749, section 4.4).

A token is fetched once for all who wait for one, and anew ahead of its expiry while the old one still serves, so that
no call ever waits for a token but the first. A token that the upstream refuses is replaced once; when its replacement
is refused too, it is not the token that is wrong. Neither secret nor token is ever logged or put into a message.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.core.exchange import Answer, Exchanged, Failure, Headers, Reason, Request
from gateway.core.outcome import retry_after
from gateway.core.timing import backoff
from gateway.upstream.listing import Trouble
from gateway.upstream.port import Client, Spawn
from gateway.upstream.settings import OAuthSettings

_TIMEOUT = 15.0
_LIFETIME = 300.0
"""Seconds that a token is taken to live where the answer does not say."""
_RENEW = (0.7, 0.85)
"""Of its lifetime: between these a token is renewed, so that replicas which began together do not ask together."""
_MARGIN = 0.05
"""Of its lifetime: a token this near its expiry is not sent any more, since it has a way to go."""
_REPLACED = 30.0
"""Seconds for which the replacement of a refused token is not replaced itself."""

_DENIED = frozenset({400, 401, 403})
_CODES = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope",
})  # fmt: skip
"""The errors of RFC 6749, section 5.2; nothing else of an answer is repeated."""


class _Answer(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float | None = None


class _Error(msgspec.Struct, frozen=True):
    error: str = ""


class _Token(msgspec.Struct, frozen=True):
    """A token, and until when (loop time) it serves and is not renewed."""

    text: str
    serves: float
    renewed: float


Endpoint = Callable[[], Awaitable["str | Trouble"]]


class ClientCredentials:
    """A `Credential` that is fetched from a token endpoint."""

    own = True

    def __init__(self, client: Client, settings: OAuthSettings, endpoint: Endpoint, spawn: Spawn) -> None:
        self._client = client
        self._settings = settings
        self._endpoint = endpoint
        self._spawn = spawn
        self._token: _Token | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._failure = Failure(Reason.CREDENTIAL, sent=False)
        """What the last fetch came to, where it did not bring a token."""
        self._failures = 0
        self._not_before = 0.0
        """After a failure: when the next fetch may be."""
        self._replaced = float("-inf")

    async def bearer(self, callers: str | None, *, timeout: float) -> str | Failure:  # noqa: ARG002 - it is not theirs
        """Return the token, fetching it where there is none, and renewing it in the background where it is time."""
        now = asyncio.get_running_loop().time()
        token = self._token
        if token is not None and now < token.serves:
            if now >= token.renewed and now >= self._not_before:
                self._fetch()
            return token.text
        if self._fetching is None and now < self._not_before:
            return self._failure
        try:
            async with asyncio.timeout(timeout):
                # Others wait for it too: one that gives up must not take it away from them.
                await asyncio.shield(self._fetch())
        except TimeoutError:
            return Failure(Reason.TIMEOUT, sent=False, detail="no token came in time")
        return self._failure if self._token is None or self._failures else self._token.text

    def refused(self, token: str) -> bool:
        """Drop a token that was answered with 401, if it is the one in use; return whether another may be had."""
        now = asyncio.get_running_loop().time()
        if self._token is None or self._token.text != token:
            return True  # Somebody else has noticed before.
        if now < self._replaced + _REPLACED:
            return False
        self._replaced = now
        self._token = None
        return True

    def _fetch(self) -> asyncio.Task[None]:
        """Return the fetch that is under way, after beginning one where there is none."""
        if self._fetching is None:
            self._fetching = self._spawn(self._fetched(), name="token")
            self._fetching.add_done_callback(self._over)
        return self._fetching

    def _over(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetched(self) -> None:
        asked = asyncio.get_running_loop().time()
        token = await self._request(asked)
        if isinstance(token, _Token):
            self._token, self._failures, self._not_before = token, 0, 0.0
            return
        failure, wait = token
        self._failure = failure
        self._failures += 1
        self._not_before = asyncio.get_running_loop().time() + backoff(self._failures, wait) / 1000

    async def _request(self, asked: float) -> _Token | tuple[Failure, int]:
        """Ask for a token once. Return it, or the failure and how long (ms) the endpoint asked to wait."""
        endpoint = await self._endpoint()
        if isinstance(endpoint, Trouble):
            return _unreachable(endpoint.why), endpoint.hint
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret,
            "scope": self._settings.scope,
        }
        headers: Headers = (
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        )
        if self._settings.tenant is not None:
            headers = (*headers, ("X-UIPATH-TenantName", self._settings.tenant))
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        exchanged = await self._client.exchange(Request("POST", endpoint, headers, body), timeout=_TIMEOUT)
        return _read(exchanged, asked)


def _read(exchanged: Exchanged, asked: float) -> _Token | tuple[Failure, int]:
    if isinstance(exchanged, Failure):
        return _unreachable(f"the token endpoint gave no answer: {exchanged.reason.value}"), 0
    if exchanged.status == 200:
        try:
            answer = msgspec.json.decode(exchanged.body, type=_Answer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _unreachable("the token endpoint's answer has no access_token"), 0
        return _token(answer, asked)
    if exchanged.status in _DENIED:
        detail = f"the token endpoint answered {exchanged.status}{_code(exchanged)}"
        return Failure(Reason.CREDENTIAL, sent=False, detail=detail), retry_after(exchanged)
    return _unreachable(f"the token endpoint answered {exchanged.status}"), retry_after(exchanged)


def _token(answer: _Answer, asked: float) -> _Token | tuple[Failure, int]:
    text = answer.access_token
    if not text or not all("!" <= character <= "~" for character in text):
        return _unreachable("the token endpoint's answer has no token that a header can hold"), 0
    lifetime = answer.expires_in if answer.expires_in is not None and answer.expires_in > 0 else _LIFETIME
    renew = random.uniform(*_RENEW)  # noqa: S311 - spreads load, keeps no secret
    return _Token(text, serves=asked + lifetime * (1 - _MARGIN), renewed=asked + lifetime * renew)


def _code(answer: Answer) -> str:
    """Return which of the standard's errors an answer names, in brackets; nothing if it names none."""
    try:
        code = msgspec.json.decode(answer.body, type=_Error).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return f" ({code})" if code in _CODES else ""


def _unreachable(why: str) -> Failure:
    """A failure that time may heal, as that to reach the upstream itself."""
    return Failure(Reason.CONNECT, sent=False, detail=f"no token could be had: {why}")


def usual_token_url(upstream_url: str) -> str:
    """Return the token endpoint that belongs to an Orchestrator: of its organisation, or of its host if standalone."""
    parts = urlsplit(upstream_url)
    segments = parts.path.strip("/").split("/")
    hosted = len(segments) == 3 and segments[2] == "orchestrator_"
    path = f"/{quote(segments[0], safe='%')}/identity_" if hosted else "/identity"
    return f"{parts.scheme}://{parts.netloc}{path}/connect/token"
