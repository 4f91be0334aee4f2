"""Which of a caller's headers go upstream, and what the gateway believes of headers that proxies add.

Jobs may be coded functions that read headers of their own, so end-to-end fields pass, except for those that belong to
this hop, to the gateway, or that a server behind might read as something else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from multidict import CIMultiDictProxy

from gateway.core.exchange import Headers
from gateway.web.hygiene import HOST
from gateway.web.names import Names, RawFields
from gateway.web.settings import WebSettings

_OWN = (("Accept", "*/*"), ("Accept-Encoding", "identity"))

_STOPPING = frozenset({"connection", "content-encoding"})
"""Fields whose values take fields out."""

_DECODED = frozenset({"gzip", "deflate", "br", "zstd"})
"""Codings that aiohttp takes off a request's body: what goes upstream is plain, and must not be called otherwise."""


def upstream_headers(fields: RawFields, names: Names, content_type: str | None) -> Headers:
    """Return the fields that a start carries upstream, without its credential. `names`: those of `fields`."""
    own = _OWN if content_type is None else (*_OWN, ("Content-Type", content_type))
    if not names.passing:
        return own
    passed = [(_text(fields[place][0]), _text(fields[place][1])) for place in names.passing]
    if not _STOPPING.isdisjoint(names.present):
        stopped = _stopped(fields)
        passed = [field for field in passed if field[0].lower() not in stopped]
    return (*own, *passed)


def _text(raw: bytes) -> str:
    """Return a field's bytes as they are held everywhere behind the parser."""
    return raw.decode("latin-1")


def _stopped(fields: RawFields) -> set[str]:
    """Return the names that this request's own fields take out."""
    said = [(_text(name).lower(), _text(value).lower()) for name, value in fields]
    named = {token.strip() for name, value in said if name == "connection" for token in value.split(",")}
    if any(name == "content-encoding" and value in _DECODED for name, value in said):
        named.add("content-encoding")
    return named


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
