"""What a request must be before anybody acts on it: something that every server on the way reads in the same way."""

from __future__ import annotations

import re

from aiohttp import HttpVersion10, HttpVersion11, web
from multidict import CIMultiDictProxy

from gateway.core.errors import AmbiguousHeader, BadRequest, HeadersTooLarge

CONTROL = (
    "Authorization", "Call-Mode", "Call-On-Disconnect", "Call-On-Timeout", "Callback-Url", "Cancel-After",
    "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID", "X-UiPath-Signature",
)  # fmt: skip
"""Fields that decide something, and so may come once."""

# RFC 3986 3.2.2, without what no host is named with: a comma or an escape is rather a second reading than a name.
HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


_MAX_FIELDS = 32 * 1024
"""Bytes of all names and values together: each is bounded by the parser, their sum is not (RFC 6585 5)."""


def check(request: web.Request) -> None:
    """Raise `HeadersTooLarge`, or `AmbiguousHeader` or `BadRequest` where the request could be read in two ways."""
    if sum(len(name) + len(value) for name, value in request.raw_headers) > _MAX_FIELDS:
        raise HeadersTooLarge(f"all fields together may have {_MAX_FIELDS} bytes", headers=(("Connection", "close"),))
    _check_fields(request.headers)
    if request.version not in {HttpVersion10, HttpVersion11}:
        # aiohttp reads any version as 1.1; whoever sent another meant another framing.
        raise BadRequest("HTTP/1.1 and HTTP/1.0 are spoken here")
    host = request.headers.get("Host")
    if host is not None and not HOST.fullmatch(host):
        # Job URLs begin with it.
        raise BadRequest("`Host` is no host and port")
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        # RFC 9112 6.1: what is not understood is not to be guessed; aiohttp would leave `gzip` in the body.
        raise BadRequest("`Transfer-Encoding` may be `chunked`")


def _check_fields(headers: CIMultiDictProxy[str]) -> None:
    for name in CONTROL:
        if len(headers.getall(name, ())) > 1:
            raise AmbiguousHeader(f"`{name}` may come once")
