"""What the configuration says of logs."""

from __future__ import annotations

import msgspec


class LogSettings(msgspec.Struct, frozen=True):
    """Form and level of the log, which goes to standard error."""

    format: str = "auto"
    """`json`, `console`, or `auto`: console on a terminal."""
    level: str = "info"
