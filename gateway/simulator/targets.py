"""Which part of the tenant a request target names.

Targets are looked at as they stood in the request line. The tenant's own base path may be anything: the cloud has
`/{org}/{tenant}/orchestrator_`, a standalone server nothing. Below it, `/t/` leads to triggers and `/odata/` (and a few
of `/api/`) to the APIs. The identity server is beside it, below `…/identity_` or `/identity`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

# A tenant may be called `t`, below its organization; elsewhere `/t/` is where triggers begin.
_SEGMENTS = r"(?:/(?!t/)[^/?]+)*?"
_CLOUD_TRIGGER = re.compile(r"(?P<base>/.*?/orchestrator_)/t/(?P<rest>[^?]+)")
_IDENTITY = re.compile(
    rf"(?P<base>{_SEGMENTS}/identity_?)/(?P<rest>connect/token|\.well-known/openid-configuration)(?:\?|$)"
)
_CLOUD_API = re.compile(r"(?P<base>(?:/(?!t/)[^/?]+(?:/[^/?]+)?)?/orchestrator_)/(?P<rest>(?:odata|api)/[^?]+)")
_ANY_API = re.compile(rf"(?P<base>{_SEGMENTS})/(?P<rest>(?:odata|api)/[^?]+)")
_ANY_TRIGGER = re.compile(r"(?P<base>(?:/[^?]*?)??)/t/(?P<rest>[^?]+)")


@dataclass(frozen=True, slots=True)
class Invocation:
    """Where a start goes: the path before `/t/`, the one after it, its folder's segment, and the trigger's slug."""

    base: str
    path: str
    folder: str
    slug: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What an API call is about: the path before it, and `odata/…` or `api/…`, decoded."""

    base: str
    path: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity server: the path that it is below, and whether its token endpoint is meant or its discovery."""

    base: str
    token: bool


def read_target(target: str) -> Invocation | Resource | Identity | None:
    """Return the trigger, the API resource or the identity server's endpoint that a request target names, or None."""
    if match := _CLOUD_TRIGGER.match(target):
        return _invocation(match)
    if match := _IDENTITY.match(target):
        return Identity(match["base"], match["rest"] == "connect/token")
    if match := _CLOUD_API.match(target) or _ANY_API.match(target):
        return Resource(match["base"], unquote(match["rest"]))
    if match := _ANY_TRIGGER.match(target):
        return _invocation(match)
    return None


def _invocation(match: re.Match[str]) -> Invocation:
    """The first segment after `/t/` is the folder, the second the slug (the process, for a coded function)."""
    folder, _, rest = match["rest"].partition("/")
    return Invocation(match["base"], match["rest"], unquote(folder), rest.partition("/")[0] or folder)
