"""Real store servers for tests: Debian's `redis-server`, or the bundled Valkey where that is absent.

    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path) as server:
        redis.asyncio.from_url(server.url)

Synchronous throughout, so that a session fixture can hold one server for every event loop of the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.store.embedded.binary import bundled_binary
from tests.support.listening import free_port

Found = TypeVar("Found")

READY_WITHIN = 20.0
"""Seconds for a server to answer: two cores, shared with whatever else runs."""


def debian_redis_binary() -> Path | None:
    """Return `redis-server` on PATH, or None."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def real_redis_binary() -> Path | None:
    """Return `redis-server` on PATH, else the bundled Valkey as its stand-in, else None."""
    return debian_redis_binary() or bundled_binary()


def report_header() -> str:
    """Say in the head of a test run which server the store's tests run against."""
    binary = real_redis_binary()
    if binary is None:
        return "store server: none"
    stand_in = "" if debian_redis_binary() else " (stands in for redis-server, which is not on PATH)"
    return f"store server: {binary}{stand_in}"


def require(found: Found | None, what: str) -> Found:
    """Return `found`. Where it is None: skip the test at a developer's desk, fail it in CI, with the reason."""
    if found is not None:
        return found
    reason = f"{what} is not installed"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason}; CI must install it", pytrace=False)
    pytest.skip(reason)


class RedisServer:
    """A server on a free loopback port, its files in `directory`. Ended by process id, never by name.

    `options` go to its command line, which `arguments` begin: a configuration file, or the other mode of the binary.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *,
        appendonly: bool = False,
        options: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
    ) -> None:
        self._binary = binary
        self.directory = directory
        """Its working directory."""
        self._arguments = arguments or ("--appendonly", "yes" if appendonly else "no", "--save", "")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        """The same over restarts."""
        self.ready_after = 0.0
        """Seconds that the last start took, until the server answered."""

    @property
    def url(self) -> str:
        """The URL for redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start, and return once it answers and has loaded its data. Again after `kill`: on the same port."""
        began = time.monotonic()
        ports = [self.port] * 5 if self.port else [free_port() for _ in range(5)]
        for port in ports:  # somebody else may take a free port before the server does
            self._spawn(port)
            if self._becomes_ready(port):
                self.port, self.ready_after = port, time.monotonic() - began
                return
        raise RuntimeError(f"{self._binary} did not start:\n{(self.directory / 'server.log').read_text()}")

    def kill(self) -> None:
        """`kill -9`: what was acknowledged survives only with `appendonly`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _spawn(self, port: int) -> None:
        fixed = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.directory))
        command = [self._binary, *self._arguments, *fixed, *self._options]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _becomes_ready(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(port):
                return True
            time.sleep(0.01)
        self.kill()
        return False


@contextlib.contextmanager
def redis_server(
    binary: Path, directory: Path, *, appendonly: bool = False, options: tuple[str, ...] = ()
) -> Iterator[RedisServer]:
    """Run a server for the length of the block; `options` go to its command line."""
    server = RedisServer(binary, directory, appendonly=appendonly, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
