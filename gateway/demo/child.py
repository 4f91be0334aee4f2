"""`callmode …` as a child process: its log is read as it is written, and it never outlives its parent's interest."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

_T = TypeVar("_T")

_PATIENCE = 5.0
"""Seconds that a child has to end in good order."""

_KEPT_LINES = 100


class DemoError(Exception):
    """The demo cannot go on; the message says why, in plain words."""


class Child(asyncio.SubprocessProtocol):
    """A running `callmode`. Make one with `Child.start`, and end it with `stop` or `kill`, whatever happens."""

    def __init__(self) -> None:
        self.on_line: Callable[[str], None] | None = None
        """Called with each further line of the log."""
        self.on_exit: Callable[[], None] | None = None
        """Called when the process has ended."""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._unfinished = b""
        self._news = asyncio.Event()
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start `callmode` with `arguments`, in a session of its own: a Ctrl-C is for the demo alone."""
        _, child = await asyncio.get_running_loop().subprocess_exec(
            cls,
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        return child

    async def says(self, read: Callable[[str], _T | None], *, within: float) -> _T:
        """Wait for a line of the log that `read` makes something of, and return that.

        Raises DemoError where the child ends first, or `within` seconds pass.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    for line in self._lines:
                        if (found := read(line)) is not None:
                            return found
                    if self._exited.is_set():
                        raise DemoError(f"it ended by itself. {self.last_words}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise DemoError(f"it was not ready after {within:.0f} seconds. {self.last_words}") from None

    @property
    def last_words(self) -> str:
        """The end of its log, for an error message."""
        return "Its last words:\n" + "\n".join(list(self._lines)[-5:]) if self._lines else "It said nothing."

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._kill()
        await self._exited.wait()
        self._process.close()

    async def stop(self) -> None:
        """Ask it to end, and see that it does: also when this very wait is cancelled."""
        try:
            if not self._exited.is_set():
                self._process.terminate()
            async with asyncio.timeout(_PATIENCE):
                await self._exited.wait()
        except TimeoutError:
            await self.kill()
        finally:
            self._kill()
            self._process.close()

    def _kill(self) -> None:
        if not self._exited.is_set():
            self._process.kill()

    @property
    def _process(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None, "`start` gives a child only when it is connected"
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - only stderr is piped
        """Take a piece of the log."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            self._lines.append(text)
            if self.on_line is not None:
                self.on_line(text)
        self._news.set()

    def process_exited(self) -> None:
        """Note the end."""
        self._exited.set()
        self._news.set()
        if self.on_exit is not None:
            self.on_exit()
