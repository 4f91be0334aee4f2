"""One worker process, as the parent sees it: its start, what it reports, what it is told, its end.

Over its standard input the worker is told one errand and then, a line each, `ping`, `retire`, `stop` or `hasten`; the
end of that input is the parent's end. Over its standard output it reports a JSON object a line:

    {"named": …}        each name that it has in the store
    {"serving": true}   or {"failed": …} before it ends
    {"pong": true}      for each ping
    {"leaving": true}   somebody else than its parent has told it to go: it would be retired

Whatever else the parent should know of its workers, figures for one, has its place there as one more member.

A worker that is stuck, its event loop or all of its process, is killed: one that serves, when it has left pings
unanswered; one that is to go, when it is there after all the time that going can take.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

import msgspec
import structlog

from gateway.app.stop import stops_within
from gateway.app.workers.channel import Channel
from gateway.app.workers.errand import Errand

_SERVES_WITHIN = 60.0
"""Seconds after which a worker that does not serve yet is given up."""

_PING_EVERY = 5.0
"""Seconds between two pings."""

_UNANSWERED = 6
"""Pings in a row that a worker may leave unanswered: for half a minute, after which its lease is long over. They are
counted, and not seconds, since this process may stand still as well, with all the machine."""

_log = structlog.get_logger("gateway")


class WorkerFailed(Exception):  # noqa: N818 - it is the sentence that it is part of
    """A worker has not come to serve. The message says why."""


class Report(msgspec.Struct, omit_defaults=True):
    """What a worker reports; each line has one of these."""

    named: str | None = None
    serving: bool = False
    failed: str | None = None
    pong: bool = False
    leaving: bool = False

    def line(self) -> bytes:
        """Return it as it is written."""
        return msgspec.json.encode(self) + b"\n"


class Worker:
    """A worker's process. Make one with `spawn`; it lives until `ended` or `kill` has returned."""

    def __init__(self, number: int, process: Process, channel: Channel, *, drain: float) -> None:
        self.number = number
        self.channel = channel
        self.names: list[str] = []
        """Its names in the store, of which the last may hold a lease."""
        self._process = process
        self._drain = drain
        """Seconds that it may drain."""
        self._unanswered = 0
        self._overdue: asyncio.TimerHandle | None = None
        """When it must be stuck, once it is to go."""
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
        worker = cls(errand.number, process, channel, drain=errand.config.web.drain / 1000)
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
                    if report.leaving:
                        raise WorkerFailed("it was told to go before it served")
                    if report.serving:
                        return
                raise WorkerFailed(f"it ended with exit code {await self._process.wait()} before it served")
        except TimeoutError:
            raise WorkerFailed(f"it does not serve after {_SERVES_WITHIN:g} s") from None

    def tell(self, order: str) -> None:
        """Give an order: `retire` (serve who is connected, then go), `stop`, or `hasten`; kill it if it is stuck."""
        self._write(order.encode() + b"\n")
        self._goes_within(stops_within(0 if order == "hasten" else self._drain))

    async def ended(self, leaving: Callable[[], None] = lambda: None) -> int:
        """Wait for its end, hearing its reports meanwhile; return its exit code, minus the signal that killed it.

        It is killed if it does not answer. `leaving` is called where somebody else has told it to go. Once this has
        returned, no instruction of that process runs any more: the kernel has told of its end.
        """
        async with asyncio.TaskGroup() as group:
            pinging = group.create_task(self._ping())
            async for report in self._reports():
                if report.leaving:
                    leaving()
            code = await self._process.wait()
            pinging.cancel()
        if self._overdue is not None:
            self._overdue.cancel()
        self._gone.set()
        return code

    async def gone(self) -> None:
        """Wait until somebody has seen its end."""
        await self._gone.wait()

    async def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self._kill()
        await self.ended()

    async def _ping(self) -> None:
        """Ask whether it still turns, until it has not answered for too long."""
        while self._unanswered < _UNANSWERED:
            self._unanswered += 1
            self._write(b"ping\n")
            await asyncio.sleep(_PING_EVERY)
        self._kill_stuck(f"it has not answered for {_UNANSWERED * _PING_EVERY:g} s")

    def _goes_within(self, seconds: float) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
        why = f"it has not gone within {seconds:g} s"
        self._overdue = asyncio.get_running_loop().call_later(seconds, self._kill_stuck, why)

    def _kill_stuck(self, why: str) -> None:
        _log.error("worker killed", worker=self.number, pid=self.pid, why=why)
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

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
            if report.pong:
                self._unanswered = 0
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
