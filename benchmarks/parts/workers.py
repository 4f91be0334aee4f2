"""P8: whole jobs by two worker processes and by one, the same work: what a job costs, and who does it.

Each gateway has a store server of its own, which writes to disk before it answers. What counts is the CPU of all of
the gateway's processes, the parent's among them; of the store's, as of any, two workers ask more only by what they
have to tell each other.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from pathlib import Path

from benchmarks.gateways import Gateway, callmode
from benchmarks.native import Upstream, upstream
from benchmarks.parts.common import Part, Size, alone
from benchmarks.parts.whole_job import ROUTES, Subject, measure
from benchmarks.processes import cpu_seconds
from benchmarks.rounds import Figures, figure, ratio, summary, warmed
from benchmarks.stores import store_server
from benchmarks.targets import WORKERS_CPU, WORKERS_SHARE, Finding

ROUNDS = {Size.FULL: 11, Size.QUICK: 3, Size.SMOKE: 1}
JOBS = {Size.FULL: 1000, Size.QUICK: 1000, Size.SMOKE: 100}
ONE, TWO = "one process", "two workers"


def run(size: Size, directory: Path) -> Part:
    """Measure two workers against one process."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(upstream())
        first = itertools.count(1, JOBS[size])

        def opened(workers: int) -> functools.partial[Figures]:
            store = stack.enter_context(store_server(directory / f"store-{workers}"))
            durable = {"url": store.url, "durability": "disk"}
            home = directory / f"callmode-{workers}"
            gateway = stack.enter_context(callmode(origin.url, home, ROUTES, workers=workers, store=durable))
            subject = Subject(lambda: gateway.pids, gateway.port, store)
            return functools.partial(_measured, subject, gateway, origin, JOBS[size], first)

        subjects = {ONE: opened(1), TWO: opened(2)}
        rounds = warmed(subjects, ROUNDS[size])
    figures = {
        "rounds": ROUNDS[size],
        "jobs": JOBS[size],
        "subjects": summary(rounds),
        "to_one": {name: ratio(rounds, name, TWO, ONE) for name in ("cpu_us", "store_cpu_us", "with_store_cpu_us")},
    }
    findings = [
        Finding(WORKERS_CPU, ratio(rounds, "cpu_us", TWO, ONE)),
        Finding(WORKERS_SHARE, figure(rounds, TWO, "greatest_share")),
    ]
    return Part("workers", figures, findings)


def _measured(subject: Subject, gateway: Gateway, origin: Upstream, jobs: int, first: itertools.count[int]) -> Figures:
    """Measure whole jobs, and which share of the CPU time that who serves has used was the busiest one's."""
    serving = [pid for pid in gateway.pids if pid != gateway.pid] or [gateway.pid]
    before = [cpu_seconds(pid) for pid in serving]
    figures = measure(subject, origin, jobs, next(first))
    used = [cpu_seconds(pid) - earlier for pid, earlier in zip(serving, before, strict=True)]
    return {**figures, "greatest_share": max(used) / sum(used)}


if __name__ == "__main__":
    alone(run)
