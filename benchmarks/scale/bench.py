"""What is measured: a gateway before a fast upstream, on a Redis server of its own, all on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.gateways import Gateway, callmode
from benchmarks.native import Upstream, load, upstream
from benchmarks.processes import cpu_seconds, free_port, serving, settle

KIB = 1024
BEARER = 1_200
"""Characters of a bearer token, as Orchestrator's are."""
_AS_IT_IS = {"trigger": "/t/bench/job", "upstream_mode": "AsyncRequestReply", "learn": False}
_SELDOM = {**_AS_IT_IS, "typical": "1h", "poll_ceiling": "1h"}
ROUTES: list[dict[str, Any]] = [
    {"path": "/job", **_AS_IT_IS, "poll_floor": "100ms", "poll_ceiling": "100ms"},
    {"path": "/long", **_SELDOM},
    {"path": "/later", **_SELDOM, "caller_mode": "async"},
]
LEASE_S = 3


class Jobs(NamedTuple):
    """Calls: how many, how many a second, and how long their jobs run, evenly between two milliseconds."""

    number: int
    rate: float
    least: int
    most: int


@dataclass
class Server:
    """A Redis server and what it says of itself."""

    url: str
    pid: int
    client: redis.Redis

    def said(self, name: str) -> int:
        """Return one number of its INFO."""
        return int(self.client.info("everything")[name])

    def cpu(self) -> float:
        """Return the microseconds of CPU that it has used."""
        return cpu_seconds(self.pid) * 1e6

    def counts(self) -> dict[str, int]:
        """Return keys; bytes of memory, log and network; scripts, and turns of its loop."""
        told = self.client.info("everything")
        return {
            "keys": self.client.dbsize(),
            "memory": int(told["used_memory"]),
            "log": int(told["aof_current_size"]),
            "wire": int(told["total_net_input_bytes"]) + int(told["total_net_output_bytes"]),
            "scripts": int(told["cmdstat_evalsha"]["calls"]),
            "turns": int(told["total_reads_processed"]),
        }


@contextlib.contextmanager
def server(directory: Path, *, always: bool) -> Iterator[Server]:
    """Run a Redis server whose append-only file is never rewritten."""
    directory.mkdir(parents=True)
    port = free_port()
    settings = {
        "port": port, "bind": "127.0.0.1", "dir": directory, "save": "", "appendonly": "yes",
        "appendfsync": "always" if always else "everysec", "auto-aof-rewrite-percentage": 0,
    }  # fmt: skip
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    with serving(["redis-server", *words], port) as pid, redis.Redis(port=port) as client:
        yield Server(f"redis://127.0.0.1:{port}/0", pid, client)


class Bench:
    """A gateway before a fast upstream, on a Redis server of its own."""

    def __init__(self, gateway: Gateway, store: Server, origin: Upstream) -> None:
        self.gateway = gateway
        self.store = store
        self.origin = origin
        self._first = 1

    def cpu(self) -> float:
        """Return the microseconds of CPU that the gateway has used."""
        return cpu_seconds(*self.gateway.pids) * 1e6

    def first(self, calls: int) -> int:
        """Return the first of so many numbers that no job had."""
        self._first += calls
        return self._first - calls

    def calls(self, path: str, jobs: Jobs) -> None:
        """Make blocking calls, each on a connection of its own; check every answer."""
        number = jobs.number
        load(
            self.gateway.port, path, connections=number, calls=number, first=self.first(number),
            ms=f"{jobs.least}-{jobs.most}", rate=jobs.rate,
        )  # fmt: skip

    def post(self, path: str, milliseconds: int, times: int) -> Iterator[int]:
        """Make calls one after the other, giving the status of each."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.gateway.port)) as connection:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer " + "t" * BEARER}
            first = self.first(times)
            for number in range(first, first + times):
                body = {"id": f"{number:010d}", "ms": milliseconds, "padding": "0" * KIB}
                connection.request("POST", path, json.dumps(body), headers)
                with connection.getresponse() as answer:
                    answer.read()
                    yield answer.status

    def settle(self) -> None:
        """Wait until nothing happens any more."""
        settle([*self.gateway.pids, self.store.pid])


@contextlib.contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    """Run all three."""
    with server(directory / "redis", always=False) as store, upstream() as origin:
        shared = {"url": store.url, "lease": f"{LEASE_S}s", "timeout": "1s"}
        with callmode(origin.url, directory / "gateway", ROUTES, store=shared) as gateway:
            found = Bench(gateway, store, origin)
            found.calls("/job", Jobs(200, 150, 20, 20))
            found.settle()
            yield found
