"""Durations (`250ms`, `2s`, `15m`, `24h`, `3d`, `0`) and sizes (`64KiB`, `1MiB`, bytes), read and shown."""

from __future__ import annotations

import re

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_BYTES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]+)(GiB|MiB|KiB|B)?")

_WRITTEN = "a duration: a whole number and ms, s, m, h or d, such as 250ms, 2s or 15m"

DURATION: dict[str, object] = {
    "anyOf": [{"const": 0}, {"type": "string", "pattern": "^(0|[0-9]+(ms|s|m|h|d))$"}],
}
"""Durations in a JSON Schema."""
SIZE: dict[str, object] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+(GiB|MiB|KiB|B)?$"}],
}
"""Sizes in a JSON Schema."""


def duration(value: object) -> int:
    """Return a duration in milliseconds. A bare number says no unit, so only 0 is one."""
    if value == "0" or (value == 0 and type(value) is int):
        return 0
    if isinstance(value, str) and (written := _DURATION.fullmatch(value)):
        return int(written[1]) * _MILLISECONDS[written[2]]
    raise ValueError(f"must be {_WRITTEN}, or 0")


def positive(value: object) -> int:
    """Return a duration in milliseconds that is longer than 0."""
    try:
        length = duration(value)
    except ValueError:
        raise ValueError(f"must be {_WRITTEN}") from None
    if not length:
        raise ValueError("must be longer than 0")
    return length


def show_duration(milliseconds: int) -> str:
    """Return a duration as people write it, in the largest unit that divides it; 0 is `0`."""
    return _shown(milliseconds, _MILLISECONDS) if milliseconds else "0"


def size(value: object) -> int:
    """Return a size in bytes, at least 1."""
    bytes_ = 0
    if type(value) is int:
        bytes_ = value
    elif isinstance(value, str) and (written := _SIZE.fullmatch(value)):
        bytes_ = int(written[1]) * _BYTES[written[2] or "B"]
    if bytes_ < 1:
        raise ValueError("must be a size: a whole number and B, KiB, MiB or GiB, such as 64KiB or 1MiB")
    return bytes_


def show_size(bytes_: int) -> str:
    """Return a size as people write it, in the largest unit that divides it."""
    return _shown(bytes_, _BYTES)


def _shown(number: int, units: dict[str, int]) -> str:
    unit = next(unit for unit, worth in units.items() if number % worth == 0)
    return f"{number // units[unit]}{unit}"
