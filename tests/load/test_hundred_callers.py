"""A hundred callers block on a hundred jobs: each gets its own outcome, soon, and the upstream is asked seldom."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from dataclasses import dataclass

import aiohttp

from gateway.simulator import Simulator
from tests.support.rig import BASE_PATH, TOKEN, GatewayProcess, simulated

CALLERS = 100
SHORTEST, LONGEST = 0.2, 2.0
MEDIAN_DELAY = 0.125
"""Seconds from a job's end to its caller's answer."""
MEAN_CALLS = 8
"""Upstream calls a job, its start and its result included."""

CONFIG = """\
upstream:
  url: {upstream}
routes:
  - path: /jobs
    trigger: /t/folder/async
    typical: 1s
"""


@dataclass
class Answer:
    """What one caller got; `at` is the loop's time."""

    status: int
    body: bytes
    at: float


async def test_a_hundred_sync_callers_are_answered_exactly_and_soon(tmp_path):
    """Every answer is exact, each job starts once; the median delay and the mean number of calls keep their bounds."""
    arguments = [
        json.dumps({"id": f"caller-{number}", "said": random.Random(number).random(), "duration": duration}).encode()
        for number, duration in enumerate(durations())
    ]
    async with simulated() as (simulator, origin):
        answers = await _answers(origin + BASE_PATH, tmp_path, arguments)

    for number, (sent, answer) in enumerate(zip(arguments, answers, strict=True)):
        own = {name: value for name, value in json.loads(sent).items() if name != "duration"}
        assert (answer.status, json.loads(answer.body)) == (200, own), f"caller {number}"
    started_once = {f"caller-{number}": 1 for number in range(CALLERS)}
    assert (simulator.starts_by_argument, simulator.jobs_by_argument) == (started_once, started_once)
    assert statistics.median(delays(simulator, answers)) <= MEDIAN_DELAY
    assert calls_per_job(simulator) <= MEAN_CALLS


def durations() -> list[float]:
    """Return the jobs' durations, spread evenly from the shortest to the longest, in a shuffled order."""
    step = (LONGEST - SHORTEST) / (CALLERS - 1)
    return random.Random(100).sample([round(SHORTEST + step * number, 3) for number in range(CALLERS)], CALLERS)


def delays(simulator: Simulator, answers: list[Answer]) -> list[float]:
    """Return the seconds between each job's end and its answer; both clocks are this process's loop."""
    return [answer.at - simulator.ended_at[f"caller-{number}"] for number, answer in enumerate(answers)]


def calls_per_job(simulator: Simulator) -> float:
    """Return the mean number of requests that a job has cost the upstream."""
    counters = simulator.counters
    return (counters.starts + counters.polls + counters.outputs) / CALLERS


async def _answers(upstream_url: str, directory, arguments: list[bytes]) -> list[Answer]:
    config = directory / "gateway.yaml"
    config.write_text(CONFIG.format(upstream=upstream_url))
    gateway = await GatewayProcess.serve(upstream_url, directory / "data", str(config))
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": f"Bearer {TOKEN}"}
        ) as client:
            return await asyncio.gather(*(_call(client, f"{gateway.url}/jobs", body) for body in arguments))
    finally:
        await gateway.stop()


async def _call(client: aiohttp.ClientSession, url: str, body: bytes) -> Answer:
    async with client.post(url, data=body) as response:
        content = await response.read()
    return Answer(response.status, content, asyncio.get_running_loop().time())
