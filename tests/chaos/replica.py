"""One process of the cluster: a gateway or the simulator. Ended by its own process id, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

_UP_WITHIN = 90.0
"""Seconds: two cores, shared with whatever else runs."""
_AGAIN = 0.3
"""Seconds before a process that could not start is started once more, as any supervisor does."""


class Process:
    """A process that listens on `port`, its log in a file. `arguments` go to Python."""

    def __init__(self, name: str, arguments: tuple[str, ...], port: int, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.log = log
        self._arguments = arguments
        self._env = {**os.environ, **env}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped or not."""
        return self._process is not None and self._process.returncode is None

    async def start(self, session: aiohttp.ClientSession, path: str = "/-/healthz") -> None:
        """Start it, again and again if it cannot, until it answers at `path`. Raises `RuntimeError` with its log."""
        try:
            async with asyncio.timeout(_UP_WITHIN):
                await self._spawn()
                while not await self._answers(session, path):
                    await asyncio.sleep(_AGAIN)
                    await self._spawn()
        except TimeoutError:
            raise RuntimeError(f"{self.name} does not start; its log ends: {self.log.read_text()[-2000:]}") from None

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._env,
            )  # fmt: skip

    async def _answers(self, session: aiohttp.ClientSession, path: str) -> bool:
        """Wait until it answers (true) or ends (false)."""
        while self.running:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with session.get(self.url + path, timeout=aiohttp.ClientTimeout(total=1.0)):
                    return True
            await asyncio.sleep(0.05)
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process to send it to."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self.send(signal.SIGKILL)
        await self.gone(10.0)

    async def gone(self, within: float) -> int | None:
        """Wait until it has ended; return its exit status, None if it has not ended in time."""
        if self._process is None:
            return None
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            return None
