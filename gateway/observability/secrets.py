"""Taking secrets out of what is logged: by the name of a field, and by the look of a value, at any depth.

The last processor before a line is rendered, so nothing comes past it: not a library's message, not a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

REMOVED = "[removed]"

_PLAIN = frozenset({str, int, float, bool, type(None)})

EventDict = MutableMapping[str, Any]

_WORDS = r"authorization|bearer|token|secret|passwo?r?d|cookie|credential|api[-_]?key|signature|sig(?<=\bsig)\b"
"""Each begins with a letter, so that a search steps over all others: `\bsig\b` would make it four times as slow."""
_NAME = re.compile(_WORDS, re.IGNORECASE)

_SUSPECT = re.compile(rf"{_WORDS}|://|eyj|whsec_|:(?=[a-z0-9+/]{{43}}=)")
"""In every text, in lower case, that holds a secret: most texts hold none of it, and need no second look."""

# A separator as header lines, queries, JSON, and Python's reprs of mappings and of pairs have it. Names are
# bounded and runs possessive, so that no text is looked at again and again.
_BETWEEN = r"""[\w-]{0,16}(?: \\*+["']?\s*+[:=]\s*+ | ["']\s*+,\s*+ )(?:b(?=["']))?"""
_SECRET = re.compile(
    rf"""
    (?P<cookie> cookie{_BETWEEN} ) \\*+["']?[^"'\r\n]*
    | (?P<name> (?:{_WORDS}){_BETWEEN} )
      (?: \\*+"[^"]*" | '[^']*' | (?:bearer|basic|digest|negotiate)(?:\s|%20)++[^\s"',]+ | [^\s&,;"'}}\])]+ )
    | (?P<scheme> \bbearer(?:\s|%20)++ ) [^\s"',]+
    | (?P<url> :// ) [^/\s"'<>]+(?=@)
    | \beyJ[\w-]++\.[\w-]++(?:\.[\w-]*+)?   # a JWT (RFC 7519)
    | \bwhsec_[A-Za-z0-9+/=]+               # a Standard Webhooks secret
    | \b[\w-]{{1,16}}:[A-Za-z0-9+/]{{43}}=  # a line of a keyring
    """,
    re.IGNORECASE | re.VERBOSE,
)


def without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace whatever is named or looks like a credential."""
    for name, value in event.items():
        if name != "event" and value is not None and _names_a_secret(name):
            event[name] = REMOVED
        elif isinstance(value, str):  # first, because most are
            event[name] = _cleaned_text(value)
        else:
            event[name] = _cleaned(value)
    return event


def is_plain(event: EventDict) -> bool:
    """Whether all values are texts, numbers and the like, which every renderer writes as they are."""
    return _PLAIN.issuperset(map(type, event.values()))


def is_suspect(text: str) -> bool:
    """Whether a text holds anything that a secret, or its field's name, is known by."""
    return _SUSPECT.search(text.lower()) is not None


@lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    """Whether a field is a credential by its name; names are few, and come with every line."""
    return _NAME.search(name) is not None


def _cleaned(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _cleaned_text(value)
        case Mapping():
            return {_key(key): REMOVED if _names_a_secret(str(key)) else _cleaned(each) for key, each in value.items()}
        case (str() as name, str() | bytes()) if _names_a_secret(name):
            return [name, REMOVED]
        case list() | tuple() | set() | frozenset():
            return [_cleaned(each) for each in value]
        case _:
            # What the renderer would call `repr` on, once it is too late.
            return _cleaned_text(repr(value))


def _key(key: object) -> str:
    return _cleaned_text(key if isinstance(key, str) else repr(key))


def _cleaned_text(text: str) -> str:
    return _SECRET.sub(_replacement, text) if is_suspect(text) else text


def _replacement(found: re.Match[str]) -> str:
    """Keep what names the secret, so that the line can still be read."""
    kept = next((part for part in found.groupdict().values() if part), "")
    return kept + REMOVED
