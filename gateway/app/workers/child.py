"""What a worker process runs: one whole replica, on connections that its parent gives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import structlog

from gateway.app.assembly import defect
from gateway.app.failures import CANNOT_SERVE, line
from gateway.app.lifecycle import collect_seldom, running
from gateway.app.workers.errand import Errand
from gateway.app.workers.inbox import Inbox
from gateway.app.workers.worker import Report
from gateway.loop import run
from gateway.observability.logs import configure
from gateway.store.embedded.bootstrap import die_with_parent
from gateway.web.drain import Drain
from gateway.worker.tasks import Tasks

_TOLD_WITHIN = 5.0
"""Seconds in which who keeps a connection of a retiring worker in use learns from an answer that it is closed."""

_log = structlog.get_logger("gateway")


class Orders(asyncio.Protocol):
    """What the parent says over standard input; its end is the parent's. `report` tells the parent something."""

    def __init__(self, drain: Drain, report: Callable[[Report], None]) -> None:
        self._drain = drain
        self._report = report
        self._said = bytearray()
        self.errand: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.leave = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take lines as they come."""
        *lines, rest = (bytes(self._said) + data).split(b"\n")
        self._said[:] = rest
        for said in lines:
            self._take(said)

    def _take(self, said: bytes) -> None:
        if not self.errand.done():
            self.errand.set_result(said)
        elif said == b"ping":
            self._report(Report(pong=True))
        elif said == b"hasten":
            self._drain.hasten()
        else:
            self._drain.replaced = said == b"retire"
            self.leave.set()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave: nobody brings connections any more."""
        if not self.errand.done():
            self.errand.cancel()
        if not self.leave.is_set():
            _log.error("the parent is gone")
            self.leave.set()


async def work(reports: int) -> int:
    """Serve until told to go; return the exit status."""
    drain, loop = Drain(), asyncio.get_running_loop()
    report = partial(_report, reports)
    orders = Orders(drain, report)
    transport, _ = await loop.connect_read_pipe(lambda: orders, sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, report, Report(leaving=True))
    with contextlib.closing(transport):
        errand = Errand.read(await orders.errand)
        if errand.parent is not None:
            die_with_parent(errand.parent)
        configure(errand.config.log, worker=errand.number)
        try:
            await _serve(errand, orders, drain, report)
        except CANNOT_SERVE as error:
            report(Report(failed=line(error)))
            return 1
    return 0


async def _serve(errand: Errand, orders: Orders, drain: Drain, report: Callable[[Report], None]) -> None:
    config, tasks = errand.config, Tasks(defect)
    inbox = Inbox(*errand.channel, errand.addresses, tasks)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tasks.close)
        await stack.enter_async_context(
            running(config, ports=inbox.ports, drain=drain, named=lambda name: report(Report(named=name)))
        )
        collect_seldom()
        report(Report(serving=True))
        await orders.leave.wait()
        if drain.replaced:
            drain.begin(config.web.drain / 1000)
            await inbox.emptied(min(_TOLD_WITHIN, drain.left))


def _report(reports: int, report: Report) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, which standard input tells of
        os.write(reports, report.line())


def main() -> None:
    """Keep standard output for reports, whatever else is printed, and work."""
    reports = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.exit(run(work(reports)))


if __name__ == "__main__":
    main()
