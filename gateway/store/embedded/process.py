"""One life of the server process: spawn, wait until it answers, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from pathlib import Path

from gateway.store.embedded.errors import EmbeddedStoreError
from gateway.store.embedded.paths import Paths, open_log
from gateway.store.settings import Durability

SILENT_FOR = 20.0
"""Seconds without any answer on the socket after which a starting server counts as hung."""

LOAD_FOR = 600.0
"""Seconds that loading the append-only file may take."""

_LOOK_AGAIN = 0.01
"""Seconds between two looks at a starting server: no event tells that its socket is there."""

_INHERITED_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
"""All that the server sees of the gateway's environment, which may hold credentials."""


def server_options(paths: Paths, durability: Durability) -> list[str]:
    """Return the server's command line after the binary. Every option exists in Redis 7.0 and in Valkey 9."""
    options = {
        "port": "0",  # the unix socket only: nothing to guard on the network
        "unixsocket": str(paths.socket),
        "unixsocketperm": "700",
        "daemonize": "no",
        "dir": str(paths.home),
        "logfile": "",  # standard output, which is server.log: early errors land there as well
        "appendonly": "yes",
        # Either way write(2) comes before the reply. Not `everysec`, which loses acknowledged writes: see `sync`.
        "appendfsync": "always" if durability == "disk" else "no",
        "aof-load-truncated": "yes",  # a cut last command was never acknowledged
        # Jobs come and go: the file is rewritten once it is twice as large as what lives, not before 64 MB.
        "auto-aof-rewrite-percentage": "100",
        "auto-aof-rewrite-min-size": "64mb",
        "save": "",  # no snapshots beside the append-only file
        "maxmemory-policy": "noeviction",  # a job is never dropped to make room
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


class ServerProcess:
    """A running server. Make one with `launch`."""

    def __init__(self, process: Process, paths: Paths) -> None:
        self._process = process
        self._paths = paths
        self.ready_after = 0.0
        """Seconds from the spawn until it answered, its data loaded."""

    @classmethod
    async def launch(cls, binary: Path, paths: Paths, durability: Durability, lock_fd: int) -> ServerProcess:
        """Spawn the server and return once it answers and has loaded its data.

        `lock_fd` is inherited, so that the directory's lock lasts as long as the server does. Call from the main
        thread: the kernel ties the child to the thread that forked it (see `bootstrap`). Raises `EmbeddedStoreError`
        with the end of the server's log.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        server = cls(await _spawn(binary, paths, durability, lock_fd), paths)
        try:
            await server._wait_until_ready()
        except BaseException:
            await server.kill()
            raise
        server.ready_after = round(clock() - began, 3)
        return server

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code (minus the signal's number, if killed)."""
        return await self._process.wait()

    async def stop(self, grace: float) -> None:
        """Ask the server to end (it flushes its file to disk), and kill it after `grace` seconds."""
        try:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            async with asyncio.timeout(grace):
                await self.wait()
        except TimeoutError:
            await self.kill()
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.wait()

    async def _wait_until_ready(self) -> None:
        clock = asyncio.get_running_loop().time
        started = heard = clock()
        while not (answer := await _ping(self._paths.socket)).startswith(b"+PONG"):
            if self._process.returncode is not None:
                raise self._failed(f"ended with exit code {self._process.returncode}")
            if answer:  # -LOADING, as long as it reads its append-only file
                heard = clock()
            if clock() - heard > SILENT_FOR:
                raise self._failed(f"has not answered for {SILENT_FOR:g} s")
            if clock() - started > LOAD_FOR:
                raise self._failed(f"has not finished loading after {LOAD_FOR:g} s")
            await asyncio.sleep(_LOOK_AGAIN)

    def _failed(self, how: str) -> EmbeddedStoreError:
        return EmbeddedStoreError(
            f"The embedded store server {how}. The end of {self._paths.log}:\n{_tail(self._paths.log)}"
        )


async def _spawn(binary: Path, paths: Paths, durability: Durability, lock_fd: int) -> Process:
    script = Path(__file__).with_name("bootstrap.py")
    arguments = [str(os.getpid()), str(binary), *server_options(paths, durability)]
    try:
        with open_log(paths) as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(script), *arguments),
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                pass_fds=(lock_fd,),
                start_new_session=True,  # Ctrl-C is for the gateway, which stops its server last
                env={name: os.environ[name] for name in _INHERITED_ENVIRONMENT if name in os.environ},
            )
    except OSError as error:
        raise EmbeddedStoreError(f"The embedded store server cannot be started: {error}.") from error


async def _ping(socket: Path) -> bytes:
    """Return the first line of the server's answer to PING, empty where there is none within a second."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
    except OSError:  # not there yet, refused, reset, or (TimeoutError is one) silent
        return b""


def _tail(log: Path, size: int = 2000) -> str:
    """Return the last whole lines of the log that fit `size` bytes."""
    with log.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        text = file.read().decode(errors="replace")
    return text if length <= size else text.partition("\n")[2]
