"""Plain values: text, counts, paths, credentials.

Here and in `addresses`, every parser takes what YAML gave and returns what the settings hold, or raises ValueError
saying what would be right. No parser repeats its input: it may be a secret, and only the place that reports knows.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import uuid
from pathlib import Path
from urllib.parse import unquote

from gateway.config.interpolation import Interpolated

_PREFIX = re.compile(r"[A-Za-z0-9._:-]+")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+")  # RFC 3986, section 3.3


def text(value: object) -> str:
    """Read text that is not empty."""
    match value:
        case "":
            raise ValueError("must not be empty; leave the key out to have its default")
        case str():
            return str(value)
        case bool() | int() | float():
            raise ValueError("must be text; put it in quotes")
    raise ValueError("must be text")


def name(value: object) -> str:
    """Read a name as logs and traces carry it."""
    if visible(named := text(value)):
        return named
    raise ValueError("must be visible ASCII characters, without spaces")


def key_prefix(value: object) -> str:
    """Read what keys begin with. A brace would put all of them into one slot of a Redis Cluster (hash tags)."""
    prefix = text(value)
    if _PREFIX.fullmatch(prefix):
        return prefix
    raise ValueError("must be letters, digits and . _ : - only")


def number(value: object) -> int:
    """Read a whole number from 0."""
    return _whole(value, least=0)


def count(value: object) -> int:
    """Read a whole number from 1."""
    return _whole(value, least=1)


def workers(value: object) -> int | None:
    """Read a whole number from 1; None is `auto`."""
    try:
        return None if value == "auto" else _whole(value, least=1)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


def _whole(value: object, *, least: int) -> int:
    number = int(value) if isinstance(value, Interpolated) and value.isascii() and value.isdigit() else value
    match number:
        case bool():
            pass
        case int() if number >= least:
            return number
    raise ValueError(f"must be a whole number from {least}")


def file_path(value: object) -> Path:
    """Read a file's path; `~` is the home directory."""
    return Path(text(value)).expanduser()


def guid(value: object) -> str:
    """Read a GUID, as Orchestrator's keys are."""
    with contextlib.suppress(ValueError):
        return str(uuid.UUID(text(value)))
    raise ValueError("must be a GUID such as 5f0c7a4e-7a3c-4ad1-9d2e-0123456789ab")


def gateway_path(value: object) -> str:
    """Read a path that a route may have."""
    path = _path(value, "must be a path such as /invoices")
    if unquote(path.split("/")[1]) == "-":
        raise ValueError("must not lie under /-/, which is the gateway's own")
    return path


def trigger_path(value: object) -> str:
    """Read a trigger's path below the upstream's base."""
    wanted = "must be a path below upstream.url, such as /t/<folder>/<slug>"
    path = _path(value, wanted)
    if not path.startswith("/t/") or path.count("/") < 3:
        raise ValueError(wanted)
    return path


def _path(value: object, wanted: str) -> str:
    path = text(value)
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    if not _PATH.fullmatch(path):
        raise ValueError(f"{wanted}, percent-encoded, without an empty segment or a query")
    if any(segment in {".", ".."} or "/" in segment or "\\" in segment for segment in segments):
        raise ValueError(f"{wanted}, without `.`, `..` and encoded slashes")
    return path


def bearer(value: object) -> str:
    """Read a bearer token (RFC 6750, section 2.1, kept wide: what a header can hold)."""
    token = text(value)
    if token.lower().startswith("bearer "):
        raise ValueError("must be the token alone, without `Bearer`")
    if not visible(token):
        raise ValueError("must be a token of visible ASCII characters, without spaces")
    return token


def visible(token: str) -> bool:
    """Return whether text is ASCII without spaces and control characters."""
    return all("!" <= character <= "~" for character in token)


def webhook_secret(value: object) -> str:
    """Read a Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64."""
    secret = text(value)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and 24 to 64 random bytes in base64")
    return secret
