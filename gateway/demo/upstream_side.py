"""What the other side saw: the simulator's own account of the jobs, whatever the gateway says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.demo.child import DemoError


@dataclass(frozen=True)
class Seen:
    """What the simulator saw of the job with one tag.

    `starts` counts the requests that would start it, `jobs` those that did, `reads` the later calls to its URIs.
    `ended_at` is when it ended, by the clock of the event loop, which is the machine's monotonic one in any process;
    None while it runs.
    """

    starts: int
    jobs: int
    reads: int
    ended_at: float | None

    @property
    def calls(self) -> int:
        """How many calls it cost the upstream."""
        return self.starts + self.reads


async def seen_upstream(http: aiohttp.ClientSession, simulator_url: str) -> dict[str, Seen]:
    """Return what the simulator saw, by the jobs' tags. Raises DemoError where it cannot be asked."""
    by_tag = await _ask(http, f"{simulator_url}/_sim/arguments")
    jobs = (await _ask(http, f"{simulator_url}/_sim/jobs"))["jobs"]
    reads = {job["tag"]: job["reads"] for job in jobs}
    return {
        tag: Seen(each["starts"], each["jobs"], reads.get(tag, 0), each["ended_at"]) for tag, each in by_tag.items()
    }


def not_once(seen: Mapping[str, Seen], tag: str) -> str | None:
    """Return how often a job was started, unless that is exactly once."""
    job = seen.get(tag)
    if job is None:
        return "the job never reached the upstream"
    if (job.starts, job.jobs) == (1, 1):
        return None
    return f"the upstream was asked {job.starts} times to start the job and ran it {job.jobs} times, instead of once"


async def spoilt_answers(http: aiohttp.ClientSession, simulator_url: str) -> int:
    """Return how many calls the simulator has had go wrong on purpose. Raises DemoError where it cannot be asked."""
    counters = await _ask(http, f"{simulator_url}/_sim/counters")
    return int(counters["faults"])


async def _ask(http: aiohttp.ClientSession, url: str) -> Any:
    try:
        async with http.get(url) as response:
            response.raise_for_status()
            return await response.json()
    except (aiohttp.ClientError, OSError) as error:
        raise DemoError(f"the simulator does not answer: {type(error).__name__}: {error}") from error
