"""Whether `callbacks.allow` can ever allow a URL: what a check without DNS can say.

The delivery itself decides again, on the address that it connects to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def allows(patterns: Iterable[str], url: str) -> bool:
    """Return whether one of the hosts (`host`, `host:port`, `*.domain`) or networks may hold the URL's host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return any(_in_network(pattern, host) if "/" in pattern else _names(pattern, host, port) for pattern in patterns)


def _names(pattern: str, host: str, port: int) -> bool:
    if pattern.startswith("*."):
        domain, _, wanted = pattern[1:].partition(":")
        named = host.endswith(domain)
    else:
        domain, _, wanted = pattern.partition(":")
        named = host == domain
    return named and wanted in {"", str(port)}


def _in_network(network: str, host: str) -> bool:
    """A name may resolve into any network; an address either lies there or not."""
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network)
    except ValueError:
        return True
