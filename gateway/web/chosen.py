"""`PUT /-/jobs/{id}?route=NAME[&method=VERB]`: a call whose caller chooses the job's id, and may so repeat it at will.

The route is named as the configuration names it, under pass-through by its trigger's path. All else in the query goes
to the job. The job's own id, which all links use, is made of the caller and the chosen one: nobody else's is touched.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

from gateway.core.errors import BadRequest, NotATrigger
from gateway.core.target import BadTarget, parse_target
from gateway.web import calls
from gateway.web.request import Request
from gateway.web.response import Answered
from gateway.web.routing import Destination, find
from gateway.web.settings import Route, WebSettings

_ID = re.compile(rb"[\x21-\x7e]{1,255}")
_OWN = ("route", "method")


async def put(request: Request) -> Answered:
    """Start the job of a chosen id, or attach to it."""
    return await calls.run(request, _destination(request, request.gateway.settings))


def _destination(request: Request, settings: WebSettings) -> Destination:
    chosen = unquote_to_bytes(request.escaped_path.rpartition("/")[2])
    if not _ID.fullmatch(chosen):
        raise BadRequest("an id has 1 to 255 visible ASCII characters")
    own, query = _split(request.raw_query)
    if not own.get("route"):
        raise BadRequest("`route=` says what is to be started")
    route = _route(settings, own["route"])
    return Destination(route, query, method=_method(route, own.get("method")), chosen_id=chosen.decode())


def _split(raw: str) -> tuple[dict[str, str], str | None]:
    """Return the gateway's own parameters, and the rest of the query as it was sent."""
    try:
        parse_target(f"/?{raw}")
    except BadTarget as error:
        raise BadRequest(f"the query is refused: {error}") from error
    own: dict[str, str] = {}
    rest = []
    for parameter in raw.split("&"):
        name, _, value = parameter.partition("=")
        if name not in _OWN:
            rest.append(parameter)
        elif name in own:
            raise BadRequest(f"`{name}=` may come once")
        else:
            own[name] = unquote(value)
    return own, "&".join(rest) or None


def _route(settings: WebSettings, name: str) -> Route:
    if not settings.routes:
        return find(settings, name.partition("?")[0], "PUT").route
    for route in settings.routes:
        if route.name == name:
            return route
    raise NotATrigger("no route of the configuration has this name")


def _method(route: Route, said: str | None) -> str:
    """Return the verb that the job is started with: PUT is how it is named here, and no trigger's business."""
    if said is not None:
        return said.upper()
    if "POST" in route.methods or len(route.methods) != 1:
        return "POST"
    return next(iter(route.methods))
