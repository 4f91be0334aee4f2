"""Reading a request's body, up to the limit."""

from __future__ import annotations

from aiohttp import web

from gateway.core.errors import BadRequest, BodyTooLarge
from gateway.web.request import Request


async def read_body(request: Request) -> bytes:
    """Return the body, its coding taken off; a second time nothing. Raises `BodyTooLarge`, `BadRequest`."""
    payload = request.payload
    try:
        if payload.is_eof():
            # As nearly always: it came along with the head.
            return _bounded(request, payload.read_nowait())
        request.tell_to_continue()
        parts, size = [], 0
        while part := await payload.readany():
            size += len(part)
            parts.append(part)
            _check(request, size)
    except web.RequestPayloadError as error:
        raise BadRequest("the body is not in its `Content-Encoding`, or its framing is broken") from error
    return b"".join(parts)


def _bounded(request: Request, body: bytes) -> bytes:
    _check(request, len(body))
    return body


def _check(request: Request, size: int) -> None:
    limit = request.gateway.settings.max_body
    if size > limit:
        raise BodyTooLarge(f"bodies may have {limit} bytes (limits.body)", headers=(("Connection", "close"),))
