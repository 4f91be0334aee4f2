"""Which of a caller's headers go upstream, and what the gateway believes of headers that proxies add.

Jobs may be coded functions that read headers of their own, so end-to-end fields pass, except for those that belong to
this hop, to the gateway, or that a server behind might read as something else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from multidict import CIMultiDictProxy

from gateway.core.exchange import Headers
from gateway.web.hygiene import HOST
from gateway.web.settings import WebSettings

_HOP_BY_HOP = {
    "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_OF_THE_GATEWAY = {
    "accept", "accept-encoding", "authorization", "call-mode", "call-on-disconnect", "call-on-timeout", "callback-url",
    "cancel-after", "content-length", "content-type", "cookie", "host", "idempotency-key", "last-event-id", "prefer",
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
}  # fmt: skip
_OF_PROXIES = (
    "forwarded",
    "via",
    "x-forwarded",
    "x-real-ip",
    "x-original",
    "x-rewrite",
    "x-http-method",
    "cf-",
    "sec-",
)


_OWN = (("Accept", "*/*"), ("Accept-Encoding", "identity"))

_DECODED = frozenset({"gzip", "deflate", "br", "zstd"})
"""Codings that aiohttp takes off a request's body: what goes upstream is plain, and must not be called otherwise."""


def upstream_headers(headers: CIMultiDictProxy[str], content_type: str | None) -> Headers:
    """Return the fields that a start carries upstream, without its credential."""
    passed = [(str(name), _as_sent(value)) for name, value in headers.items() if _passes(name)]
    if "Connection" in headers or "Content-Encoding" in headers:
        stopped = _stopped(headers)
        passed = [field for field in passed if field[0].lower() not in stopped]
    own = _OWN if content_type is None else (*_OWN, ("Content-Type", content_type))
    return (*own, *passed)


def _stopped(headers: CIMultiDictProxy[str]) -> set[str]:
    """Return the names that this request's own fields take out."""
    named = {token.strip().lower() for value in headers.getall("Connection", ()) for token in value.split(",")}
    if headers.get("Content-Encoding", "").lower() in _DECODED:
        named.add("content-encoding")
    return named


def _as_sent(value: str) -> str:
    """Return a field's bytes as latin-1 text: aiohttp reads them as UTF-8, with what is none escaped."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("latin-1")


@lru_cache(maxsize=1024)
def _passes(name: str) -> bool:
    """Whether a field of this name may pass; names are few, and come with every request."""
    name = name.lower()
    # Some servers read `_` in a name as `-`: a twin of a field that was checked here.
    return not (name in _HOP_BY_HOP or name in _OF_THE_GATEWAY or "_" in name or name.startswith(_OF_PROXIES))


def origin(
    headers: CIMultiDictProxy[str], scheme: str, peer: str | None, settings: WebSettings, local: str = ""
) -> str:
    """Return scheme and authority that this caller's job URLs begin with.

    `local`: the address that the request came in on, for a caller of HTTP/1.0, which need not name a host.
    """
    if settings.public_url is not None:
        return settings.public_url
    host = headers.get("Host") or local
    if _trusted(peer, settings.trusted_proxies):
        # A proxy may pass on what its own caller made up: what is no scheme and no host is as if it were not there.
        told_scheme = (_rightmost(headers.getall("X-Forwarded-Proto", ())) or "").lower()
        told_host = _rightmost(headers.getall("X-Forwarded-Host", ())) or ""
        scheme = told_scheme if told_scheme in {"http", "https"} else scheme
        host = told_host if HOST.fullmatch(told_host) else host
    return f"{scheme}://{host}"


def _trusted(peer: str | None, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    if peer is None or not networks:
        return False
    address = ipaddress.ip_address(peer.partition("%")[0])
    # A socket that listens on both families tells IPv4 peers as IPv6.
    mapped = address.ipv4_mapped if address.version == 6 else None
    return any((mapped or address) in network for network in networks)


def _rightmost(values: Sequence[str]) -> str | None:
    """Return what the nearest proxy said: the last member of the list, whose lines are one list (RFC 9110 5.3)."""
    return values[-1].rpartition(",")[2].strip() if values else None
