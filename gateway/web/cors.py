"""Cross-origin calls, for the origins that a route names (the Fetch standard).

A handler says whose answer it is giving (`belongs_to`); the fields are added when the head goes out, so that answers,
streams and problems alike can be read by the page.
"""

from __future__ import annotations

from aiohttp import web

from gateway.web.settings import WebSettings

_ORIGINS: web.RequestKey[frozenset[str]] = web.RequestKey("cors-origins", frozenset)

_EXPOSED = (
    "Location, Job-Id, Job-Status, Link, Operation-Location, Retry-After, Call-Mode-Applied, Preference-Applied, "
    "Idempotent-Replayed"
)
_MAX_AGE = "600"


def belongs_to(request: web.Request, origins: frozenset[str]) -> None:
    """Let pages of `origins` read the answer to `request`."""
    request[_ORIGINS] = origins


def finish(request: web.Request, response: web.StreamResponse) -> None:
    """Add the fields that let the browser hand the answer to the page; none for a stranger."""
    origins = request.get(_ORIGINS)
    if not origins:
        return
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin is not None and {origin, "*"} & origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def preflight(request: web.Request, methods: frozenset[str]) -> web.Response:
    """Answer OPTIONS: what the URL takes, and, to a page that may call, what it may send."""
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    fields = {"Allow": allow}
    origin, origins = request.headers.get("Origin"), request.get(_ORIGINS) or frozenset()
    if "Access-Control-Request-Method" in request.headers and {origin, "*"} & origins:
        fields["Access-Control-Allow-Methods"] = allow
        fields["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
        fields["Access-Control-Max-Age"] = _MAX_AGE
    return web.Response(status=204, headers=fields)


def all_origins(settings: WebSettings) -> frozenset[str]:
    """Return the origins of all routes: whose job a preflight is about is not known before it is authenticated."""
    return frozenset[str]().union(*(route.cors for route in settings.routes))


def origins_of(settings: WebSettings, route: str) -> frozenset[str]:
    """Return the origins of the route with this name."""
    return next((known.cors for known in settings.routes if known.name == route), frozenset())
