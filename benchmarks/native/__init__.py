"""The upstream and the load generator: built here with the machine's C compiler, and spoken to from Python.

Both are in C so that neither is the bottleneck, and takes next to nothing from what is measured beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.processes import free_port, serving

_SOURCES = Path(__file__).parent
_BUILT = _SOURCES.parent / "build"
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
ROOM = 10
"""Seconds more than the load generator's own limit before it is ended from outside."""


class WrongAnswersError(Exception):
    """A subject answered wrongly, lost a connection, took too long, or started a job not exactly once."""


@cache
def built(name: str) -> Path:
    """Compile `NAME.c` unless that was done before; return the program, which is named by what it was made of."""
    source = _SOURCES / f"{name}.c"
    texts = [each.read_bytes() for each in (source, *sorted(_SOURCES.glob("*.h")))]
    program = _BUILT / f"{name}-{hashlib.sha256(b''.join(texts)).hexdigest()[:12]}"
    if not program.exists():
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            raise RuntimeError("the upstream and the load generator are in C: install gcc")
        _BUILT.mkdir(exist_ok=True)
        # Two who compile at once (tests run side by side) each finish a file of their own before it is seen.
        finished = program.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *_FLAGS, "-o", finished, source], check=True)
        finished.replace(program)
    return program


@dataclass(frozen=True)
class Upstream:
    """A running upstream."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> dict[str, int]:
        """Return what it was asked so far, by kind."""
        return self._control("GET", "counts", 10)

    def wait_started(self, jobs: int, *, within: float) -> None:
        """Wait until so many jobs were started in all. Raises TimeoutError."""
        self._control("GET", f"started/{jobs}", within)

    def release(self) -> dict[str, int]:
        """End all jobs that run until released; return what was asked so far."""
        return self._control("POST", "release", 30)

    def _control(self, method: str, what: str, within: float) -> dict[str, int]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=within)) as connection:
            connection.request(method, f"/control/{what}")
            counts: dict[str, int] = json.load(connection.getresponse())
            return counts


@contextlib.contextmanager
def upstream(*, hold: int = 25, hook_port: int | None = None, hook_secret: str = "") -> Iterator[Upstream]:
    """Run an upstream that holds a leg of a long-poll for so many seconds.

    With `hook_port`, one that tells a gateway there of the ends of the Jobs API's jobs.
    """
    port = free_port()
    hook = () if hook_port is None else (str(hook_port), hook_secret)
    with serving([str(built("upstream")), str(port), str(hold), *hook], port) as pid:
        yield Upstream(port, pid)


class Load:
    """A load that goes on until all of its calls are answered."""

    def __init__(self, port: int, path: str, *, connections: int, calls: int, first: int, **options: object) -> None:
        self._calls = calls
        self._limit = float(str(options.get("limit", 120)))
        words = [port, path, connections, calls, first, *(f"{name}={value}" for name, value in options.items())]
        command = [str(built("load")), *map(str, words)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self) -> dict[str, Any]:
        """Wait for its end and return what it measured. Raises `WrongAnswersError`."""
        try:
            told, errors = self._process.communicate(timeout=self._limit + ROOM)
        finally:
            self.stop()
        if self._process.returncode != 0:
            raise WrongAnswersError(errors.strip())
        figures: dict[str, Any] = json.loads(told)
        assert figures["calls"] == self._calls
        return figures

    def check(self) -> None:
        """Raise `WrongAnswersError` if it has ended, because of an answer."""
        if self._process.poll() is not None:
            self.result()

    def stop(self) -> None:
        """End it, answered or not."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def load(port: int, path: str, **options: Any) -> dict[str, Any]:
    """Put a load on a port, wait for its end, and return what it measured; `load.c` has the options."""
    return Load(port, path, **options).result()
