"""P2 and P3: memory of a blocked caller, by thousands of them, until all are released together and answered.

P2, over a polling trigger: callmode, which holds their jobs too, beside an aiohttp handler that awaits a future and
has neither job nor upstream. P3, over long-polls that the upstream holds: callmode beside an aiohttp handler with a
`ClientSession` call, and, to show what is possible, nginx and haproxy. Proportional set size of the process that
callers are connected to, less what it had before them, by their number; the kernel's buffers are not in it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.native import Load, WrongAnswersError
from benchmarks.parts.common import Part, Size, alone
from benchmarks.parts.places import Opening, Place, callmode_with, client_session, proxied, waiter
from benchmarks.peers.proxies import MissingError, haproxy, nginx, program
from benchmarks.processes import memory_kib, settle
from benchmarks.rounds import Figures, interleaved, ratio, summary
from benchmarks.targets import PARKED_LONG_POLL, PARKED_POLLING, Finding

POLLED = {Size.FULL: 10_000, Size.QUICK: 1_000, Size.SMOKE: 20}
HELD = {Size.FULL: 5_000, Size.QUICK: 1_000, Size.SMOKE: 20}
"""Fewer: each has a connection to the upstream too, and a process may have no more than 20,000 files on many hosts."""
ROUNDS = {Size.FULL: 2, Size.QUICK: 1, Size.SMOKE: 1}
POLL_CEILING = {Size.FULL: "15s", Size.QUICK: "15s", Size.SMOKE: "500ms"}
"""Polled as seldom as the defaults let it be, so that parked callers are seen and not the polls."""
STEPS = {Size.FULL: 4, Size.QUICK: 4, Size.SMOKE: 1}
RATE = 1500
"""Callers that connect in a second."""
LIMIT_S = 180
SETTLED_S = 3
"""At most: polls go on."""
WARM_UP = 64

POLLING, WAITER = "callmode, polled jobs", "aiohttp handler awaiting a future, no job"
LONG_POLLS, CLIENT_SESSION = "callmode, long-polls", "aiohttp + ClientSession, long-polls"
PROXIES = {"nginx": nginx, "haproxy": haproxy}

Curve = list[tuple[int, int]]
"""Callers parked, and the KiB that they added."""


def run(size: Size, directory: Path) -> Part:
    """Measure the memory of parked callers."""
    seldom = {"typical": "1h", "poll_ceiling": POLL_CEILING[size]}
    polled: dict[str, Opening] = {WAITER: waiter, POLLING: callmode_with(seldom)}
    connections = {"connections": HELD[size] + 64}
    long_polls = callmode_with({"upstream_mode": "LongPolling"}, limits=connections)
    held: dict[str, Opening] = {CLIENT_SESSION: client_session, LONG_POLLS: long_polls}
    skipped = []
    for name, proxy in PROXIES.items():
        try:
            program(name)
        except MissingError as missing:
            skipped.append(str(missing))
        else:
            held[f"{name}, proxied long-polls"] = proxied(proxy, HELD[size])
    numbers, curves = itertools.count(), dict[str, Curve]()

    def measured(name: str, opening: Opening, callers: int) -> Figures:
        with opening(directory / str(next(numbers))) as place:
            figures, curves[name] = measure(place, callers, STEPS[size])
        return figures

    def rounds(openings: Mapping[str, Opening], callers: int) -> list[dict[str, Figures]]:
        subjects = {name: functools.partial(measured, name, each, callers) for name, each in openings.items()}
        return interleaved(subjects, ROUNDS[size])

    over_polling, over_long_polls = rounds(polled, POLLED[size]), rounds(held, HELD[size])
    figures = {
        "rounds": ROUNDS[size],
        "callers": {"polled": POLLED[size], "held": HELD[size]},
        "subjects": summary(over_polling) | summary(over_long_polls),
        "curves_kib": curves,
    }
    findings = [
        Finding(PARKED_POLLING, ratio(over_polling, "kib", POLLING, WAITER)),
        Finding(PARKED_LONG_POLL, ratio(over_long_polls, "kib", LONG_POLLS, CLIENT_SESSION)),
    ]
    return Part("parked", figures, findings, skipped)


def measure(place: Place, callers: int, steps: int) -> tuple[Figures, Curve]:
    """Park callers in steps, release them all, check their answers; return what each added."""
    parked, curve = warm_up(place, min(callers, WARM_UP)), [(0, 0)]
    empty, store_empty = memory_kib(*place.pids()), memory_kib(*place.store)
    loads, step = [], callers // steps
    try:
        for _ in range(steps):
            loads.append(
                Load(
                    place.port, place.path, connections=step, calls=step, first=parked + 1, ms=-1,
                    rate=RATE, limit=LIMIT_S, mode=place.mode,
                )
            )  # fmt: skip
            parked += step
            wait(place, parked, loads)
            settle(place.pids(), within=SETTLED_S)
            curve.append((curve[-1][0] + step, memory_kib(*place.pids()) - empty))
        store = memory_kib(*place.store) - store_empty
        if (taken := place.release()) != parked:
            raise WrongAnswersError(f"{parked} callers made {taken} jobs")
        told = [each.result() for each in loads]
    finally:
        for each in loads:
            each.stop()
    count, added = curve[-1]
    figures = {
        "kib": added / count,
        "store_kib": store / count,
        "p50_ms": max(each["delay_ms"]["p50"] for each in told),
        "max_ms": max(each["delay_ms"]["max"] for each in told),
    }
    return {name: value for name, value in figures.items() if name != "store_kib" or place.store}, curve


def wait(place: Place, callers: int, loads: Sequence[Load]) -> None:
    """Wait until so many callers are parked. Raises `WrongAnswersError` if one of them was answered instead."""
    try:
        place.wait(callers)
    except TimeoutError:
        for each in loads:
            each.check()
        raise


def warm_up(place: Place, callers: int) -> int:
    """Have some callers answered, so that what is there once, however many come, is there; return how many."""
    warm = Load(place.port, place.path, connections=callers, calls=callers, first=1, ms=-1, mode=place.mode)
    try:
        place.wait(callers)
        place.release()
        warm.result()
    finally:
        warm.stop()
    settle(place.pids(), within=SETTLED_S)
    return callers


if __name__ == "__main__":
    alone(run)
