"""Where the embedded server keeps its files and its socket.

DATA_DIR/store.lock           the lock, never removed
DATA_DIR/store/               0700: what the server owns
DATA_DIR/store/appendonlydir/ the append-only file
DATA_DIR/store/server.log     the server's own log, the last one beside it as server.log.1
DATA_DIR/store/server.sock    the socket, unless the path is too long for one
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.store.embedded.errors import EmbeddedStoreError

MAX_SOCKET_PATH = 103
"""Bytes of a unix socket path without its NUL: `sun_path` has 108 on Linux, 104 on macOS and the BSDs (unix(7))."""

MAX_LOG = 1 << 20
"""Bytes of `server.log` above which a start of the server sets it aside."""


@dataclass(frozen=True)
class Paths:
    """The embedded server's places on disk. `runtime` is the socket's own short directory, None if not needed."""

    data_dir: Path
    lock: Path
    home: Path
    aof: Path
    log: Path
    socket: Path
    runtime: Path | None


def prepare(data_dir: Path) -> Paths:
    """Create the directories below `data_dir`, private to this user, and say where everything is.

    Raises `EmbeddedStoreError` where they cannot be created.
    """
    root = data_dir.absolute()
    home = root / "store"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
        home.chmod(0o700)
        socket, runtime = _socket(home)
    except OSError as error:
        raise EmbeddedStoreError(
            f"The data directory {root} cannot be used: {error}. Name a directory that this user may write with "
            "--data-dir, or a running Redis or Valkey with --store URL (store.url in the configuration)."
        ) from error
    return Paths(root, root / "store.lock", home, home / "appendonlydir", home / "server.log", socket, runtime)


def remove_runtime(paths: Paths) -> None:
    """Remove the socket's own directory, if it has one."""
    if paths.runtime is not None:
        with contextlib.suppress(OSError):  # not ours to insist: the next start uses it again
            paths.socket.unlink(missing_ok=True)
            paths.runtime.rmdir()


def open_log(paths: Paths) -> BinaryIO:
    """Open the server's log to append. A large one is set aside: a gateway restarted for years fills no disk."""
    if paths.log.exists() and paths.log.stat().st_size > MAX_LOG:
        paths.log.replace(paths.log.with_suffix(".log.1"))
    return paths.log.open("ab")


def _socket(home: Path) -> tuple[Path, Path | None]:
    """Return the socket's path, and the directory made for it where `home` is too long for a socket."""
    beside_data = home / "server.sock"
    if len(os.fsencode(beside_data)) <= MAX_SOCKET_PATH:
        return beside_data, None
    # The name is derived from the data directory, not random: a gateway that was killed leaves a directory behind,
    # and the next one uses that again instead of leaving one more.
    name = f"callmode-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - made 0700, owner checked
        if base and Path(base).is_dir() and len(os.fsencode(f"{base}/{name}/s")) <= MAX_SOCKET_PATH:
            return _private(Path(base) / name) / "s", Path(base) / name
    raise OSError(f"{beside_data} is too long for a unix socket, and so is every temporary directory")


def _private(directory: Path) -> Path:
    """Create `directory` 0700; refuse one that another user made first in a shared place such as /tmp."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory} is not a private directory of this user")
    return directory
