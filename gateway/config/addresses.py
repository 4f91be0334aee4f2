"""Addresses to listen on, networks, hosts, URLs and origins: how they are read. See `scalars` for the manner."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from gateway.config.scalars import text, visible
from gateway.store.address import parse as parse_store_url
from gateway.web.settings import Address

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def address(value: object) -> Address:
    """Read `host:port`, an IPv6 host in brackets."""
    wanted = "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"
    host, colon, port = text(value).rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not _is_port(port):
        raise ValueError(wanted)
    if host.startswith("[") and host.endswith("]"):
        return Address(_ipv6(host[1:-1], wanted), int(port))
    if not _HOST.fullmatch(host):
        raise ValueError(wanted)
    return Address(host, int(port))


def address_or_off(value: object) -> Address | None:
    """Read `host:port`, or `off`."""
    if value is False or value == "off":
        return None
    try:
        return address(value)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def _ipv6(host: str, wanted: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(wanted) from None


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and int(port) <= 0xFFFF


def network(value: object) -> Network:
    """Read a network, or one address."""
    try:
        return ipaddress.ip_network(text(value), strict=True)
    except ValueError:
        raise ValueError("must be a network without host bits, such as 10.0.0.0/8, or an address") from None


def host_pattern(value: object) -> str:
    """Read `host`, `host:port` or `*.domain`; lower case, as hosts compare."""
    pattern = text(value).lower()
    host, colon, port = pattern.partition(":")
    if _HOST.fullmatch(host.removeprefix("*.")) and (not colon or _is_port(port)):
        return pattern
    raise ValueError("must be a host, host:port or *.domain, without a scheme or a path")


def receiver_pattern(value: object) -> str:
    """Read a host pattern or a network."""
    for read in (network, host_pattern):
        with contextlib.suppress(ValueError):
            return str(read(value))
    raise ValueError("must be a host, host:port, *.domain, or a network such as 10.0.0.0/8")


def http_url(value: object) -> str:
    """Read an absolute http URL without credentials, query or fragment; a slash at its end is dropped."""
    url = text(value)
    split_http(url)
    if "?" in url or "#" in url:
        raise ValueError("must be a URL without query and fragment")
    return url.rstrip("/")


def upstream_url(value: object) -> str:
    """Read the base of Orchestrator's API, under which `/t/…` lies."""
    url = http_url(value)
    if "/orchestrator_/" in url:
        raise ValueError("must end with orchestrator_; the trigger's own path belongs to a route's `trigger`")
    return url


def receiver_url(value: object) -> str:
    """Read an absolute http URL that may have a query."""
    url = text(value)
    split_http(url)
    return url


def split_http(url: str) -> SplitResult:
    """Split an absolute http or https URL without credentials; raise ValueError for any other."""
    wanted = "must be an absolute URL, such as https://host/path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or not visible(url):
        raise ValueError(wanted)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or a password")
    return parts


def store_url(value: object) -> str:
    """Read the URL of the store's servers."""
    url = text(value)
    parse_store_url(url)
    return url


def origin(value: object) -> str:
    """Read the origin of a browser's page, or `*`."""
    url = text(value)
    wanted = "must be an origin such as https://app.example, or *"
    if url == "*":
        return url
    try:
        parts = split_http(url)
    except ValueError:
        raise ValueError(wanted) from None
    if url != f"{parts.scheme}://{parts.netloc}" or url != url.lower():
        raise ValueError(f"{wanted}, in lower case, without a path")
    return url
