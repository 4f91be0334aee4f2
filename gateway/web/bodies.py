"""Reading a request's body, up to the limit."""

from __future__ import annotations

from aiohttp import web

from gateway.core.errors import BadRequest, BodyTooLarge
from gateway.web.gateway import GATEWAY


async def read_body(request: web.Request) -> bytes:
    """Return the body, its coding taken off. Raises `BodyTooLarge`, `BadRequest`."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[GATEWAY].settings.max_body
        raise BodyTooLarge(f"bodies may have {limit} bytes (limits.body)", headers=(("Connection", "close"),)) from None
    except web.RequestPayloadError as error:
        raise BadRequest("the body is not in its `Content-Encoding`, or its framing is broken") from error
