"""Connections from the parent to one worker, and word of how many of them have ended.

They go as file descriptors over a socket pair (SCM_RIGHTS, unix(7)), each with one byte that names the port it came
in on. How many have ended comes back over a pipe, a byte for each: the parent reads it when it deals the next
connection and is not woken by it. The pipe holds 64 Ki bytes, more than connections can end between two that begin.
"""

from __future__ import annotations

import contextlib
import os
import socket

PORTS = ("data", "admin")
"""The ports, by the byte that names each."""

_WAITING = 32_768
"""Bytes of send buffer: some dozens of connections on Linux (86 on 6.18). A worker that is busy for a moment still gets
its share of a burst, and one that takes none at all gets no more than these."""

_READ = 65536


class Channel:
    """The parent's side: gives connections, and knows how many are open."""

    def __init__(self) -> None:
        self._socket, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING)
        self._ended, self._telling = os.pipe()
        os.set_blocking(self._ended, False)
        self._given = 0
        self.gone = False
        """Whether the worker takes nothing any more."""

    @property
    def inherited(self) -> tuple[int, int]:
        """The file descriptors of the worker's side: of its socket, and of the pipe to write to."""
        return self._taking.fileno(), self._telling

    def inherit(self) -> None:
        """Leave the worker's side to the worker, once it has it."""
        self._taking.close()
        if self._telling >= 0:
            os.close(self._telling)
            self._telling = -1

    def fileno(self) -> int:
        """Return what becomes writable when a connection can be given again."""
        return self._socket.fileno()

    def open(self) -> int:
        """Return how many connections the worker has, those on their way included."""
        with contextlib.suppress(BlockingIOError):
            self._given -= len(os.read(self._ended, _READ))
        return self._given

    def give(self, port: str, connection: socket.socket) -> bool:
        """Give a connection that came in on `port`; return whether the worker has room for it."""
        try:
            socket.send_fds(self._socket, [bytes([PORTS.index(port)])], [connection.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            self.gone = True
            return False
        except OSError:  # it is full, or the kernel holds too many on their way for this user (ETOOMANYREFS)
            return False
        self._given += 1
        return True

    def close(self) -> None:
        """Let go of both sides."""
        self.inherit()
        self._socket.close()
        if self._ended >= 0:
            os.close(self._ended)
            self._ended = -1
