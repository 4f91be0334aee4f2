"""`EmbeddedServer`: owns a data directory and keeps one store server running in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway.store.embedded.binary import find_server_binary
from gateway.store.embedded.errors import EmbeddedStoreError
from gateway.store.embedded.lock import DirectoryLock
from gateway.store.embedded.paths import Paths, prepare, remove_runtime
from gateway.store.embedded.process import ServerProcess
from gateway.store.embedded.sync import sync_forever
from gateway.store.settings import Durability

OnEvent = Callable[[str, dict[str, object]], None]
"""Takes an event's name and its fields, for a log line or a metric. Must not raise.

`store.started` {pid, binary, seconds} · `store.exited` {pid, code} · `store.restarted` {pid, seconds} ·
`store.restart_failed` {error, retry_in} · `store.sync_failed` {error} · `store.stopped` {pid}. `seconds`: from the
spawn until it answered.
"""

STOP_GRACE = 10.0
"""Seconds that a server gets to flush its file and end, before it is killed."""

FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds before the second restart in a row, doubled up to the second value. The first restart is at once."""

STABLE_AFTER = 10.0
"""Seconds of life after which a server's death is not counted as one more in a row."""


class EmbeddedServer:
    """A store server of the gateway's own, in `data_dir`, restarted whenever it dies.

    `lock_wait`: seconds to wait for another gateway that still holds the directory. `durability`: what an
    acknowledged write survives, `memory` (any kill -9, and a power cut a second later) or `disk` (a power cut at
    once, at the price of an fsync before each reply).
    `binary`: the server to run, found by `find_server_binary` where None.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        lock_wait: float = 5.0,
        durability: Durability = "memory",
        binary: Path | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._lock_wait = lock_wait
        self._durability = durability
        self._binary = binary
        self._emit: OnEvent = (lambda _name, _fields: None) if on_event is None else on_event
        self._cleanup = contextlib.AsyncExitStack()
        self._process: ServerProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._lock: DirectoryLock | None = None

    @property
    def lock_fd(self) -> int:
        """The locked file: a child that inherits it keeps the directory from other gateways for as long as it lives."""
        assert self._lock is not None, "the server is not started"
        return self._lock.fd

    @property
    def pid(self) -> int | None:
        """The server's process id, None from its end until its successor has loaded."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> str:
        """Lock the directory, start the server, and return its URL for redis-py: `unix:///…/server.sock?db=0`.

        The URL stays the same over restarts of the server. Call once, on the main thread, whose end is the server's
        end. Raises `EmbeddedStoreError`; nothing is left running then.
        """
        async with contextlib.AsyncExitStack() as undo:
            binary = self._binary or find_server_binary()
            paths = prepare(self._data_dir)
            self._lock = lock = DirectoryLock(paths.lock)
            await lock.acquire(self._lock_wait)
            undo.callback(lock.release)
            undo.callback(remove_runtime, paths)
            launcher = _Launcher(binary, paths, lock, self._durability)
            undo.push_async_callback(self._stop)
            self._started("store.started", await launcher.launch(), binary=str(binary))
            self._supervisor = self._spawn_supervisor(launcher)
            self._cleanup = undo.pop_all()
        return f"unix://{quote(str(paths.socket))}?db=0"

    async def close(self) -> None:
        """Stop the server, wait until it is gone, and let go of the directory. Does nothing a second time."""
        await self._cleanup.aclose()

    def _spawn_supervisor(self, launcher: _Launcher) -> asyncio.Task[None]:
        """Start the one task of this package. It lives until `close`; a defect that ends it earlier is reported."""
        supervisor = asyncio.create_task(self._attend(launcher), name="embedded-store")  # noqa: TID251 - held, watched, ended by close
        supervisor.add_done_callback(_report_defect)
        return supervisor

    async def _attend(self, launcher: _Launcher) -> None:
        """Do what a running server needs, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._supervise(launcher))
            if self._durability != "disk":
                group.create_task(sync_forever(launcher.paths.aof, self._sync_failed))

    def _sync_failed(self, error: OSError) -> None:
        self._emit("store.sync_failed", {"error": str(error)})

    async def _supervise(self, launcher: _Launcher) -> None:
        """Start a new server whenever the present one ends. The old one is gone by then: never two."""
        clock = asyncio.get_running_loop().time
        delay = 0.0
        while self._process is not None:
            process, began = self._process, clock()
            code = await process.wait()
            self._process = None
            self._emit("store.exited", {"pid": process.pid, "code": code})
            delay = await self._restart(launcher, 0.0 if clock() - began > STABLE_AFTER else delay)

    async def _restart(self, launcher: _Launcher, delay: float) -> float:
        """Try until a server is up, the first time after `delay` seconds. Return the delay of the next restart."""
        while True:
            await asyncio.sleep(delay)
            delay = min(max(2 * delay, FIRST_RETRY), LAST_RETRY)
            try:
                process = await launcher.launch()
            except EmbeddedStoreError as error:
                self._emit("store.restart_failed", {"error": str(error), "retry_in": delay})
            else:
                self._started("store.restarted", process)
                return delay

    def _started(self, event: str, process: ServerProcess, **fields: object) -> None:
        self._process = process
        self._emit(event, {"pid": process.pid, "seconds": process.ready_after, **fields})

    async def _stop(self) -> None:
        try:
            if self._supervisor is not None:
                self._supervisor.cancel()
                await asyncio.wait([self._supervisor])
        finally:  # also when close() itself is cancelled
            process, self._process = self._process, None
            if process is not None:
                await process.stop(STOP_GRACE)
                self._emit("store.stopped", {"pid": process.pid})


@dataclass(frozen=True)
class _Launcher:
    """All that it takes to start one more server in the same place."""

    binary: Path
    paths: Paths
    lock: DirectoryLock
    durability: Durability

    async def launch(self) -> ServerProcess:
        process = await ServerProcess.launch(self.binary, self.paths, self.durability, self.lock.fd)
        self.lock.note(process.pid)
        return process


def _report_defect(task: asyncio.Task[None]) -> None:
    """Hand an exception that nobody expected to the loop at once; awaiting it at the close would be too late."""
    if not task.cancelled() and (error := task.exception()) is not None:
        message = "the embedded store server is no longer supervised"
        task.get_loop().call_exception_handler({"message": message, "exception": error, "task": task})
