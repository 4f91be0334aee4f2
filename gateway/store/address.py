"""Where the store is, read from its URL: one server, the Sentinels of a primary, or nodes of a Cluster."""

from __future__ import annotations

import enum
import re
from urllib.parse import parse_qs, unquote

import msgspec

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_SENTINEL_PORT = 26379
_PORT = 6379
_FORMS = (
    "must be redis://host:port/db, redis+sentinel://host:port,host:port/service/db, redis+cluster://host:port,host:port"
    " (each with rediss for TLS), or unix:///path"
)


class Topology(enum.Enum):
    """How the servers behind a URL are found."""

    SERVER = ""
    """There is one, at the address given; or whatever stands in front of several and looks like one."""
    SENTINEL = "sentinel"
    """Sentinels say which server is the primary now."""
    CLUSTER = "cluster"
    """Each node knows which node holds which keys."""


class Host(msgspec.Struct, frozen=True):
    """A host, without the brackets of an IPv6 address, and a port."""

    name: str
    port: int


class Address(msgspec.Struct, frozen=True):
    """What a store URL says."""

    topology: Topology = Topology.SERVER
    hosts: tuple[Host, ...] = ()
    """The server, the Sentinels, or some nodes; empty where there is a `path`."""
    path: str | None = None
    """A unix socket."""
    tls: bool = False
    service: str = ""
    """What the Sentinels call the primary."""
    db: int = 0
    username: str | None = None
    password: str | None = None


def parse(url: str) -> Address:
    """Read a store URL. Raises `ValueError`, whose text never repeats the URL: it may hold a password."""
    scheme, separator, rest = url.partition("://")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    servers, _, path = rest.partition("/")
    login, _, hosts = servers.rpartition("@")
    username, password = _login(login)
    if scheme == "unix":
        if not path or hosts or fragment:
            raise ValueError(_FORMS)
        return Address(path=f"/{unquote(path)}", db=_query_db(query), username=username, password=password)
    protocol, plus, kind = scheme.partition("+")
    if not separator or protocol not in {"redis", "rediss"} or bool(plus) != bool(kind):
        raise ValueError(_FORMS)
    if query or fragment:
        raise ValueError("must not have a query or a fragment: TLS files, time-outs and the rest are keys beside url")
    topology = _topology(kind)
    service, db = _path(path, topology)
    found = tuple(_host(host, topology) for host in hosts.split(","))
    if topology is Topology.SERVER and len(found) != 1:
        raise ValueError("names several hosts: say redis+sentinel:// or redis+cluster://")
    return Address(
        topology, found, tls=protocol == "rediss", service=service, db=db, username=username, password=password
    )


def _topology(kind: str) -> Topology:
    try:
        return Topology(kind)
    except ValueError:
        raise ValueError(_FORMS) from None


def _query_db(query: str) -> int:
    """Return the number of the database of a unix socket, whose URL has no room for it in its path."""
    options = parse_qs(query, keep_blank_values=True)
    if set(options) - {"db"}:
        raise ValueError("must be unix:///path or unix:///path?db=number")
    return _db(options.get("db", ["0"])[-1])


def _login(login: str) -> tuple[str | None, str | None]:
    username, _, password = login.partition(":")
    return unquote(username) or None, unquote(password) or None


def _path(path: str, topology: Topology) -> tuple[str, int]:
    """Return the service and the number of the database that a path names."""
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    service = ""
    if topology is Topology.SENTINEL:
        if not parts:
            raise ValueError("must name the service that the Sentinels watch: redis+sentinel://host:port/service")
        service = parts.pop(0)
    db = _db(parts.pop(0)) if parts else 0
    if parts:
        raise ValueError(_FORMS)
    if topology is Topology.CLUSTER and db:
        raise ValueError("must not name a database: a Cluster has only one, 0")
    return service, db


def _db(number: str) -> int:
    if not (number.isascii() and number.isdigit()):
        raise ValueError("must name its database by a number")
    return int(number)


def _host(given: str, topology: Topology) -> Host:
    found = _HOST.fullmatch(given)
    default = _SENTINEL_PORT if topology is Topology.SENTINEL else _PORT
    port = int(found["port"] or default) if found else 0
    if not found or not 0 < port < 1 << 16:
        raise ValueError(_FORMS)
    return Host(found["ipv6"] or found["name"], port)
