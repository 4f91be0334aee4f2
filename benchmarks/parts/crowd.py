"""Twenty thousand callers, from four source addresses, each blocked on a job of its own, all released together.

Every answer is checked, and that every job was started exactly once. A process may have no more files than its hard
limit says, and each caller is one: where one process could not have them all, two workers share them; where that is
still too few, as many callers come as there is room for, and the figures say how many and why.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.native import Load, WrongAnswersError
from benchmarks.parts.common import Part, Size, alone
from benchmarks.parts.parked import LIMIT_S, SETTLED_S, wait, warm_up
from benchmarks.parts.places import Place, callmode_with
from benchmarks.processes import allow_files, memory_kib, settle

CALLERS = {Size.FULL: 20_000, Size.QUICK: 4_000, Size.SMOKE: 40}
POLL_CEILING = {Size.FULL: "15s", Size.QUICK: "15s", Size.SMOKE: "500ms"}
ROUTE = {"typical": "1h"}
UPSTREAM_CONNECTIONS = 512
SPARE_FILES = 1024
"""Of a process, for connections to the upstream, the store, and what it has open anyway."""
SOURCES, LOADS, RATE = 4, 2, 600


def run(size: Size, directory: Path) -> Part:
    """Park a crowd, release it, and check what each was told."""
    room = allow_files() - SPARE_FILES
    workers = 1 if CALLERS[size] <= room else 2
    # Connections are dealt out evenly, but not exactly.
    callers = min(CALLERS[size], room if workers == 1 else int(1.9 * room)) // LOADS * LOADS
    route = ROUTE | {"poll_ceiling": POLL_CEILING[size]}
    limits = {"connections": UPSTREAM_CONNECTIONS}
    with callmode_with(route, workers=workers, limits=limits)(directory / "crowd") as place:
        found = _measure(place, callers)
    found |= {"callers": callers, "workers": workers, "source_addresses": SOURCES, "files_a_process": allow_files()}
    skipped = []
    if callers < CALLERS[size]:
        skipped.append(f"{CALLERS[size]} callers: a process may have {allow_files()} files here, so {callers} came")
    return Part("crowd", {"subjects": {f"{callers} callers, {workers} workers": found}}, skipped=skipped)


def _measure(place: Place, callers: int) -> dict[str, float]:
    warm = warm_up(place, min(callers, 64))
    empty, store_empty = memory_kib(*place.pids()), memory_kib(*place.store)
    each, begun, loads = callers // LOADS, time.monotonic(), []
    try:
        for number in range(LOADS):
            first = warm + 1 + number * each
            loads.append(
                Load(
                    place.port, place.path, connections=each, calls=each, first=first, ms=-1,
                    sources=SOURCES, rate=RATE / LOADS, limit=LIMIT_S,
                )
            )  # fmt: skip
        wait(place, warm + callers, loads)
        parked_after = time.monotonic() - begun
        settle(place.pids(), within=SETTLED_S)
        memory, store = memory_kib(*place.pids()) - empty, memory_kib(*place.store) - store_empty
        released = time.monotonic()
        if (taken := place.release()) != warm + callers:
            raise WrongAnswersError(f"{callers} callers made {taken - warm} jobs")
        told = [load.result() for load in loads]
        answered_after = time.monotonic() - released
    finally:
        for load in loads:
            load.stop()
    return {
        "answered_exactly": sum(load["calls"] for load in told),
        "parked_s": parked_after,
        "kib": memory / callers,
        "store_kib": store / callers,
        "gateway_mib": memory_mib(empty + memory),
        "p50_ms": max(load["delay_ms"]["p50"] for load in told),
        "p99_ms": max(load["delay_ms"]["p99"] for load in told),
        "max_ms": max(load["delay_ms"]["max"] for load in told),
        "answered_s": answered_after,
    }


def memory_mib(kib: int) -> float:
    """Return KiB as MiB."""
    return kib / 1024


if __name__ == "__main__":
    alone(run)
