"""Where lines go: to a stream, those of one turn of the event loop in one write."""

from __future__ import annotations

import asyncio
import atexit
from typing import Any, TextIO


class Lines:
    """A logger's last step, as structlog wants it. Called, it is its own factory.

    A line is written at the end of the turn that it is logged in, at once where no loop runs; so a process that is
    killed loses the lines of one turn at most.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._kept: list[str] = []
        self._due_on: asyncio.AbstractEventLoop | None = None
        """The loop on which they are about to be written."""
        atexit.register(self.flush)

    def __call__(self, *_name: Any) -> Lines:
        """Return the logger for any name."""
        return self

    def msg(self, line: str) -> None:
        """Write a line."""
        self._kept.append(line)
        loop = asyncio._get_running_loop()  # noqa: SLF001 - in `asyncio.__all__`; the public one raises
        if loop is None:
            self.flush()
        elif loop is not self._due_on:
            self._due_on = loop
            loop.call_soon(self.flush)

    debug = info = warning = error = critical = exception = msg

    def flush(self) -> None:
        """Write what is kept."""
        self._due_on = None
        lines, self._kept = self._kept, []
        if lines and not self._stream.closed:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
