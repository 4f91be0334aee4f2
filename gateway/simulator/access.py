"""Who may call: bearer tokens, as the tenant's settings have it."""

from __future__ import annotations

from gateway.simulator import answers
from gateway.simulator.answers import Answer
from gateway.simulator.jobs import Job
from gateway.simulator.settings import LONG_POLLING, Settings


def refusal(settings: Settings, authorization: str, redirect_of: Job | None = None) -> Answer | None:
    """Return 401 or 403 for a call whose Authorization field does not do, or None where it may go on.

    `redirect_of` is the job whose URI is called, None for a start. The tenant's setting frees the redirects of long
    polls only: a start, and the URIs of an AsyncRequestReply job, always need the token.
    """
    free = redirect_of is not None and redirect_of.mode == LONG_POLLING
    if not settings.require_auth or (free and not settings.require_auth_on_redirects):
        return None
    scheme, _, credentials = authorization.partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else ""
    if token in settings.forbidden_tokens:
        return answers.error(403, "You are not authorized.", 0)
    if not token or (settings.tokens is not None and token not in settings.tokens):
        return answers.error(401, "You are not authenticated.", 0, ("WWW-Authenticate", "Bearer"))
    return None
