"""One server per data directory: two would append to one file and ruin it, and neither would notice.

The lock is flock(2) on an open file, because the kernel lets go of it when the last process that has the file open
is gone, however it went. The server process inherits the open file: so after a `kill -9` of the gateway the lock is
held until its server is gone too, and the next gateway cannot start a second server beside a dying one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
from pathlib import Path

from gateway.store.embedded.errors import EmbeddedStoreError

_LOOK_AGAIN = 0.05
"""Seconds between two looks at a held lock. flock(2) announces nothing, and a blocking one cannot be cancelled."""


class DirectoryLock:
    """An exclusive lock on a directory, held by an open file that children may inherit (`fd`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The locked file descriptor, to be passed to the server process. Not inheritable by default (PEP 446)."""
        assert self._fd is not None, "the lock is not held"
        return self._fd

    async def acquire(self, wait: float) -> None:
        """Take the lock within `wait` seconds, and write this process's id into the file.

        Raises `EmbeddedStoreError`, which names the holder where there is one.
        """
        with contextlib.ExitStack() as undo:
            try:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, fd)
                async with asyncio.timeout(wait):
                    while not _try_lock(fd):  # noqa: ASYNC110 - flock(2) sets no event
                        await asyncio.sleep(_LOOK_AGAIN)
            except TimeoutError:
                raise EmbeddedStoreError(self._held(fd, wait)) from None
            except OSError as error:  # e.g. ENOLCK: a file system without locks
                raise EmbeddedStoreError(f"{self._path} cannot be locked: {error}.") from error
            undo.pop_all()
        self._fd = fd
        self.note()

    def note(self, server_pid: int | None = None) -> None:
        """Write down who holds the lock, for the message that another gateway gives."""
        record = {"host": socket.gethostname(), "gateway": os.getpid(), "server": server_pid}
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, json.dumps(record).encode(), 0)

    def release(self) -> None:
        """Close the file. The lock is free once every child that inherited it is gone.

        The file stays: a lock on a removed file would guard nothing.
        """
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _held(self, fd: int, wait: float) -> str:
        directory = self._path.parent
        return (
            f"The data directory {directory} is in use by another gateway ({_holder(fd)}); waited {wait:g} s for it. "
            "Stop that one, or give this one a directory of its own with --data-dir, or let both share one store "
            "with --store URL (store.url in the configuration)."
        )


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    """Describe the holder from what it noted in the file."""
    with contextlib.suppress(ValueError, KeyError, TypeError):  # empty or half written: being taken right now
        record = json.loads(os.pread(fd, 4096, 0))
        return f"pid {record['gateway']} on {record['host']}, its server pid {record['server']}"
    return "pid not yet written"
