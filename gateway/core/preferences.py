"""Read `Prefer` and write `Preference-Applied` (RFC 7240): the two preferences that the gateway knows.

A preference is a wish. One that is unknown, malformed or out of range is as if it had not been sent, and takes
nothing else with it: there is no error here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec


class Preferences(msgspec.Struct, frozen=True):
    """What a caller would like, or what was applied of it."""

    respond_async: bool = False
    """Answer with 202 rather than wait (RFC 7240 §4.1)."""
    wait: int | None = None
    """How many seconds the caller is ready to wait (RFC 7240 §4.3)."""


# RFC 9110 §5.6: `token`, `quoted-string` and optional white space.
_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_SPACE = r"[ \t]*+"
_WORD = rf"(?:{_TCHARS}|{_QUOTED})"

# A list's element ends at a comma outside quotes; a quote that is never closed runs to the end of the line.
_ELEMENT = re.compile(rf'(?:[^",]|{_QUOTED}|".*)+')
# RFC 7240 §2: preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ), parameter likewise.
_PREFERENCE = re.compile(
    rf"{_SPACE}(?P<name>{_TCHARS})(?:{_SPACE}={_SPACE}(?P<value>{_WORD}))?"
    rf"(?:{_SPACE};{_SPACE}(?:{_TCHARS}(?:{_SPACE}={_SPACE}{_WORD})?)?)*{_SPACE}"
)
_SECONDS = re.compile(r"[0-9]+")


def parse(values: Sequence[str], *, max_wait: int) -> Preferences:
    """Read the values of all `Prefer` header lines, in order. A longer `wait` counts as `max_wait` seconds."""
    first: dict[str, str] = {}
    for name, value in _preferences(values):
        first.setdefault(name, value)  # RFC 7240 §2: only the first instance is considered
    return Preferences(
        respond_async=first.get("respond-async") == "",
        wait=_seconds(first.get("wait", ""), max_wait),
    )


def applied(preferences: Preferences) -> str | None:
    """Return the value of `Preference-Applied`, or None if nothing was applied (RFC 7240 §3)."""
    parts = ["respond-async"] if preferences.respond_async else []
    if preferences.wait is not None:
        parts.append(f"wait={preferences.wait}")
    return ", ".join(parts) or None


def _preferences(values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each well-formed preference's name, in lower case, and value; no value and an empty one are the same."""
    for element in itertools.chain.from_iterable(map(_ELEMENT.findall, values)):
        if found := _PREFERENCE.fullmatch(element):
            yield found["name"].lower(), _unquoted(found["value"] or "")


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _seconds(value: str, most: int) -> int | None:
    if not _SECONDS.fullmatch(value):
        return None
    digits = value.lstrip("0")
    return most if len(digits) > len(str(most)) else min(int(digits or "0"), most)
