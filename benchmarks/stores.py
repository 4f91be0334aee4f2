"""A store server for one subject, which says `appendfsync always`: nothing is told before it is on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.processes import free_port, serving
from gateway.store.embedded import find_server_binary

SCRIPTS = frozenset({"cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall"})


@dataclass(frozen=True)
class StoreServer:
    """A running server."""

    url: str
    pid: int

    def counts(self) -> dict[str, int]:
        """Return how many commands it ran so far, those that scripts call among them, and how many were scripts.

        Also how often it read from a connection: a pipeline of many commands is one read.
        """
        with redis.Redis.from_url(self.url) as client:
            told = client.info("everything")
        calls = {name: int(each["calls"]) for name, each in told.items() if name.startswith("cmdstat_")}
        scripts = sum(count for name, count in calls.items() if name in SCRIPTS)
        return {"commands": sum(calls.values()), "scripts": scripts, "reads": int(told["total_reads_processed"])}


@contextlib.contextmanager
def store_server(directory: Path) -> Iterator[StoreServer]:
    """Run a server whose append-only file lies in `directory`."""
    port = free_port()
    directory.mkdir(parents=True)
    settings = {"bind": "127.0.0.1", "port": port, "dir": directory, "appendonly": "yes", "appendfsync": "always"}
    words = [str(find_server_binary()), "--save", ""]
    for name, value in settings.items():
        words += [f"--{name}", str(value)]
    with serving(words, port) as pid:
        yield StoreServer(f"redis://127.0.0.1:{port}/0", pid)
