"""P7: CPU of a whole sync job over a polling trigger, beside the naive gateway that does the same.

One inbound call, three upstream (start, status, output), and the job's record, each subject on a store server of its
own that writes to disk before it answers. What counts is the gateway's process; the store's is told beside it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateways import callmode
from benchmarks.native import Upstream, load, upstream
from benchmarks.parts.common import Part, Size, alone, exactly_once
from benchmarks.processes import cpu_seconds, free_port, module, serving
from benchmarks.rounds import Figures, ratio, summary, warmed
from benchmarks.stores import StoreServer, store_server
from benchmarks.targets import JOB_NAIVE, Finding

CONNECTIONS = 64
ROUNDS = {Size.FULL: 15, Size.QUICK: 5, Size.SMOKE: 1}
JOBS = {Size.FULL: 1000, Size.QUICK: 1000, Size.SMOKE: 100}
DURATION_MS = 20
"""Shorter than the first wait of either, so that each reads the status once."""
CALLMODE, NAIVE = "callmode", "naive gateway"
ROUTES = [{"path": "/job", "trigger": "/t/bench/job"}]


@dataclass
class Subject:
    """A gateway and its store."""

    pids: Callable[[], tuple[int, ...]]
    port: int
    store: StoreServer


def run(size: Size, directory: Path) -> Part:
    """Measure the CPU of whole sync jobs over polling."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(upstream())
        subjects = {NAIVE: _naive(origin, directory, stack), CALLMODE: _callmode(origin, directory, stack)}
        first = itertools.count(1, JOBS[size])

        def measured(subject: Subject) -> Figures:
            return measure(subject, origin, JOBS[size], next(first))

        rounds = warmed({name: functools.partial(measured, each) for name, each in subjects.items()}, ROUNDS[size])
    figures = {
        "rounds": ROUNDS[size],
        "jobs": JOBS[size],
        "connections": CONNECTIONS,
        "subjects": summary(rounds),
        "cpu_us_rounds": {name: [each[name]["cpu_us"] for each in rounds] for name in rounds[0]},
        "to_naive": {name: ratio(rounds, name, CALLMODE, NAIVE) for name in ("cpu_us", "with_store_cpu_us")},
    }
    return Part("whole_job", figures, [Finding(JOB_NAIVE, ratio(rounds, "cpu_us", CALLMODE, NAIVE))])


def _naive(origin: Upstream, directory: Path, stack: contextlib.ExitStack) -> Subject:
    store = stack.enter_context(store_server(directory / "naive-store"))
    port = free_port()
    command = module("benchmarks.peers.naive_gateway", port, origin.url, store.url)
    pid = stack.enter_context(serving(command, port))
    return Subject(lambda: (pid,), port, store)


def _callmode(origin: Upstream, directory: Path, stack: contextlib.ExitStack) -> Subject:
    store = stack.enter_context(store_server(directory / "callmode-store"))
    durable = {"url": store.url, "durability": "disk"}
    gateway = stack.enter_context(callmode(origin.url, directory / "callmode", ROUTES, store=durable))
    return Subject(lambda: gateway.pids, gateway.port, store)


def measure(subject: Subject, origin: Upstream, jobs: int, first: int) -> Figures:
    """Run so many jobs through one subject and return what one of them cost."""
    pids = subject.pids()
    with exactly_once(origin, jobs) as asked:
        commands, gateway, store = subject.store.counts(), cpu_seconds(*pids), cpu_seconds(subject.store.pid)
        told = load(subject.port, "/job", connections=CONNECTIONS, calls=jobs, first=first, ms=DURATION_MS)
        gateway, store = cpu_seconds(*pids) - gateway, cpu_seconds(subject.store.pid) - store
        commands = {name: count - commands[name] for name, count in subject.store.counts().items()}
    return {
        "cpu_us": gateway / jobs * 1e6,
        "store_cpu_us": store / jobs * 1e6,
        "with_store_cpu_us": (gateway + store) / jobs * 1e6,
        "upstream_calls": asked["calls"] / jobs,
        "commands": commands["commands"] / jobs,
        "scripts": commands["scripts"] / jobs,
        "store_reads": commands["reads"] / jobs,
        "per_second": jobs / told["seconds"],
        "p50_ms": told["latency_ms"]["p50"],
        "p99_ms": told["latency_ms"]["p99"],
    }


if __name__ == "__main__":
    alone(run)
