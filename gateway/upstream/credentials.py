"""What a request to Orchestrator authenticates with, and the sending of requests with it.

Three kinds: the caller's own bearer passed on, a fixed bearer of the gateway's, and OAuth client credentials
(`oauth.py`). A token that cannot be had is a failure of the exchange in which nothing was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.core.exchange import Answer, Exchanged, Failure, Reason, Request
from gateway.upstream.port import Client


class Credential(Protocol):
    """One kind of credential."""

    @property
    def own(self) -> bool:
        """Whether it is the gateway's own, rather than the caller's."""
        ...

    async def bearer(self, callers: str | None, *, timeout: float) -> str | Failure | None:
        """Return the token to send, given the caller's; None sends none. `Failure`: none was to be had in time.

        `timeout` is seconds.
        """
        ...

    def refused(self, token: str) -> bool:
        """Take note that the upstream answered `token` with 401; return whether another may be had for it."""
        ...


class PassedOn:
    """Each caller's own bearer."""

    own = False

    def at_hand(self, callers: str | None) -> str | None:
        """Return the caller's."""
        return callers

    async def bearer(self, callers: str | None, *, timeout: float) -> str | None:  # noqa: ARG002 - nothing to wait for
        """Return the caller's."""
        return callers

    def refused(self, token: str) -> bool:  # noqa: ARG002 - it is its caller's to renew
        """Return False."""
        return False


class FixedBearer:
    """A token that the configuration gives, such as a personal access token."""

    own = True

    def __init__(self, token: str) -> None:
        self._token = token

    def at_hand(self, callers: str | None) -> str:  # noqa: ARG002 - it is nobody's
        """Return it."""
        return self._token

    async def bearer(self, callers: str | None, *, timeout: float) -> str:  # noqa: ARG002 - it is there, and nobody's
        """Return it."""
        return self._token

    def refused(self, token: str) -> bool:  # noqa: ARG002 - it is its operator's to renew
        """Return False."""
        return False


class Authorized:
    """Sends requests under a credential."""

    def __init__(self, client: Client, credential: Credential) -> None:
        self._client = client
        self._credential = credential
        self.own = credential.own
        """Whether the credential is the gateway's own."""
        self._at_hand = credential.at_hand if isinstance(credential, PassedOn | FixedBearer) else None

    def exchange(
        self, request: Request, callers: str | None, *, timeout: float, max_idle: float | None = None
    ) -> Coroutine[Any, Any, Exchanged]:
        """Send `request` as `Client.exchange` does, with a token. Times are seconds.

        Answered 401, it is sent once more where the credential has another token: authentication comes before
        anything else, so what was refused for its token did nothing, were it a start.
        """
        if self._at_hand is not None:
            # Nothing to wait for before, and no other token afterwards: the client's part is all there is.
            request = _with_token(request, self._at_hand(callers))
            return self._client.exchange(request, timeout=timeout, max_idle=max_idle)
        return self._exchange(request, callers, timeout, max_idle)

    async def _exchange(
        self, request: Request, callers: str | None, timeout: float, max_idle: float | None
    ) -> Exchanged:
        deadline = asyncio.get_running_loop().time() + timeout
        token = await self._credential.bearer(callers, timeout=timeout)
        exchanged = await self._send(request, token, deadline, max_idle)
        if isinstance(token, str) and isinstance(exchanged, Answer) and exchanged.status == 401:
            left = deadline - asyncio.get_running_loop().time()
            if self._credential.refused(token) and left > 0:
                other = await self._credential.bearer(callers, timeout=left)
                return await self._send(request, other, deadline, max_idle) if isinstance(other, str) else exchanged
        return exchanged

    async def _send(
        self, request: Request, token: str | Failure | None, deadline: float, max_idle: float | None
    ) -> Exchanged:
        if isinstance(token, Failure):
            return token
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            # Sent now it would be cut off at once, and a start would then be in doubt for nothing.
            return Failure(Reason.TIMEOUT, sent=False, detail="a token came, and no time was left")
        return await self._client.exchange(_with_token(request, token), timeout=left, max_idle=max_idle)


def _with_token(request: Request, token: str | None) -> Request:
    if token is None:
        return request
    headers = (*request.headers, ("Authorization", f"Bearer {token}"))
    return Request(request.method, request.url, headers, request.body)
