"""One worker process, as the parent sees it: its start, what it reports, what it is told, its end.

Over its standard input the worker is told one errand and then, a line each, `retire`, `stop` or `hasten`; the end of
that input is the parent's end. Over its standard output it reports a JSON object a line: `{"named": …}` each name that
it has in the store, `{"serving": true}`, or `{"failed": …}` before it ends. Whatever else the parent should know of its
workers, figures for one, has its place there as one more member.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import msgspec

from gateway.app.workers.channel import Channel
from gateway.app.workers.errand import Errand

_SERVES_WITHIN = 60.0
"""Seconds after which a worker that does not serve yet is given up."""


class WorkerFailed(Exception):  # noqa: N818 - it is the sentence that it is part of
    """A worker has not come to serve. The message says why."""


class Report(msgspec.Struct, omit_defaults=True):
    """What a worker reports; each line has one of these."""

    named: str | None = None
    serving: bool = False
    failed: str | None = None

    def line(self) -> bytes:
        """Return it as it is written."""
        return msgspec.json.encode(self) + b"\n"


class Worker:
    """A worker's process. Make one with `spawn`; it lives until `ended` or `kill` has returned."""

    def __init__(self, number: int, process: Process, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.names: list[str] = []
        """Its names in the store, of which the last may hold a lease."""
        self._process = process
        self._gone = asyncio.Event()

    @classmethod
    async def spawn(cls, errand: Errand, *, inherit: Iterable[int] = ()) -> Worker:
        """Send a new process on an errand, whose `channel` is made here.

        `inherit`: file descriptors that it holds as long as it lives. Raises `WorkerFailed`.
        """
        channel = Channel()
        try:
            process = await _spawn(errand.number, [*channel.inherited, *inherit])
        except BaseException as error:
            channel.close()
            if isinstance(error, OSError):
                raise WorkerFailed(f"it cannot be started: {error}") from error
            raise
        worker = cls(errand.number, process, channel)
        worker._write(replace(errand, channel=channel.inherited).written())
        channel.inherit()
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def served(self) -> None:
        """Wait until it serves. Raises `WorkerFailed`; it has to be killed then."""
        try:
            async with asyncio.timeout(_SERVES_WITHIN):
                async for report in self._reports():
                    if report.failed is not None:
                        raise WorkerFailed(report.failed)
                    if report.serving:
                        return
                raise WorkerFailed(f"it ended with exit code {await self._process.wait()} before it served")
        except TimeoutError:
            raise WorkerFailed(f"it does not serve after {_SERVES_WITHIN:g} s") from None

    def tell(self, order: str) -> None:
        """Give an order: `retire` (serve who is connected, then go), `stop`, or `hasten`."""
        self._write(order.encode() + b"\n")

    async def ended(self) -> int:
        """Wait for its end, hearing its reports meanwhile; return its exit code, minus the signal that killed it.

        Once it has returned, no instruction of that process runs any more: the kernel has told of its end.
        """
        async for _ in self._reports():
            pass
        code = await self._process.wait()
        self._gone.set()
        return code

    async def gone(self) -> None:
        """Wait until somebody has seen its end."""
        await self._gone.wait()

    async def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.ended()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(line)

    async def _reports(self) -> AsyncIterator[Report]:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            report = msgspec.json.decode(line, type=Report)
            if report.named is not None:
                self.names.append(report.named)
            yield report


async def _spawn(number: int, descriptors: list[int]) -> Process:
    """Run `child`, which stands beside this module, in a new interpreter that finds what this one has found.

    No fork: the embedded store's file is synced by a thread, and of a process with threads a fork copies the locks that
    they hold, but not the threads. A session of its own: Ctrl-C is for the parent, which tells its workers.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway.app.workers.child", str(number)),
        stdin=PIPE,
        stdout=PIPE,
        pass_fds=descriptors,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
