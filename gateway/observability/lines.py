"""Where lines go: to a stream, those of one turn of the event loop, or of a moment, in one write."""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import stat
from collections.abc import Callable, Iterator
from typing import Any, TextIO

WHOLE = max(select.PIPE_BUF, 4096)
"""Bytes that a pipe takes in one piece, whoever else writes to it (pipe(7); macOS promises no more than 512)."""

WITHIN = 0.01
"""Seconds for which a line of what happens all the time may be kept."""

_Late = tuple[Callable[..., str], tuple[object, ...]]
"""What makes a line, and of what."""


def is_file(stream: TextIO) -> bool:
    """Whether it is a regular file: then one write is whole, however long, whoever else writes to it.

    Processes that have inherited it share its offset, which the kernel moves under a lock (write(2), since Linux 3.14).
    """
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # it has no file descriptor, or is closed
        return False


class Lines:
    """A logger's last step, as structlog wants it. Called, it is its own factory.

    A line is written at the end of the turn that it is logged in, at once where no loop runs. Those of what happens all
    the time may wait for `WITHIN` seconds, and are made only then: many are one write, and none stands between an event
    and its answer. A process that is killed loses no more than that. Where other processes write to the same pipe
    (`shared`), a write is no longer than it takes in one piece; only a line that is longer by itself may be torn.
    """

    def __init__(self, stream: TextIO, *, shared: bool = False) -> None:
        self._stream = stream
        self._shared = shared
        self._kept: list[str | _Late] = []
        self._soon_on: asyncio.AbstractEventLoop | None = None
        """The loop at the end of whose turn they are written."""
        self._later_on: asyncio.AbstractEventLoop | None = None
        """The loop on which they are about to be written."""
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.flush)

    def __call__(self, *_name: Any) -> Lines:
        """Return the logger for any name."""
        return self

    def msg(self, line: str) -> None:
        """Write a line."""
        self._kept.append(line)
        # To ask which loop runs is a system call in Python 3.11.
        if self._soon_on is not None and not self._soon_on.is_closed():
            return
        loop = asyncio._get_running_loop()  # noqa: SLF001 - in `asyncio.__all__`; the public one raises
        if loop is None:
            self.flush()
        else:
            self._soon_on = loop
            loop.call_soon(self.flush)

    debug = info = warning = error = critical = exception = msg

    def later(self, make: Callable[..., str], *what: object) -> None:
        """Write the line that `make(*what)` returns, which need not be seen at once."""
        self._kept.append((make, what))
        due_on = self._soon_on or self._later_on
        if due_on is not None and not due_on.is_closed():
            return
        loop = asyncio._get_running_loop()  # noqa: SLF001 - as above
        if loop is None:
            self.flush()
        else:
            self._later_on = loop
            self._timer = loop.call_later(WITHIN, self.flush)

    def flush(self) -> None:
        """Write what is kept."""
        self._soon_on = self._later_on = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        kept, self._kept = self._kept, []
        if kept and not self._stream.closed:
            lines = [each if isinstance(each, str) else each[0](*each[1]) for each in kept]
            for portion in _portions(lines) if self._shared else [lines]:
                self._stream.write("\n".join(portion) + "\n")
                self._stream.flush()


def _portions(lines: list[str]) -> Iterator[list[str]]:
    """Give `lines` in portions that a pipe takes in one piece."""
    portion: list[str] = []
    room = WHOLE
    for line in lines:
        size = len(line.encode()) + 1
        if size > room and portion:
            yield portion
            portion, room = [], WHOLE
        portion.append(line)
        room -= size
    yield portion
