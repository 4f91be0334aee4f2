"""What can be said of a request by the names of its fields alone: looked up, as callers send the same ones each time.

Nothing of a value is kept here, so no token is.
"""

from __future__ import annotations

import msgspec

from gateway.web.passing import passes

_MOST_KEPT = 1024
_LONGEST_KEPT = 2048
"""Bytes of all names together: longer ones are made up, and must not fill the memory."""

RawFields = tuple[tuple[bytes, bytes], ...]


class Names(msgspec.Struct, frozen=True):
    """The names of a request's fields."""

    present: frozenset[str]
    """All of them, in lower case."""
    size: int
    """Bytes, those of repeated ones counted again."""
    repeated: bool
    """Whether any comes twice."""
    passing: tuple[int, ...]
    """The places of those that go upstream, unless another field's value takes them out."""


_known: dict[tuple[bytes, ...], Names] = {}


def names_of(fields: RawFields) -> Names:
    """Return what is to be known of the names of these fields."""
    key = tuple([name for name, _ in fields])
    return _known.get(key) or _read(key)


def _read(key: tuple[bytes, ...]) -> Names:
    lowered = [name.decode("latin-1").lower() for name in key]
    names = Names(
        present=frozenset(lowered),
        size=sum(map(len, key)),
        repeated=len(set(lowered)) < len(key),
        passing=tuple([place for place, name in enumerate(lowered) if passes(name)]),
    )
    if names.size <= _LONGEST_KEPT:
        if len(_known) >= _MOST_KEPT:
            _known.clear()
        _known[key] = names
    return names
