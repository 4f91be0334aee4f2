"""A gateway with two workers as real processes, and what its log says of them."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from gateway.simulator import Settings, Simulator
from tests.support.rig import BASE_PATH, TOKEN, GatewayProcess, simulated


class Workers:
    """A gateway with workers, its simulator, and a client whose every call is a connection of its own."""

    def __init__(
        self, gateway: GatewayProcess, simulator: Simulator, upstream_url: str, client: aiohttp.ClientSession
    ) -> None:
        self.gateway = gateway
        self.simulator = simulator
        self.upstream_url = upstream_url
        self.client = client

    async def call(self, path: str = "/t/folder/async", *, method: str = "POST", **kwargs: Any) -> tuple[int, Any]:
        """Call the gateway without following redirects; return status and body."""
        async with self.client.request(method, self.gateway.url + path, allow_redirects=False, **kwargs) as response:
            return response.status, await response.read()

    async def runs(self, job_id: str) -> None:
        """Wait until the store knows that a job runs: what its follower alone knew would die with it."""
        status = ""
        while status not in {"running", "succeeded"}:
            _, body = await self.call(f"/-/jobs/{job_id}?wait=1", method="GET")
            status = json.loads(body)["status"]

    def pids(self) -> dict[int, int]:
        """Return the process of each worker, by its number."""
        return {line["worker"]: line["pid"] for line in self.gateway.log if line["event"] == "worker serves"}

    async def serving(self, starts: int) -> dict[int, int]:
        """Wait until so many workers have come to serve since the beginning; return the processes as they are then."""
        await self.gateway.logged_times("worker serves", starts)
        return self.pids()

    def answered(self, path: str) -> Counter[int]:
        """Return how many requests for a path each worker has answered."""
        return Counter(
            line["worker"] for line in self.gateway.log if line["event"] == "request" and line.get("path") == path
        )

    async def answering(self, path: str, times: int) -> Counter[int]:
        """Wait until that many requests for a path are in the log; return how many each worker answered."""
        await self.gateway.logged_times("request", times, path=path)
        return self.answered(path)


@contextlib.asynccontextmanager
async def two_workers(
    directory: Path, *, configuration: str = "", simulator: Settings | None = None, count: int = 2, **settings: Any
) -> AsyncIterator[Workers]:
    """Run a gateway with two workers over an embedded store; `configuration` is more of its file, `gateway.yaml`.

    `settings` as for `GatewayProcess.start`.
    """
    async with simulated(simulator) as (running, origin):
        upstream_url = origin + BASE_PATH
        write(directory, upstream_url, configuration)
        gateway = await GatewayProcess.serve(
            upstream_url,
            directory / "data",
            str(directory / "gateway.yaml"),
            "--workers",
            str(count),
            # Of their own, so that whoever still calls a port that another test has left counts for none of them.
            host="127.0.0.2",
            **settings,
        )
        try:
            async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {TOKEN}"},
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                timeout=aiohttp.ClientTimeout(total=60),
            ) as client:
                workers = Workers(gateway, running, upstream_url, client)
                await workers.serving(count if count > 1 else 0)
                try:
                    yield workers
                finally:
                    gateway = workers.gateway  # A test may have put another in its place.
        finally:
            await gateway.stop()


def write(directory: Path, upstream_url: str, configuration: str) -> None:
    """Write the gateway's file."""
    (directory / "gateway.yaml").write_text(f"upstream: {{url: '{upstream_url}'}}\n{configuration}\n")
