"""What is wrong with a configuration, and where: one line an error, every error at once.

gateway.yaml:6:5: routes[0].upstream_mode: must be one of AsyncRequestReply, …, not 'Polling'
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""The way to a value: `("routes", 0, "upstream_mode")`; `()` is the whole document."""


class Fault(NamedTuple):
    """One thing that is wrong."""

    key: Key
    message: str
    """What was wrong and what would be right."""


class ConfigError(Exception):
    """The configuration cannot be used. Its text is one line an error; secrets never appear in it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def spelled(key: Key) -> str:
    """Return a key as people write it: `routes[0].upstream_mode`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
