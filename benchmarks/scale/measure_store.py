"""What the store's server pays, apart from any gateway; and what it keeps of jobs that are over."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import settle
from benchmarks.scale.bench import KIB, Server
from gateway.core.ids import PARTITIONS
from gateway.store.keys import Keys


def bury(store: Server) -> tuple[float, float]:
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


def turn(store: Server) -> float:
    """Return what a turn of the server's loop takes besides its commands: a write alone, less one among a hundred."""
    writes = 2_000
    before = store.cpu()
    for number in range(writes):
        store.client.set("turn", number)
    alone = (store.cpu() - before) / writes
    before = store.cpu()
    for _ in range(writes // 100):
        pipe = store.client.pipeline(transaction=False)
        for number in range(100):
            pipe.set("turn", number)
        pipe.execute()
    together = (store.cpu() - before) / writes
    store.client.delete("turn")
    return (alone - together) / (1 - 1 / 100)


def look(store: Server) -> float:
    """Return what looking for rows of a dead replica takes of the server."""
    keys, looks = Keys("callmode").all_followed("0123456789abcdef-nobody"), 200
    before = store.cpu()
    for _ in range(looks):
        pipe = store.client.pipeline(transaction=False)
        for key in keys:
            pipe.scard(key)
        pipe.execute()
    return (store.cpu() - before) / looks


def expire(store: Server) -> float:
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


def key(store: Server) -> float:
    """Return the bytes of an Idempotency-Key's row."""
    rows, names = 4_000, Keys("callmode")
    before = store.said("used_memory")
    for number in range(rows):
        key = names.idempotency(number % PARTITIONS, f"{number:064x}")
        store.client.hset(key, mapping={"id": "i" * 24, "print": f"{number:064x}"})
        store.client.pexpire(key, 3_600_000)
    return (store.said("used_memory") - before) / rows


def fsync(directory: Path) -> list[float]:
    """Return how many milliseconds the disk takes for a turn's writes."""
    took = []
    with (directory / "fsync").open("ab", buffering=0) as file:
        for _ in range(400):
            file.write(b"x" * 2 * KIB)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    return twentieths(took)


def twentieths(values: list[float]) -> list[float]:
    """Return 20 equally likely values: the middles of the twentieths, scaled so that their mean is right."""
    middles = [statistics.mean(part) for part in _parts(sorted(values), 20)]
    return [middle * statistics.mean(values) / statistics.mean(middles) for middle in middles]


def _parts(values: list[float], parts: int) -> Iterator[list[float]]:
    for number in range(parts):
        yield values[number * len(values) // parts : (number + 1) * len(values) // parts]
