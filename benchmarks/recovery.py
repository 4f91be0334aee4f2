"""P9: after `kill -9` of a replica under load, how long until another follows its jobs, and how soon one listens.

`python -m benchmarks.recovery [--jobs N] [--json]`: two replicas on one store; one accepts N jobs and is killed while
more come; the other takes them over; then all jobs are released, and every one that a caller was told of must end well,
started once. Loopback only; it ends by itself. Exits with 1 if a job was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.gateways import Gateway, callmode
from benchmarks.native import Upstream, upstream
from benchmarks.processes import HERE, allow_files, free_port, module
from benchmarks.stores import store_server
from gateway.auth.keyring import generate

JOBS = 10_000
LEASE_S = 10
STARTS = 5
AT_ONCE = 64
MORE = 2_000
"""Calls beyond the jobs that are counted."""
WITHIN_S = 90
ROUTES = [{"path": "/job", "trigger": "/t/bench/job", "typical": "1h"}]
BEARER = {"Authorization": "Bearer token-of-a-caller"}
BARE = """
import sys
from aiohttp import web
web.run_app(web.Application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
"""The least that listens with aiohttp."""


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    allow_files()
    with tempfile.TemporaryDirectory(prefix="bench-recovery-") as directory:
        figures = measure(options.jobs, Path(directory))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    return 1 if figures["lost"] or figures["started_twice"] else 0


def measure(jobs: int, directory: Path, *, lease: int = LEASE_S, starts: int = STARTS) -> dict[str, Any]:
    """Return what recovery and start-up took."""
    with contextlib.ExitStack() as stack:
        origin, store = stack.enter_context(upstream()), stack.enter_context(store_server(directory / "store"))
        shared: dict[str, Any] = {
            "keyring": generate(),
            "store": {"url": store.url, "durability": "disk", "lease": f"{lease}s"},
        }
        one, other = (
            stack.enter_context(callmode(origin.url, directory / name, ROUTES, **shared)) for name in ("one", "other")
        )
        figures = asyncio.run(_recovery(one, other, origin, jobs, lease))
        return figures | _starts(directory, origin, shared, starts)


async def _recovery(one: Gateway, other: Gateway, origin: Upstream, jobs: int, lease: int) -> dict[str, Any]:
    async with aiohttp.ClientSession(headers=BEARER, connector=aiohttp.TCPConnector(limit=AT_ONCE)) as client:
        accepted: list[str] = []
        enough = asyncio.Event()

        def accept(job_id: str) -> None:
            accepted.append(job_id)
            if len(accepted) == jobs:
                enough.set()

        # The replica is killed while calls are under way.
        starting = asyncio.create_task(_start(client, one, range(1, jobs + MORE), accept))
        await asyncio.wait_for(enough.wait(), WITHIN_S)
        killed, killed_at = time.monotonic(), datetime.now(UTC)
        os.kill(one.pid, signal.SIGKILL)
        followed_again = await _taken_over(other, jobs) - killed
        await starting
        origin.release()
        async with asyncio.timeout(WITHIN_S):
            ended = await asyncio.gather(*(_ends_well(client, other, each) for each in accepted))
    return {
        "jobs": len(accepted),
        "accepted_under_the_kill": len(accepted) - jobs,
        "lease_s": lease,
        "followed_again_s": round(followed_again, 2),
        "curve": _curve(other, killed_at),
        "leases": round(followed_again / lease, 3),
        "lost": ended.count(False),
        "started_twice": origin.counts()["twice"],
    }


async def _start(
    client: aiohttp.ClientSession, gateway: Gateway, numbers: range, accept: Callable[[str], None]
) -> None:
    """Start jobs that run until released; `accept` is given the ids of those that were accepted, as they are."""

    async def start(number: int) -> None:
        body = json.dumps({"id": f"{number:010}", "ms": -1}, separators=(",", ":"))
        url = f"http://127.0.0.1:{gateway.port}/job"
        with contextlib.suppress(aiohttp.ClientError):
            async with client.post(url, data=body, headers={"Call-Mode": "async"}) as answer:
                if answer.status == 202:
                    accept(answer.headers["Job-Id"])

    await asyncio.gather(*map(start, numbers))


async def _taken_over(gateway: Gateway, jobs: int) -> float:
    """Return when the replica had taken over so many jobs, as its log says."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if sum(line["rows"] for line in _takings(gateway)) >= jobs:
                return time.monotonic()
            await asyncio.sleep(0.05)


def _curve(gateway: Gateway, killed_at: datetime) -> list[tuple[float, int]]:
    """Return how many jobs were followed again by when, in seconds after the kill."""
    curve = [(0.0, 0)]
    for line in _takings(gateway):
        at = datetime.fromisoformat(line["timestamp"]) - killed_at
        curve.append((at.total_seconds(), curve[-1][1] + line["rows"]))
    return curve


def _takings(gateway: Gateway) -> list[dict[str, Any]]:
    """Return what the replica's log says of what it took over."""
    return [json.loads(line) for line in gateway.log.read_bytes().splitlines() if b"taken over" in line]


async def _ends_well(client: aiohttp.ClientSession, gateway: Gateway, job_id: str) -> bool:
    url = f"http://127.0.0.1:{gateway.port}/-/jobs/{job_id}"
    while True:
        async with client.get(url, params={"wait": "30"}) as answer:
            status = (await answer.json()).get("status")
        if status not in {"accepted", "starting", "running"}:
            return bool(status == "succeeded")


def _starts(directory: Path, origin: Upstream, shared: dict[str, Any], starts: int) -> dict[str, Any]:
    """Return how long it takes to listen, in turn with a bare server; the store is there already."""
    compileall.compile_dir(HERE.parent / "gateway", quiet=1)  # as installing does, which aiohttp was
    took: dict[str, list[float]] = {"callmode": [], "aiohttp": []}
    for number in range(starts):
        port = free_port()
        config = directory / f"start-{number}.yaml"
        own = {"listen": f"127.0.0.1:{port}", "admin": "off", "drain": "0s", "drain_notice": "0s"}
        config.write_text(json.dumps({**shared, **own, "upstream": {"url": origin.url}, "routes": ROUTES}))
        took["callmode"].append(_listening_after(module("gateway", "serve", config), port))
        port = free_port()
        took["aiohttp"].append(_listening_after([sys.executable, "-c", BARE, str(port)], port))
    return {
        "listening_ms": {name: round(median(each) * 1000) for name, each in took.items()},
        "listening_ratio": round(median(a / b for a, b in zip(took["callmode"], took["aiohttp"], strict=True)), 2),
    }


def _listening_after(command: list[str], port: int) -> float:
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() < begun + WITHIN_S:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return time.monotonic() - begun
            time.sleep(0.002)
        raise RuntimeError(f"{command} does not listen")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
