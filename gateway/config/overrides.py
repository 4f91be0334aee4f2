"""What flags of the command line say over the file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.config.document import Document, Place


class Overrides(msgspec.Struct, frozen=True):
    """What flags of the command line say. None: not said."""

    upstream: str | None = None
    """`upstream.url`"""
    listen: str | None = None
    admin: str | None = None
    """`host:port`, or `off`."""
    public_url: str | None = None
    caller_mode: str | None = None
    """`defaults.caller_mode`: a route that names its own keeps it."""
    store: str | None = None
    """`store.url`; a `data_dir` of the file then does not count."""
    data_dir: Path | None = None
    """`store.data_dir`, relative to the working directory; a `store.url` of the file then does not count."""
    workers: int | str | None = None
    """A number, or `auto`."""


_FLAGS: dict[str, tuple[str, ...]] = {
    "upstream": ("upstream", "url"),
    "listen": ("listen",),
    "admin": ("admin",),
    "public_url": ("public_url",),
    "caller_mode": ("defaults", "caller_mode"),
    "store": ("store", "url"),
    "data_dir": ("store", "data_dir"),
    "workers": ("workers",),
}


def override(document: Document, overrides: Overrides) -> None:
    """Put each flag in its key's place. A store given by flag is instead of the file's, whichever kind that was."""
    if overrides.store or overrides.data_dir:
        document.drop(("store", "url"))
        document.drop(("store", "data_dir"))
    for flag, key in _FLAGS.items():
        value = getattr(overrides, flag)
        if value is not None:
            value = str(value.absolute()) if isinstance(value, Path) else value
            document.put(key, value, Place(f"--{flag.replace('_', '-')}"))
