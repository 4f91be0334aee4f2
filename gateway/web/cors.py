"""Cross-origin calls, for the origins that a route names (the Fetch standard).

A handler says whose answer it is giving (`belongs_to`); the fields are added when the head goes out, so that answers,
streams and problems alike can be read by the page.
"""

from __future__ import annotations

from gateway.core.exchange import Headers
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.web.settings import WebSettings

_EXPOSED = (
    "Location, Job-Id, Job-Status, Link, Operation-Location, Retry-After, Call-Mode-Applied, Preference-Applied, "
    "Idempotent-Replayed"
)
_MAX_AGE = "600"


def belongs_to(request: Request, origins: frozenset[str]) -> None:
    """Let pages of `origins` read the answer to `request`."""
    request.origins = origins


def finished(request: Request, fields: Headers) -> Headers:
    """Return `fields` with those that let the browser hand the answer to the page; none for a stranger."""
    origins = request.origins
    if not origins:
        return fields
    fields = (*fields, ("Vary", "Origin"))
    origin = request.headers.get("Origin")
    if not _may_read(origin, origins):
        return fields
    return (*fields, ("Access-Control-Allow-Origin", str(origin)), ("Access-Control-Expose-Headers", _EXPOSED))


def preflight(request: Request, methods: frozenset[str]) -> Response:
    """Answer OPTIONS: what the URL takes, and, to a page that may call, what it may send."""
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    asked, wanted = request.headers, request.headers.get("Access-Control-Request-Headers", "")
    if "Access-Control-Request-Method" not in asked or not _may_read(asked.get("Origin"), request.origins):
        return Response(204, (("Allow", allow),))
    fields = (
        ("Allow", allow),
        ("Access-Control-Allow-Methods", allow),
        # Names of fields are ASCII (RFC 9110 5.1).
        ("Access-Control-Allow-Headers", wanted if wanted.isascii() else ""),
        ("Access-Control-Max-Age", _MAX_AGE),
    )
    return Response(204, fields)


def _may_read(origin: str | None, origins: frozenset[str] | None) -> bool:
    # Serialised origins are ASCII (RFC 6454 6.1); what is none is nobody's page.
    return origin is not None and origins is not None and origin.isascii() and bool({origin, "*"} & origins)


def all_origins(settings: WebSettings) -> frozenset[str]:
    """Return the origins of all routes: whose job a preflight is about is not known before it is authenticated."""
    return frozenset[str]().union(*(route.cors for route in settings.routes))


def origins_of(settings: WebSettings, route: str) -> frozenset[str]:
    """Return the origins of the route with this name."""
    return next((known.cors for known in settings.routes if known.name == route), frozenset())
