"""Where an upstream's `Location` points, and whether the gateway may follow it there.

Status and output URIs are opaque: their escapes may be part of a signature. Reference resolution (RFC 3986 §5.2) is
therefore done on text, and a credential goes only to a host that is the upstream's own or was named by the operator.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

CLOUD = "uipath.com"
"""An upstream under this domain may send the gateway to any other host under it (portal, api, regions)."""


class BadLocation(Exception):  # noqa: N818 - named for what the upstream sent
    """The `Location` cannot be resolved. `detail` says why, and repeats nothing of it: it may hold a signature."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None
    """None for the scheme's own."""


_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_VISIBLE_ASCII = re.compile(r"[^\x21-\x7e]")
_ORIGIN = re.compile(r"(https?)://([^/?]+)", re.IGNORECASE | re.ASCII)
# RFC 3986 appendix B, with the fragment gone before.
_REFERENCE = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?P<query>\?.*)?"
)
# No user, no escapes, no empty label, no trailing dot; an underscore, since internal names have them.
_NAME = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_AUTHORITY = re.compile(rf"(?P<host>{_NAME}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{0,5}}))?")


def resolve(base_url: str, location: str) -> str:
    """Return the absolute URL that `location`, found in an answer from the absolute `base_url`, stands for.

    Nothing is re-quoted or normalised; dot segments go only where a relative path was merged with the base's. The
    fragment is dropped, since it is never sent. Raises `BadLocation`.
    """
    location = _checked(location)
    if _ORIGIN.match(location):
        return location
    reference = _REFERENCE.fullmatch(location)
    base = _REFERENCE.fullmatch(base_url.partition("#")[0])
    if reference is None or base is None or not base["scheme"] or not base["authority"]:
        raise BadLocation("the Location cannot be resolved")
    scheme, authority, path, query = reference.group("scheme", "authority", "path", "query")
    if not authority and (scheme or authority is not None):
        raise BadLocation("the Location names no host")
    if authority:
        return f"{scheme or base['scheme']}://{authority}{path}{query or ''}"
    if not path:
        path, query = base["path"], query or base["query"]
    elif not path.startswith("/"):
        path = _merged(base["path"], path)
    return f"{base['scheme']}://{base['authority']}{path}{query or ''}"


def allowed(url: str, *, upstream_url: str, extra: frozenset[str] = frozenset()) -> bool:
    """Tell whether the gateway may send a request, credential and all, to the absolute `url`.

    https may always be used, http only where the upstream's own URL is http. The host must be the upstream's own,
    port included; or under `CLOUD`, where the upstream is too; or in `extra`, whose entries are `host`, `host:port`
    or `*.domain` (what is below it, not itself), and mean the scheme's own port where they name none. An origin
    that could be read in two ways (a user, odd notation, a trailing dot) is refused. There is no rule on paths.
    """
    found = _ORIGIN.match(url)
    if found is None or _NOT_VISIBLE_ASCII.search(url):
        return False
    # Origins are few, and come with every URL; but what stands before an `@` may be a secret.
    judge = _may_be_asked.__wrapped__ if "@" in found[0] else _may_be_asked
    return judge(found[0], upstream_url, extra)


@lru_cache(maxsize=256)
def _may_be_asked(url: str, upstream_url: str, extra: frozenset[str]) -> bool:
    target, upstream = _origin(url), _origin(upstream_url)
    if target is None or upstream is None or (target.scheme == "http" and upstream.scheme != "http"):
        return False
    return (
        target[1:] == upstream[1:]  # each scheme's own port counts as equal: http may lead up to https
        or (target.port is None and _in_cloud(target.host) and _in_cloud(upstream.host))
        or any(_matches(entry, target) for entry in extra)
    )


def _checked(location: str) -> str:
    """Return `location` without the spaces around it and its fragment. Raises `BadLocation`."""
    stripped = location.strip(" \t")
    if _NOT_VISIBLE_ASCII.search(stripped):
        raise BadLocation("the Location has a character that must be percent-encoded")
    if "\\" in stripped:  # browsers read it as a slash, RFC 3986 does not: two readings
        raise BadLocation("the Location has a backslash")
    if not stripped:
        raise BadLocation("the Location is empty")
    return stripped.partition("#")[0]


def _merged(base_path: str, path: str) -> str:
    """Put a relative `path` behind the base's last slash and remove dot segments (RFC 3986 §5.2.3, §5.2.4)."""
    segments = [*(base_path or "/").split("/")[:-1], *path.split("/")]
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")  # the path named a directory
    return "/" + "/".join(kept)


def _origin(url: str) -> _Origin | None:
    """Return the origin of an absolute http or https URL, None if it has no plain one."""
    found = _ORIGIN.match(url)
    return None if found is None else _parsed(found[1].lower(), found[2])


@lru_cache(maxsize=256)
def _parsed(scheme: str, authority: str) -> _Origin | None:
    """Return the origin that `authority` names under `scheme`: A-labels, lower case, short IPv6. None if it is odd."""
    found = _AUTHORITY.fullmatch(_ascii(authority))
    if found is None:
        return None
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    host = found["host"]
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    return _Origin(scheme, host, None if port == _DEFAULT_PORTS[scheme] else port) if port <= 65535 else None


def _ascii(authority: str) -> str:
    """Return `authority` in lower case, a configured international name as A-labels; "" if it has none."""
    try:
        return authority.encode("idna").decode().lower() if not authority.isascii() else authority.lower()
    except UnicodeError:
        return ""


def _in_cloud(host: str) -> bool:
    return host == CLOUD or host.endswith(f".{CLOUD}")


def _matches(entry: str, target: _Origin) -> bool:
    """Tell whether an entry of the operator's list names `target`."""
    wildcard = entry.startswith("*.")
    named = _parsed(target.scheme, entry.removeprefix("*."))
    if named is None or named.port != target.port:
        return False
    return target.host.endswith(f".{named.host}") if wildcard else target.host == named.host
