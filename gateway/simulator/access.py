"""Who may call: bearer tokens, those of the tenant's settings and those that its identity server issued."""

from __future__ import annotations

from gateway.simulator import answers
from gateway.simulator.answers import Answer
from gateway.simulator.counters import Counters
from gateway.simulator.job import Job
from gateway.simulator.oauth import Tokens
from gateway.simulator.settings import LONG_POLLING, Settings


class Access:
    """Checks the Authorization field of every call, and counts what it refuses."""

    def __init__(self, settings: Settings, counters: Counters, issued: Tokens) -> None:
        self._settings = settings
        self._counters = counters
        self._issued = issued

    def refusal(self, authorization: str, redirect_of: Job | None = None) -> Answer | None:
        """Return 401 or 403 for a call whose Authorization field does not do, or None where it may go on.

        `redirect_of` is the job whose URI is called, None for any other call. The tenant's setting frees the redirects
        of long polls only: a start, the Jobs API, and the URIs of an AsyncRequestReply job, always need the token.
        """
        free = redirect_of is not None and redirect_of.mode == LONG_POLLING
        if not self._settings.require_auth or (free and not self._settings.require_auth_on_redirects):
            return None
        refused = self._check(authorization)
        self._counters.refused += refused is not None
        return refused

    def _check(self, authorization: str) -> Answer | None:
        scheme, _, credentials = authorization.partition(" ")
        token = credentials.strip() if scheme.lower() == "bearer" else ""
        if token in self._settings.forbidden_tokens:
            return answers.error(403, "You are not authorized.", 0)
        if not token or not self._good(token):
            return answers.error(401, "You are not authenticated.", 0, ("WWW-Authenticate", "Bearer"))
        return None

    def _good(self, token: str) -> bool:
        """Whether a token is one of the settings', or was issued; without either kind, any is."""
        settings = self._settings
        if settings.tokens is None and settings.oauth_clients is None:
            return True
        return token in (settings.tokens or ()) or self._issued.live(token)
