"""Callbacks on the admin port: what could not be delivered, of whatever caller, and sending it again.

GET  /-/callbacks?status=failed|disabled&limit=N&cursor=…
POST /-/callbacks/{id}/redeliver
GET  /-/callbacks/secret    of the one caller that all are under the gateway's own credential
"""

from __future__ import annotations

import re

from gateway.auth.principal import anonymous
from gateway.core.delivery import DeliveryState
from gateway.core.errors import BadRequest, NotFound
from gateway.store.port import Cursor
from gateway.web import callbacks, delivery_views
from gateway.web.request import Request
from gateway.web.response import Response

_PAGE = 50
_MOST = 500
_CURSOR = re.compile(r"(?P<at>[0-9]{1,15})\.(?P<id>[0-9a-f]{2}[A-Za-z0-9_-]{22})", re.ASCII)
_DEAD = {state.value: state for state in DeliveryState if state.dead}


async def show(request: Request) -> Response:
    """`GET /-/callbacks`: the newest first; `next` is the next page's cursor, null on the last one."""
    query = request.query
    state = _DEAD.get(query.get("status", DeliveryState.FAILED.value))
    if state is None:
        raise BadRequest(f"`status` is one of {', '.join(_DEAD)}")
    found = await request.gateway.callbacks.dead(
        state, limit=_limit(query.get("limit")), after=_cursor(query.get("cursor"))
    )
    return callbacks.answer(
        200,
        {
            "callbacks": [delivery_views.of_operator(delivery) for delivery in found.deliveries],
            "next": None if found.next is None else "{}.{}".format(*found.next),
        },
    )


async def redeliver(request: Request) -> Response:
    """`POST /-/callbacks/{id}/redeliver`: begin the schedule anew, at once."""
    gateway = request.gateway
    delivery = await gateway.callbacks.find(request.id)
    return await callbacks.begin_anew(gateway, await gateway.callbacks.job_of(delivery), delivery)


async def secret(request: Request) -> Response:
    """`GET /-/callbacks/secret`: for the operator of a gateway whose callers are all one."""
    gateway = request.gateway
    if not gateway.own_credential:
        raise NotFound("each caller has secrets of its own, and reads them with its own token")
    return callbacks.answer(200, callbacks.secrets_of(gateway, anonymous(gateway.keyring)))


def _limit(value: str | None) -> int:
    if value is None:
        return _PAGE
    if not (value.isascii() and value.isdigit() and len(value) <= 6 and 1 <= int(value) <= _MOST):
        raise BadRequest(f"`limit` is a number from 1 to {_MOST}")
    return int(value)


def _cursor(value: str | None) -> Cursor | None:
    if value is None:
        return None
    match = _CURSOR.fullmatch(value)
    if match is None:
        raise BadRequest("`cursor` is the `next` of a page before")
    return int(match["at"]), match["id"]
