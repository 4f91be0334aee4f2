"""Reading a request's body, up to the limit."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.core.errors import BadRequest, BodyTooLarge, BodyTooSlow
from gateway.web.request import Request

_PATIENCE = 30.0
"""Seconds that a body may take however small it is: who sends none holds a connection and what was read of it."""

_SLOWEST = 8 * 1024
"""Bytes that each second more takes."""

_CLOSE = (("Connection", "close"),)


def body_at_hand(request: Request) -> bytes | None:
    """Return the body, if all of it came along with the head, as nearly always; a second time nothing.

    Raises `BodyTooLarge`, `BadRequest`.
    """
    payload = request.payload
    if not payload.is_eof():
        return None
    try:
        body = payload.read_nowait()
    except web.RequestPayloadError as error:
        raise _unreadable() from error
    _check(request, len(body))
    return body


async def read_body(request: Request) -> bytes:
    """Return the body, its coding taken off; a second time nothing.

    Raises `BodyTooLarge`, `BodyTooSlow`, `BadRequest`.
    """
    if (body := body_at_hand(request)) is not None:
        return body
    try:
        _check(request, int(request.headers.get("Content-Length", "0")))  # The parser took it for a number.
        request.tell_to_continue()
        return await _gathered(request)
    except TimeoutError as error:
        raise BodyTooSlow(headers=_CLOSE) from error
    except web.RequestPayloadError as error:
        raise _unreadable() from error


def _unreadable() -> BadRequest:
    return BadRequest("the body is not in its `Content-Encoding`, or its framing is broken")


async def _gathered(request: Request) -> bytes:
    parts, size = [], 0
    async with asyncio.timeout(_PATIENCE) as patience:
        latest = patience.when() or 0.0
        while part := await request.payload.readany():
            size += len(part)
            parts.append(part)
            _check(request, size)
            patience.reschedule(latest + size / _SLOWEST)
    return b"".join(parts)


def _check(request: Request, size: int) -> None:
    limit = request.gateway.settings.max_body
    if size > limit:
        raise BodyTooLarge(f"bodies may have {limit} bytes (limits.body)", headers=_CLOSE)
