"""One request as bytes: where it goes and what is written there. Pure: the wire format is tested without sockets.

The URL is cut into origin and target as text and never normalised, unquoted or re-quoted: a trigger's path and query
reach the upstream byte for byte. Whatever could end a line early is refused here, before a connection is touched.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gateway.core.exchange import Request

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REG_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%25[0-9A-Za-z._~-]+)?)\]")
_URL = re.compile(r"(https?)://([!-\"$-.0->@-~]*)([!-\"$-~]*)(?:#[!-~]*)?", re.IGNORECASE | re.ASCII)
"""Scheme, authority, and the rest of a URL in visible ASCII up to its fragment."""
_NOT_VISIBLE = re.compile(r"[^!-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# RFC 9110 section 7.6.1, and what this client writes itself. `Trailer` goes because no trailers are ever sent.
_DROPPED = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"}
)
# RFC 9110 section 8.6: methods whose content has a meaning say its length even where it is zero.
_LENGTH_ALWAYS = frozenset({"POST", "PUT", "PATCH"})

_LONGEST_KEPT = 256


class Origin(NamedTuple):
    """Where a connection leads: the key of the pool."""

    tls: bool
    host: str
    """Name or address as the resolver takes it, lower case, IPv6 without brackets."""
    port: int


@lru_cache(maxsize=256)
def _origin(scheme: str, authority: str) -> Origin:
    """Read `authority`, or raise ValueError with a text that repeats nothing of it (it may hold a password)."""
    if "@" in authority:
        raise ValueError("the URL holds user information")
    tls = scheme == "https"
    host, bracket, rest = authority.partition("]")
    if bracket:
        address = _IPV6.fullmatch(host + bracket)
        if not address or (rest and rest[0] != ":"):
            raise ValueError("the URL's IPv6 address is malformed")
        host, port = address[1].replace("%25", "%", 1), rest[1:]
    else:
        host, _, port = authority.partition(":")
        if not _REG_NAME.fullmatch(host):
            raise ValueError("the URL's host is malformed")
    if port and not (port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("the URL's port is malformed")
    return Origin(tls, host.lower(), int(port) if port else 443 if tls else 80)


def split_url(url: str) -> tuple[Origin, str, str]:
    """Cut an absolute http(s) URL into origin, authority and request target; the fragment is dropped.

    Raises ValueError where the URL is not plain printable ASCII, or is not an http(s) URL with a host.
    """
    # Triggers come again and again; status URIs do not, and a query or a user may be a secret.
    return _split(url) if "?" in url or "@" in url or len(url) > _LONGEST_KEPT else _known(url)


def _split(url: str) -> tuple[Origin, str, str]:
    found = _URL.fullmatch(url)
    if found is None:
        if _NOT_VISIBLE.search(url):
            raise ValueError("the URL holds a space, a control character or non-ASCII text")
        raise ValueError("the URL is not an absolute http or https URL")
    scheme, authority, target = found.groups()
    if not target.startswith("/"):
        # No path: RFC 9112 section 3.2.1 asks for "/" in its place.
        target = f"/{target}"
    return _origin(scheme.lower(), authority), authority, target


_known = lru_cache(maxsize=256)(_split)


@lru_cache(maxsize=1024)
def _forwarded(name: str) -> bool:
    """Say whether the field goes upstream; raise ValueError where `name` is no token."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("a field name is not a token")
    lowered = name.lower()
    return lowered not in _DROPPED and not lowered.startswith("proxy-")


def encode_request(request: Request) -> tuple[Origin, bytes]:
    """Return the origin and the head (request line, Host, fields, Content-Length, blank line) in latin-1.

    Hop-by-hop fields that came along by accident are dropped. Raises ValueError for anything that may not stand in a
    head; the text names what is wrong and repeats none of it.
    """
    origin, authority, target = split_url(request.url)
    if not _TOKEN.fullmatch(request.method):
        raise ValueError("the method is not a token")
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers if _forwarded(name)]
    if request.body or request.method in _LENGTH_ALWAYS:
        lines.append(f"Content-Length: {len(request.body)}")
    # All lines in one look, before the line ends come in between them; what is printable needs no search.
    text = "".join(lines)
    if not text.isprintable() and _CONTROLS.search(text):
        raise ValueError("a field value holds a control character")
    lines.append("\r\n")
    try:
        return origin, "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a field value is not latin-1 text") from None
