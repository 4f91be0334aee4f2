"""What a gateway and its store pay for jobs.

CPU is what the processes used by their own account, so that other work on the machine does not count. What is done for
few at once costs more than for many: jobs come at a rate that keeps a replica busy for somewhat less than half of its
time, as a plan leaves it at the peak.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.native import Load
from benchmarks.processes import cpu_seconds, free_port, memory_kib, module, serving, settle
from benchmarks.scale.bench import LEASE_S, Bench, Jobs
from benchmarks.scale.costs import SCRIPTS
from benchmarks.scale.measure_store import twentieths

SHORT, LONG = Jobs(2_400, 300, 20, 20), Jobs(1_200, 150, 900, 950)
"""Jobs that are read once, and about nine times: both keep a replica busy for somewhat less than half of its time."""
OTHER = Jobs(1_200, 120, 200, 2_000)
"""Jobs of which the simulation knows nothing."""
ROUNDS = 3
PARKED, FOLLOWED = 2_000, 3_000
POSTERS = 8
ALONE = 100
IDLE_S = 6.0


def idle(it: Bench) -> dict[str, float]:
    """Return the CPU a second of gateway and store while nothing happens."""
    gateway, store, begun = it.cpu(), it.store.cpu(), time.monotonic()
    time.sleep(IDLE_S)
    passed = time.monotonic() - begun
    return {"gateway": (it.cpu() - gateway) / passed, "store": (it.store.cpu() - store) / passed}


def rows(it: Bench, idle: dict[str, float]) -> dict[str, float]:
    """Return what the store keeps, writes and says of a job, and how many scripts it runs."""
    before = it.store.counts()
    paid(it, SHORT, idle)
    after = it.store.counts()
    assert after["keys"] - before["keys"] >= 3 * SHORT.number, "jobs have gone already"
    return {name: (after[name] - before[name]) / SHORT.number for name in ("memory", "log", "wire", "scripts")}


class Paid(NamedTuple):
    """What jobs cost, each for one."""

    gateway: float
    """Microseconds of its CPU, and so of the store's."""
    store: float
    reads: float
    """Of its status."""
    turns: float
    """Of the store's loop: how many scripts share one is up to whoever has the machine's cores just then."""


def paid(it: Bench, load: Jobs, idle: dict[str, float]) -> Paid:
    """Make blocking calls and return what they cost, without what the processes use anyhow."""
    it.settle()
    reads, told = it.origin.counts()["statuses"], it.store.counts()
    gateway, store, begun = it.cpu(), it.store.cpu(), time.monotonic()
    it.calls("/job", load)
    passed, gateway, store = time.monotonic() - begun, it.cpu() - gateway, it.store.cpu() - store
    after = it.store.counts()
    return Paid(
        (gateway - passed * idle["gateway"]) / load.number,
        (store - passed * idle["store"]) / load.number,
        (it.origin.counts()["statuses"] - reads) / load.number,
        (after["turns"] - told["turns"]) / load.number,
    )


def loads(it: Bench, idle: dict[str, float], turn: float) -> tuple[dict[str, float], Paid]:
    """Return what jobs cost by their number and by their reads; and what others cost, to hold the simulation against.

    They take turns, since a shared machine drifts.
    """
    rounds = [[paid(it, load, idle) for load in (SHORT, LONG, OTHER)] for _ in range(ROUNDS)]
    short, long, other = (
        Paid(*(statistics.median(figure) for figure in zip(*column, strict=True)))
        for column in zip(*rounds, strict=True)
    )
    read = (long.gateway - short.gateway) / (long.reads - short.reads)
    script = statistics.mean(each.store - each.turns * turn for each in (short, long)) / SCRIPTS
    return {"job": short.gateway - short.reads * read, "read": read, "script": script}, other


def shape(it: Bench, idle: float) -> list[float]:
    """Return how a job's CPU is spread, from jobs that are alone in the world, as parts of the mean."""
    used = []
    for _ in range(ALONE):
        before, begun = it.cpu(), time.monotonic()
        assert list(it.post("/job", SHORT.least, 1)) == [200]
        time.sleep(0.01)
        used.append(it.cpu() - before - (time.monotonic() - begun) * idle)
    return [each / statistics.mean(used) for each in twentieths(used)]


def memory(it: Bench) -> dict[str, float]:
    """Return the store's bytes of a running job, and the gateway's KiB of one with and without its caller."""
    it.settle()
    stored, held = it.store.said("used_memory"), memory_kib(*it.gateway.pids)
    with ThreadPoolExecutor(POSTERS) as posters:
        posted = [posters.submit(lambda: set(it.post("/later", -1, FOLLOWED // POSTERS))) for _ in range(POSTERS)]
    assert all(each.result() == {202} for each in posted)
    it.settle()
    live = (it.store.said("used_memory") - stored) / FOLLOWED
    followed = (memory_kib(*it.gateway.pids) - held) / FOLLOWED
    held = memory_kib(*it.gateway.pids)
    started = it.origin.counts()["starts"] + PARKED
    callers = Load(it.gateway.port, "/long", connections=PARKED, calls=PARKED, first=it.first(PARKED), ms=-1, rate=400)
    try:
        it.origin.wait_started(started, within=60)
        it.settle()
        parked = (memory_kib(*it.gateway.pids) - held) / PARKED
    finally:
        callers.stop()
    it.settle()
    return {"live": live, "followed": followed, "parked": parked}


def take_over(it: Bench, directory: Path) -> dict[str, float]:
    """Kill the gateway; return what its successor and the store pay for each job that is taken over."""
    document = json.loads((directory / "gateway" / "gateway.yaml").read_text())
    port, admin = free_port(), free_port()
    document |= {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{admin}"}
    config = directory / "successor.yaml"
    config.write_text(json.dumps(document))
    with serving(module("gateway", "serve", config), port) as successor:
        settle([successor])
        rows = FOLLOWED + PARKED
        for pid in it.gateway.pids:
            os.kill(pid, signal.SIGKILL)
        replica, store = cpu_seconds(successor), it.store.cpu()
        # The last row's record has its new follower's name when all is done.
        time.sleep(1.5 * LEASE_S)
        settle([successor, it.store.pid])
        return {
            "replica": (cpu_seconds(successor) - replica) * 1e6 / rows,
            "store": (it.store.cpu() - store) / rows,
        }
