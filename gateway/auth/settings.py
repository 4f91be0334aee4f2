"""What the configuration says of the keyring."""

from __future__ import annotations

from pathlib import Path

import msgspec


class AuthSettings(msgspec.Struct, frozen=True):
    """Where the keyring is."""

    keyring: str | None = None
    """The keyring's text (`id:base64` lines, newest first), from the environment or a file."""
    keyring_file: Path | None = None
    """Where it is kept; with the embedded store it is made there when absent."""
