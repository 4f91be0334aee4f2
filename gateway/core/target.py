"""The gate for request targets: one reading of the path, which no parser behind it can read differently.

A gate by prefix is only as good as its idea of a path. `/t/../admin`, `/t/%2e%2e/admin` and `/t/..;/admin` all begin
with `/t/` and lead elsewhere once somebody normalises them. So nothing is normalised here: a path that could be read
in two ways is refused, and every other one goes on byte for byte, its escapes as they were sent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec


class BadTarget(Exception):  # noqa: N818 - named for what the caller sent
    """The request target is refused. `detail` says why, and repeats nothing of the target."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Target(msgspec.Struct, frozen=True):
    """A request target that passed the gate."""

    path: str
    """Begins with `/`; as sent."""
    query: str | None = None
    """Without its `?`; as sent. None if there was no `?`."""
    authority: str | None = None
    """Of an absolute-form target. It decides nothing."""


# RFC 9112 §3.2.2. A user before the host has no place in a request target (RFC 9110 §4.2.4).
_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?@\\]+)(?P<rest>(?:[/?].*)?)", re.IGNORECASE)
_NOT_VISIBLE_ASCII = re.compile(r"[^\x21-\x7e]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SEPARATOR = re.compile(r"%(?:2f|5c)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_TRIGGER = re.compile(r"/t/[^/]")

_LONGEST_KEPT = 256


def parse_target(raw: str) -> Target:
    """Split a raw request target, in origin-form or absolute-form. Raises `BadTarget` on anything doubtful."""
    # What has a query is hardly ever seen again, and may hold a secret, as may what comes before a host.
    return _parsed(raw) if "?" in raw or "@" in raw or len(raw) > _LONGEST_KEPT else _known(raw)


def _parsed(raw: str) -> Target:
    if _NOT_VISIBLE_ASCII.search(raw):
        raise BadTarget("the target has a character that must be percent-encoded")
    if "#" in raw:
        raise BadTarget("a fragment is never sent")
    absolute = None if raw.startswith("/") else _ABSOLUTE.fullmatch(raw)
    rest = absolute["rest"] if absolute else raw
    if absolute and not rest.startswith("/"):
        rest = f"/{rest}"  # RFC 9110 §4.2.3: an empty path is `/`
    if not rest.startswith("/"):
        raise BadTarget("the target is neither a path nor an http URL")
    path, mark, query = rest.partition("?")
    _check_path(path)
    return Target(path, query if mark else None, absolute["authority"] if absolute else None)


_known = lru_cache(maxsize=1024)(_parsed)


def join(base_url: str, path: str, query: str | None) -> str:
    """Put `path` and `query` behind `base_url` as text. `base_url` has no query; one slash at its end is no matter."""
    url = base_url.removesuffix("/") + path
    return url if query is None else f"{url}?{query}"


def trigger_path(target: Target, base_path: str) -> str | None:
    """Return the `/t/…` part of a trigger's path, or None if it is none.

    A trigger is `/t/` and at least one more segment, alone or behind `base_path`, the path of the upstream's base
    URL, so that a client needs to change only its host. Compared as text: an escaped `/%74/` is no trigger.
    """
    behind = target.path.removeprefix(base_path.rstrip("/"))
    return next((path for path in (target.path, behind) if _TRIGGER.match(path)), None)


def _check_path(path: str) -> None:
    """Raise if `path` has two readings: once decoded, or to a server that knows path parameters or Windows."""
    if _BAD_ESCAPE.search(path):
        raise BadTarget("the path has a % that is no escape")
    if _ESCAPED_SEPARATOR.search(path):
        raise BadTarget("the path has an escaped slash or backslash")
    if "\\" in path or ";" in path:
        raise BadTarget("the path has a backslash or a semicolon")
    if "//" in path:
        raise BadTarget("the path has an empty segment")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise BadTarget("the path does not decode to UTF-8") from error
    if _CONTROL.search(decoded):
        raise BadTarget("the path has an escaped control character")
    # An escaped semicolon is data, yet to a server that decodes first it begins a parameter: `..%3b` is `..` there.
    if any(segment.partition(";")[0] in {".", ".."} for segment in decoded.split("/")):
        raise BadTarget("the path has a dot segment")
