"""What a request must be before anybody acts on it: something that every server on the way reads in the same way."""

from __future__ import annotations

import re
from functools import lru_cache

from aiohttp import HttpVersion10, HttpVersion11
from multidict import CIMultiDictProxy

from gateway.core.errors import AmbiguousHeader, BadRequest, HeadersTooLarge
from gateway.web.request import Request

CONTROL = (
    "Authorization", "Call-Mode", "Call-On-Disconnect", "Call-On-Timeout", "Callback-Url", "Cancel-After",
    "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID", "X-UiPath-Signature",
)  # fmt: skip
"""Fields that decide something, and so may come once."""

# RFC 3986 3.2.2, without what no host is named with: a comma or an escape is rather a second reading than a name.
HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


_VERSIONS = (HttpVersion11, HttpVersion10)

_MAX_FIELDS = 32 * 1024
"""Bytes of all names and values together: each is bounded by the parser, their sum is not (RFC 6585 5)."""


def check(request: Request) -> None:
    """Raise `HeadersTooLarge`, or `AmbiguousHeader` or `BadRequest` where the request could be read in two ways."""
    headers, names = request.headers, request.names
    if names.size + sum([len(value) for _, value in request.raw_headers]) > _MAX_FIELDS:
        raise HeadersTooLarge(f"all fields together may have {_MAX_FIELDS} bytes", headers=(("Connection", "close"),))
    if names.repeated:
        _check_repeated(headers)
    if request.version not in _VERSIONS:
        # aiohttp reads any version as 1.1; whoever sent another meant another framing.
        raise BadRequest("HTTP/1.1 and HTTP/1.0 are spoken here")
    host = headers.get("Host")
    if host is not None and not _is_host(host):
        # Job URLs begin with it.
        raise BadRequest("`Host` is no host and port")
    if "transfer-encoding" in names.present and headers["Transfer-Encoding"].strip().lower() != "chunked":
        # RFC 9112 6.1: what is not understood is not to be guessed; aiohttp would leave `gzip` in the body.
        raise BadRequest("`Transfer-Encoding` may be `chunked`")


@lru_cache(maxsize=1024)
def _is_host(host: str) -> bool:
    """Most callers name the same one."""
    return HOST.fullmatch(host) is not None


def _check_repeated(headers: CIMultiDictProxy[str]) -> None:
    for name in CONTROL:
        if len(headers.getall(name, ())) > 1:
            raise AmbiguousHeader(f"`{name}` may come once")
