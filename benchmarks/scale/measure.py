"""Measuring the costs: a gateway, its Redis and a fast upstream on loopback, about three minutes.

CPU is what the processes used by their own account, so that other work on the machine does not count. What is done for
few at once costs more than for many: jobs come at a rate that keeps a replica busy for somewhat less than half of its
time, as a plan leaves it at the peak.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.gateways import Gateway, callmode
from benchmarks.native import Load, Upstream, load, upstream
from benchmarks.processes import cpu_seconds, free_port, memory_kib, module, serving, settle
from benchmarks.scale.costs import SCRIPTS, Costs, Machine, ReplicaCosts, StoreCosts
from gateway.core.ids import PARTITIONS
from gateway.store.keys import Keys

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


class Jobs(NamedTuple):
    """Calls: how many, how many a second, and how long their jobs run, evenly between two milliseconds."""

    number: int
    rate: float
    least: int
    most: int


SHORT, LONG = Jobs(2_400, 300, 20, 20), Jobs(1_200, 150, 900, 950)
"""Jobs that are read once, and about nine times: both keep a replica busy for somewhat less than half of its time."""
OTHER = Jobs(1_200, 120, 200, 2_000)
"""Jobs of which the simulation knows nothing."""
ROUNDS = 3
PARKED, FOLLOWED = 2_000, 3_000
POSTERS = 8
ALONE = 100
IDLE_S, LEASE_S = 6.0, 3


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
        """Return keys; bytes of memory, log and network; scripts, what they took in microseconds, and turns."""
        told = self.client.info("everything")
        return {
            "keys": self.client.dbsize(),
            "memory": int(told["used_memory"]),
            "log": int(told["aof_current_size"]),
            "wire": int(told["total_net_input_bytes"]) + int(told["total_net_output_bytes"]),
            "scripts": int(told["cmdstat_evalsha"]["calls"]),
            "us": int(told["cmdstat_evalsha"]["usec"]),
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


def measure(directory: Path) -> tuple[Costs, Paid]:
    """Measure everything, with files below `directory`; return the costs, and what the other jobs cost."""
    with bench(directory / "memory") as it:
        memory = _memory(it)
        taken = _take_over(it, directory / "memory")
    with bench(directory / "jobs") as it:
        idle = _idle(it)
        rows = _rows(it, idle)
        loads, other = _loads(it, idle)
        body, tombstone = _bury(it.store)
        shape = _shape(it, idle["gateway"])
        store = {
            "scripts": rows["scripts"], "script": loads["script"], "turn": loads["turn"],
            "look": _look(it.store), "take": taken["store"], "expire": _expire(it.store), "live": memory["live"],
            "ended": rows["memory"] - tombstone + KIB - body, "tombstone": tombstone, "key": _key(it.store),
            "log": rows["log"], "wire": rows["wire"],
        }  # fmt: skip
        replica = {
            "job": loads["job"], "read": loads["read"], "idle": idle["gateway"], "take": taken["replica"],
            "parked": memory["parked"], "followed": memory["followed"], "shape": shape,
        }  # fmt: skip
        version = str(it.store.client.info("server")["redis_version"])
    with server(directory / "always", always=True) as always:
        turn_always = _turn(always)
    costs = Costs(
        _machine(version),
        StoreCosts(**store, turn_always=turn_always, fsync=_fsync(directory)),
        ReplicaCosts(**replica),
    )
    return costs, other


def _machine(version: str) -> Machine:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
    return Machine(model, os.cpu_count() or 1, platform.python_version(), version)


def _idle(it: Bench) -> dict[str, float]:
    """Return the CPU a second of gateway and store while nothing happens."""
    gateway, store, begun = it.cpu(), it.store.cpu(), time.monotonic()
    time.sleep(IDLE_S)
    passed = time.monotonic() - begun
    return {"gateway": (it.cpu() - gateway) / passed, "store": (it.store.cpu() - store) / passed}


def _rows(it: Bench, idle: dict[str, float]) -> dict[str, float]:
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
    scripts: float
    """The part of the store's that is its scripts', as it tells itself."""
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
        (after["us"] - told["us"]) / load.number,
        (it.origin.counts()["statuses"] - reads) / load.number,
        (after["turns"] - told["turns"]) / load.number,
    )


def _loads(it: Bench, idle: dict[str, float]) -> tuple[dict[str, float], Paid]:
    """Return what jobs cost by their number and by their reads; and what others cost, to hold the simulation against.

    They take turns, since a shared machine drifts.
    """
    rounds = [[paid(it, load, idle) for load in (SHORT, LONG, OTHER)] for _ in range(ROUNDS)]
    short, long, other = (
        Paid(*(statistics.median(figure) for figure in zip(*column, strict=True)))
        for column in zip(*rounds, strict=True)
    )
    read = (long.gateway - short.gateway) / (long.reads - short.reads)
    turn = statistics.mean((each.store - each.scripts) / each.turns for each in (short, long))
    script = statistics.mean(each.scripts for each in (short, long)) / SCRIPTS
    return {"job": short.gateway - short.reads * read, "read": read, "script": script, "turn": turn}, other


def _bury(store: Server) -> tuple[float, float]:
    """Drop all ended jobs' rows, as time would; return the size of an outcome, and the bytes of a tombstone."""
    bodies = list(store.client.scan_iter("callmode:*:body:*", count=1000))
    size = statistics.mean(store.client.strlen(key) for key in bodies[:100])
    for begin in range(0, len(bodies), 500):
        some = bodies[begin : begin + 500]
        store.client.delete(*some, *(key.replace(b":body:", b":job:") for key in some))
    tombstones = list(store.client.scan_iter("callmode:*:tomb:*", count=1000))
    before = store.said("used_memory")
    for begin in range(0, len(tombstones), 500):
        store.client.delete(*tombstones[begin : begin + 500])
    return size, (before - store.said("used_memory")) / len(tombstones)


def _shape(it: Bench, idle: float) -> list[float]:
    """Return how a job's CPU is spread, from jobs that are alone in the world, as parts of the mean."""
    used = []
    for _ in range(ALONE):
        before, begun = it.cpu(), time.monotonic()
        assert list(it.post("/job", SHORT.least, 1)) == [200]
        time.sleep(0.01)
        used.append(it.cpu() - before - (time.monotonic() - begun) * idle)
    return [each / statistics.mean(used) for each in _twentieths(used)]


def _memory(it: Bench) -> dict[str, float]:
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


def _take_over(it: Bench, directory: Path) -> dict[str, float]:
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


def _turn(store: Server) -> float:
    """Return what a turn of the server's loop takes besides its commands: of writes that come one by one."""
    writes = 2_000
    before, told = store.cpu(), int(store.client.info("commandstats").get("cmdstat_set", {"usec": 0})["usec"])
    for number in range(writes):
        store.client.set("turn", number)
    told = int(store.client.info("commandstats")["cmdstat_set"]["usec"]) - told
    store.client.delete("turn")
    return (store.cpu() - before - told) / writes


def _look(store: Server) -> float:
    """Return what looking for rows of a dead replica takes of the server."""
    keys, looks = Keys("callmode").all_followed("0123456789abcdef-nobody"), 200
    before = store.cpu()
    for _ in range(looks):
        pipe = store.client.pipeline(transaction=False)
        for key in keys:
            pipe.scard(key)
        pipe.execute()
    return (store.cpu() - before) / looks


def _expire(store: Server) -> float:
    """Return what it takes of the server that three keys of a job go away, in their time."""
    rows = 20_000
    pipe = store.client.pipeline(transaction=False)
    for number in range(rows):
        pipe.hset(f"expire:job:{number}", mapping={"rec": "r" * 400, "rev": 4, "op": "o" * 40})
        pipe.set(f"expire:body:{number}", "b" * KIB)
        pipe.set(f"expire:tomb:{number}", "t" * 43)
        for kind in ("job", "body", "tomb"):
            pipe.pexpire(f"expire:{kind}:{number}", 4_000)
    pipe.execute()
    before = store.cpu()
    while store.client.exists(*(f"expire:job:{number}" for number in range(0, rows, rows // 50))):
        time.sleep(0.5)
    settle([store.pid])
    return (store.cpu() - before) / rows


def _key(store: Server) -> float:
    """Return the bytes of an Idempotency-Key's row."""
    rows, names = 4_000, Keys("callmode")
    before = store.said("used_memory")
    for number in range(rows):
        key = names.idempotency(number % PARTITIONS, f"{number:064x}")
        store.client.hset(key, mapping={"id": "i" * 24, "print": f"{number:064x}"})
        store.client.pexpire(key, 3_600_000)
    return (store.said("used_memory") - before) / rows


def _fsync(directory: Path) -> list[float]:
    """Return how many milliseconds the disk takes for a turn's writes."""
    took = []
    with (directory / "fsync").open("ab", buffering=0) as file:
        for _ in range(400):
            file.write(b"x" * 2 * KIB)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    return _twentieths(took)


def _twentieths(values: list[float]) -> list[float]:
    """Return 20 equally likely values: the middles of the twentieths, scaled so that their mean is right."""
    middles = [statistics.mean(part) for part in _parts(sorted(values), 20)]
    return [middle * statistics.mean(values) / statistics.mean(middles) for middle in middles]


def _parts(values: list[float], parts: int) -> Iterator[list[float]]:
    for number in range(parts):
        yield values[number * len(values) // parts : (number + 1) * len(values) // parts]
