"""Where callbacks may go: checked on the URL, and again on the very address that is connected to.

A name can point anywhere, and at another place a moment later; so besides the name, the address decides, in the last
step before the socket connects, where neither a rebinding name nor an odd way to write an address can deceive.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from gateway.worker.settings import CallbackSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that IANA has given out; beyond it are site-local, local NAT64 and IPv4-compatible addresses, which
`is_global` lets pass."""
_PORTS = {"http": 80, "https": 443}


class Refused(Exception):  # noqa: N818 - a verdict, not a defect
    """The URL or address is not allowed; the message names the setting."""


class Guard:
    """Checks URLs and addresses against `callbacks.allow`."""

    def __init__(self, settings: CallbackSettings) -> None:
        self._insecure = settings.insecure
        self._networks = []
        self._hosts: set[str] = set()
        for entry in settings.allow:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(entry.lower())

    def check(self, url: str) -> bool:
        """Raise `Refused` unless outcomes may go to `url`. Return whether its host is allowed by name."""
        if not (self._hosts or self._networks):
            raise Refused("callbacks are off: callbacks.allow names no host and no network")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise Refused("the callback URL is malformed") from None
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or not host:
            raise Refused("the callback URL is malformed")
        if parts.username is not None or parts.password is not None:
            raise Refused("the callback URL names a user, which nothing needs")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._insecure):
            raise Refused("the callback URL is not https (callbacks.insecure would allow http)")
        if self._named(host, port or _PORTS[parts.scheme]):
            return True
        literal = _literal(host)
        if literal is not None and not self._in_networks(literal):
            raise Refused("callbacks.allow does not name the callback URL's address")
        if not self._networks:
            raise Refused("callbacks.allow does not name the callback URL's host")
        return False

    def _named(self, host: str, port: int) -> bool:
        return any(_names(entry, host, port) for entry in self._hosts)

    def _in_networks(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def socket_for_named(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for a host that is allowed by name: to a public address, or one in an allowed network."""
        return self._socket(address_info, public=True)

    def socket_for_network(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for any other host: only to an address in an allowed network."""
        return self._socket(address_info, public=False)

    def _socket(self, address_info: tuple[Any, ...], *, public: bool) -> socket.socket:
        family, kind, protocol, _, target = address_info
        address = _unwrapped(ipaddress.ip_address(str(target[0]).partition("%")[0]))
        if not (self._in_networks(address) or (public and _is_public(address))):
            raise Refused("callbacks.allow does not name the network that the callback URL's host is in")
        return socket.socket(family, kind, protocol)


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry (`host` or `*.domain`, with a port or for any) names this host and port."""
    name, _, only_port = entry.partition(":")
    named = host.endswith(name[1:]) if name.startswith("*.") else host == name
    return named and only_port in {"", str(port)}


def _is_public(address: Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast


def _literal(host: str) -> Address | None:
    try:
        return _unwrapped(ipaddress.ip_address(host))
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
    return address
