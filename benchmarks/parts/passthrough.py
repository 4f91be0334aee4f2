"""P1: CPU of passing a call on, beside nginx, haproxy and a naive proxy, before the same upstream.

callmode relays a caller in mode `forget` with `track: off`: no record is made, and all else is on (the caller's bearer,
limits, a line of log on a file, metrics).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateways import callmode
from benchmarks.native import Upstream, load, upstream
from benchmarks.parts.common import Part, Size, alone, exactly_once
from benchmarks.peers.proxies import MissingError, haproxy, nginx
from benchmarks.processes import cpu_seconds, family, free_port, module, serving
from benchmarks.rounds import Figures, ratio, summary, warmed
from benchmarks.targets import PASS_NAIVE, PASS_NGINX, Finding

CONNECTIONS = 64
ROUNDS = {Size.FULL: 19, Size.QUICK: 5, Size.SMOKE: 1}
REQUESTS = {Size.FULL: 4000, Size.QUICK: 2500, Size.SMOKE: 200}
CALLMODE, NAIVE, NAIVE_UVLOOP, NGINX, HAPROXY = "callmode", "naive proxy", "naive proxy on uvloop", "nginx", "haproxy"
RELAY = [{"path": "/echo", "trigger": "/t/bench/echo", "upstream_mode": "FireAndForget", "caller_mode": "forget",
          "track": "off"}]  # fmt: skip


@dataclass
class Subject:
    """Something that passes calls on."""

    pids: Callable[[], tuple[int, ...]]
    port: int
    path: str = "/t/bench/echo"


def run(size: Size, directory: Path) -> Part:
    """Measure the CPU of passing a call on."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(upstream())
        subjects, skipped = _subjects(origin, directory, stack)
        first = itertools.count(1, REQUESTS[size])

        def measure(subject: Subject) -> Figures:
            return _measure(subject, origin, REQUESTS[size], next(first))

        rounds = warmed({name: functools.partial(measure, each) for name, each in subjects.items()}, ROUNDS[size])
    findings = [Finding(PASS_NAIVE, ratio(rounds, "cpu_us", CALLMODE, NAIVE))]
    if NGINX in subjects:
        findings.append(Finding(PASS_NGINX, ratio(rounds, "cpu_us", CALLMODE, NGINX)))
    ratios = {name: ratio(rounds, "cpu_us", name, NAIVE) for name in subjects}
    figures = {"rounds": ROUNDS[size], "requests": REQUESTS[size], "connections": CONNECTIONS}
    return Part("passthrough", figures | {"subjects": summary(rounds), "to_naive": ratios}, findings, skipped)


def _subjects(origin: Upstream, directory: Path, stack: contextlib.ExitStack) -> tuple[dict[str, Subject], list[str]]:
    """Run what is measured; return it, and what this machine has not."""
    subjects, skipped = {}, []
    for name, proxy in ((NGINX, nginx), (HAPROXY, haproxy)):
        try:
            pid, port = stack.enter_context(proxy(origin.port, directory))
        except MissingError as missing:
            skipped.append(str(missing))
        else:
            subjects[name] = Subject(functools.partial(family, pid), port)
    for name, loop in ((NAIVE, "asyncio"), (NAIVE_UVLOOP, "uvloop")):
        pid, port = stack.enter_context(_naive(origin, loop))
        subjects[name] = Subject(functools.partial(family, pid), port)
    gateway = stack.enter_context(callmode(origin.url, directory / "callmode", RELAY))
    subjects[CALLMODE] = Subject(lambda: gateway.pids, gateway.port, "/echo")
    return subjects, skipped


@contextlib.contextmanager
def _naive(origin: Upstream, loop: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    with serving(module("benchmarks.peers.naive_proxy", port, origin.url, loop), port) as pid:
        yield pid, port


def _measure(subject: Subject, origin: Upstream, requests: int, first: int) -> Figures:
    with exactly_once(origin, requests):
        pids = subject.pids()
        before = cpu_seconds(*pids)
        told = load(subject.port, subject.path, connections=CONNECTIONS, calls=requests, first=first)
        used = cpu_seconds(*pids) - before
    return {
        "cpu_us": used / requests * 1e6,
        "per_second": requests / told["seconds"],
        "p50_ms": told["latency_ms"]["p50"],
        "p99_ms": told["latency_ms"]["p99"],
    }


if __name__ == "__main__":
    alone(run)
