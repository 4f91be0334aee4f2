"""Where the store is, read from its URL: one server, the Sentinels of a primary, or nodes of a Cluster."""

from __future__ import annotations

import enum
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

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
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _unix(parts.netloc, parts.path, parts.query, parts.fragment)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in {"redis", "rediss"} or (kind == "" and "+" in parts.scheme):
        raise ValueError(_FORMS)
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment: TLS files, time-outs and the rest are keys beside url")
    try:
        topology = Topology(kind)
    except ValueError:
        raise ValueError(_FORMS) from None
    login, _, hosts = parts.netloc.rpartition("@")
    username, password = _login(login)
    service, db = _path(parts.path, topology)
    found = tuple(_host(host, topology) for host in hosts.split(","))
    if topology is Topology.SERVER and len(found) != 1:
        raise ValueError("names several hosts: say redis+sentinel:// or redis+cluster://")
    return Address(
        topology, found, tls=scheme == "rediss", service=service, db=db, username=username, password=password
    )


def _unix(login: str, path: str, query: str, fragment: str) -> Address:
    options = parse_qs(query, keep_blank_values=True)
    if not path or set(options) - {"db"} or fragment or (login and "@" not in login):
        raise ValueError("must be unix:///path or unix:///path?db=number")
    username, password = _login(login.rpartition("@")[0])
    return Address(path=unquote(path), db=_db(options.get("db", ["0"])[-1]), username=username, password=password)


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
    default = _SENTINEL_PORT if topology is Topology.SENTINEL else _PORT
    try:
        parts = urlsplit(f"//{given}")
        port = parts.port
    except ValueError:  # a broken IPv6 address, or a port that is no number
        raise ValueError(_FORMS) from None
    if not parts.hostname or parts.path or port == 0:
        raise ValueError(_FORMS)
    return Host(parts.hostname, default if port is None else port)
