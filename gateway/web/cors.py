"""Cross-origin calls, for the origins that a route names (the Fetch standard)."""

from __future__ import annotations

from aiohttp import web

from gateway.core.exchange import Headers
from gateway.web.settings import Route

_EXPOSED = "Location, Job-Id, Job-Status, Link, Retry-After, Call-Mode-Applied, Idempotent-Replayed"
_MAX_AGE = "600"


def headers(request: web.Request, route: Route) -> Headers:
    """Return the fields that let the browser hand the answer to the page; none for a stranger."""
    origin = request.headers.get("Origin")
    if origin is None or not ({origin, "*"} & route.cors):
        return ()
    return (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED), ("Vary", "Origin"))


def options(request: web.Request, route: Route) -> web.Response:
    """Answer OPTIONS: what the route takes, and to a preflight what the page may send."""
    allow = ", ".join(sorted({*route.methods, "OPTIONS"}))
    fields = dict([("Allow", allow), *headers(request, route)])
    if "Access-Control-Request-Method" in request.headers and "Access-Control-Allow-Origin" in fields:
        fields["Access-Control-Allow-Methods"] = allow
        fields["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
        fields["Access-Control-Max-Age"] = _MAX_AGE
    return web.Response(status=204, headers=fields)
