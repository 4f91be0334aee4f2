"""P4: how long after its job's end a caller has the answer, and what that costs in calls to the upstream.

The floor is the load generator holding a long-poll at the upstream itself. callmode's sync callers are measured over
the upstream's long-poll, over the Jobs API with webhooks, and over polling; hand-written clients poll at fixed times.
The upstream notes in each outcome when its job ended, on the clock that the load generator reads (one machine).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import secrets
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gateways import callmode
from benchmarks.native import Upstream, WrongAnswersError, load, upstream
from benchmarks.parts.common import Part, Size, alone, exactly_once
from benchmarks.processes import HERE, free_port, module, serving
from benchmarks.rounds import Spread
from benchmarks.targets import DELAY_P50, DELAY_P99, Finding, Target

CALLERS = {Size.FULL: 128, Size.QUICK: 64, Size.SMOKE: 20}
JOBS = {Size.FULL: 1000, Size.QUICK: 200, Size.SMOKE: 20}
"""A round."""
ROUNDS = {Size.FULL: 5, Size.QUICK: 2, Size.SMOKE: 1}
DURATIONS_MS = {Size.FULL: (200, 1500), Size.QUICK: (200, 1500), Size.SMOKE: (50, 300)}
HELD_BY_AIOHTTP = "direct long-poll, by an aiohttp client"
FLOOR, LONG_POLL, WEBHOOK = "direct long-poll", "callmode over long-poll", "callmode over webhooks"
NAIVE, POLLING = "aiohttp + ClientSession over long-poll, no record", "callmode over polling"
INTERVALS = {Size.FULL: (0.1, 0.3, 1.0), Size.QUICK: (0.1, 1.0), Size.SMOKE: (0.1,)}
RATE = 100
"""Callers that connect in a second: all at once, the first ends would wait behind the last starts."""
LIMIT_S = 60

FOLDER = "11111111-2222-4333-8444-555555555555"
ROUTES = [
    {"path": "/long-poll", "trigger": "/t/bench/job", "upstream_mode": "LongPolling"},
    {"path": "/polling", "trigger": "/t/bench/job"},
    # Polls far between: what comes sooner than the first of them came by a webhook.
    {"path": "/webhook", "upstream_mode": "Jobs", "process": "Bench", "folder": FOLDER, "typical": "1h",
     "poll_ceiling": "10m"},
]  # fmt: skip

Round = dict[str, Any]
"""`delays`, in milliseconds, and `calls` to the upstream a job."""


def run(size: Size, directory: Path) -> Part:
    """Measure the time from jobs' ends to their answers."""
    hooks, secret = free_port(), secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(upstream(hook_port=hooks, hook_secret=secret))
        gateway = stack.enter_context(
            callmode(
                origin.url, directory / "callmode", ROUTES, port=hooks,
                upstream={"jobs_api": True}, webhooks={"secrets": [secret]},
            )
        )  # fmt: skip
        first = itertools.count(1, JOBS[size])

        def loaded(port: int, path: str, **more: object) -> Round:
            with exactly_once(origin, JOBS[size]) as asked:
                told = load(
                    port, path, connections=CALLERS[size], calls=JOBS[size], first=next(first),
                    ms="{}-{}".format(*DURATIONS_MS[size]), delays=1, rate=RATE, limit=LIMIT_S, **more,
                )  # fmt: skip
            return {"delays": told["delays_ms"], "calls": asked["calls"] / JOBS[size]}

        def polled(interval: float) -> Round:
            with exactly_once(origin, JOBS[size]) as asked:
                delays = _client(origin, size, next(first), interval)
            return {"delays": delays, "calls": asked["calls"] / JOBS[size]}

        compared: dict[str, Callable[[], Round]] = {
            FLOOR: functools.partial(loaded, origin.port, "/t/bench/job", mode="LongPolling"),
            LONG_POLL: functools.partial(loaded, gateway.port, "/long-poll"),
            WEBHOOK: functools.partial(loaded, gateway.port, "/webhook"),
        }
        shown: dict[str, Callable[[], Round]] = {
            HELD_BY_AIOHTTP: functools.partial(polled, 0),
            NAIVE: functools.partial(loaded, stack.enter_context(_naive(origin)), "/job"),
            POLLING: functools.partial(loaded, gateway.port, "/polling"),
            **{f"client that polls every {each:g} s": functools.partial(polled, each) for each in INTERVALS[size]},
        }
        if size is Size.FULL:
            for measure in compared.values():
                measure()  # the first jobs of a process, all begun at once, are no jobs like the others
        rounds = [{name: measure() for name, measure in compared.items()} for _ in range(ROUNDS[size])]
        beside = {name: measure() for name, measure in shown.items()}
        counted = origin.counts()
    if counted["failed_hooks"]:
        raise WrongAnswersError(f"{counted['failed_hooks']} webhooks were not taken")
    pooled = {name: _pooled([each[name] for each in rounds]) for name in compared}
    pooled |= {name: _pooled([each]) for name, each in beside.items()}
    figures = {
        "jobs": JOBS[size] * ROUNDS[size],
        "rounds": ROUNDS[size],
        "callers": CALLERS[size],
        "duration_ms": DURATIONS_MS[size],
        "subjects": pooled,
    }
    findings = [_finding(target, name, rounds) for name in (LONG_POLL, WEBHOOK) for target in (DELAY_P50, DELAY_P99)]
    return Part("delay", figures, findings)


@contextlib.contextmanager
def _naive(origin: Upstream) -> Iterator[int]:
    port = free_port()
    with serving(module("benchmarks.peers.naive_long_poll", port, origin.url), port):
        yield port


def _client(origin: Upstream, size: Size, first: int, interval: float) -> list[float]:
    numbers = (CALLERS[size], JOBS[size], first, *DURATIONS_MS[size], interval)
    command = module("benchmarks.peers.polling_client", origin.url, *numbers)
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise WrongAnswersError(done.stderr[-2000:])
    delays: list[float] = json.loads(done.stdout)
    return delays


def _pooled(rounds: list[Round]) -> dict[str, float]:
    delays = [delay for each in rounds for delay in each["delays"]]
    return {
        "mean_ms": statistics.mean(delays),
        "p50_ms": centile(delays, 50),
        "p90_ms": centile(delays, 90),
        "p99_ms": centile(delays, 99),
        "max_ms": max(delays),
        "upstream_calls": statistics.mean(each["calls"] for each in rounds),
    }


def _finding(target: Target, subject: str, rounds: Sequence[Mapping[str, Round]]) -> Finding:
    """Compare a centile of all rounds' delays; the spread is that of the rounds' own ratios."""
    percent = 50 if target is DELAY_P50 else 99

    def compared(some: Sequence[Mapping[str, Round]]) -> float:
        ours, floor = ([delay for each in some for delay in each[name]["delays"]] for name in (subject, FLOOR))
        return centile(ours, percent) / centile(floor, percent)

    each = [compared([one]) for one in rounds]
    return Finding(target.of(subject), Spread(compared(rounds), min(each), max(each)))


def centile(values: list[float], percent: int) -> float:
    """Return the value below which so many per cent of them lie."""
    ordered = sorted(values)
    return ordered[round(percent / 100 * (len(ordered) - 1))]


if __name__ == "__main__":
    alone(run)
