"""CPU per request: callmode and a bare aiohttp proxy before the same upstream, side by side.

Subjects: the bare proxy, as written and on uvloop; callmode relaying without a record (`track: off`); callmode running
a whole sync job, durably created on the embedded store, whose trigger answers its start at once. Authentication and
logs are on in callmode, into nothing; the proxy has neither. Rounds are interleaved, since a shared machine drifts:
the figures are medians of rounds, the ratios medians of each round's ratio. Prints a Markdown table.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from processes import HERE, children, cpu_seconds, free_port, running

CONNECTIONS = 64
CONFIG = """\
upstream: {{url: "http://127.0.0.1:{upstream}"}}
listen: 127.0.0.1:{port}
admin: off
log: {{format: json, level: info}}
store: {{data_dir: "{directory}"}}
routes:
  - {{path: /relay, trigger: /t/bench/relay, upstream_mode: FireAndForget, caller_mode: forget, track: off}}
  - {{path: /job, trigger: /t/bench/job, retention: 1m, tombstone: 1m}}
"""


class Subject(NamedTuple):
    """What is measured: which processes' CPU time counts, by name, and what the load generator asks."""

    name: str
    pids: dict[str, int]
    port: int
    path: str


@contextlib.contextmanager
def subjects() -> Iterator[list[Subject]]:
    """Run the upstream and everything that is measured before it."""
    upstream, gateway, plain, fast = (free_port() for _ in range(4))
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = directory / "gateway.yaml"
        config.write_text(CONFIG.format(upstream=upstream, port=gateway, directory=directory / "data"))
        stack.enter_context(running(upstream, "origin.py", str(upstream)))
        url = f"http://127.0.0.1:{upstream}"
        proxy = stack.enter_context(running(plain, "bare_proxy.py", str(plain), url))
        proxy_uvloop = stack.enter_context(running(fast, "bare_proxy.py", str(fast), url, "uvloop"))
        callmode = stack.enter_context(running(gateway, "-m", "gateway", "serve", str(config)))
        (store,) = children(callmode)
        yield [
            Subject("bare proxy", {"proxy": proxy}, plain, "/t/bench/relay"),
            Subject("bare proxy on uvloop", {"proxy": proxy_uvloop}, fast, "/t/bench/relay"),
            Subject("callmode, track off", {"gateway": callmode, "store": store}, gateway, "/relay"),
            Subject("callmode, whole job", {"gateway": callmode, "store": store}, gateway, "/job"),
        ]


def measure(subject: Subject, requests: int, first: int) -> dict[str, float]:
    """Load one subject; return the CPU microseconds a request of each process and of all, and what the load saw."""
    before = {name: cpu_seconds(pid) for name, pid in subject.pids.items()}
    arguments = [str(each) for each in (subject.port, subject.path, CONNECTIONS, requests, first)]
    done = subprocess.run([sys.executable, "load.py", *arguments], cwd=HERE, check=True, capture_output=True)
    used = {name: (cpu_seconds(pid) - before[name]) / requests * 1e6 for name, pid in subject.pids.items()}
    load = json.loads(done.stdout)
    return {**used, "cpu": sum(used.values()), "per_second": requests / load["seconds"], "p50_ms": load["p50_ms"]}


def compare(rounds: int, requests: int) -> dict[str, object]:
    """Run the rounds and return all figures."""
    with subjects() as measured:
        first = itertools.count(0, requests)
        for subject in measured:
            measure(subject, requests // 4, next(first))
        results = [{each.name: measure(each, requests, next(first)) for each in measured} for _ in range(rounds)]
    yardstick = measured[0].name
    return {
        "unit": "microseconds of CPU a request, user and system",
        "machine": {"cpus": os.cpu_count(), "cpu": _cpu_model(), "python": platform.python_version()},
        "rounds": rounds,
        "requests": requests,
        "connections": CONNECTIONS,
        "subjects": {
            each.name: {
                "median": {key: _median(result[each.name][key] for result in results) for key in results[0][each.name]},
                "ratio": _spread(result[each.name]["cpu"] / result[yardstick]["cpu"] for result in results),
                "rounds": [round(result[each.name]["cpu"], 1) for result in results],
            }
            for each in measured
        },
    }


def table(figures: dict) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| | CPU a request | of it the store | ratio to the bare proxy (range of rounds) | requests a second |",
        "|---|---|---|---|---|",
    ]
    for name, found in figures["subjects"].items():
        median, (ratio, low, high) = found["median"], found["ratio"]
        store = f"{median['store']:.0f} µs" if "store" in median else ""
        lines.append(
            f"| {name} | {median['cpu']:.0f} µs | {store} | {ratio:.2f} ({low:.2f}-{high:.2f}) "
            f"| {median['per_second']:.0f} |"
        )
    return "\n".join(lines)


def _median(values) -> float:
    return round(statistics.median(values), 2)


def _spread(values) -> tuple[float, float, float]:
    """Return median, least and greatest."""
    ratios = sorted(values)
    return _median(ratios), round(ratios[0], 3), round(ratios[-1], 3)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    figures = compare(options.rounds, options.requests)
    if options.output:
        options.output.parent.mkdir(exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=2) + "\n")
    print(table(figures))
