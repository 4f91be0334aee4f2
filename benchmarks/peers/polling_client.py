"""A hand-written client that starts a job and asks for its status every so often, as the call modes page's samples do.

`python -m benchmarks.peers.polling_client UPSTREAM CALLERS JOBS FIRST_ID LEAST_MS MOST_MS INTERVAL` prints the delays
from each job's end to its answer, in milliseconds. Every answer is checked.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import aiohttp

from benchmarks.outcome import duration_of, ended_at

HEADERS = {"Authorization": "Bearer token-of-a-caller"}


async def one(client: aiohttp.ClientSession, url: str, job: int, duration: int, interval: float) -> float:
    """Run one job; return its delay."""
    arguments = {"id": f"{job:010d}", "ms": duration, "$callMode": "AsyncRequestReply"}
    async with client.post(url, json=arguments) as started:
        location = started.headers["Location"]
    while True:
        await asyncio.sleep(interval)
        async with client.get(location, allow_redirects=False) as status:
            if status.status == 303:
                break
    async with client.get(status.headers["Location"]) as output:
        body = await output.read()
    now = time.monotonic_ns()
    return (now - ended_at(job, body)) / 1e6


async def main(url: str, callers: int, jobs: Iterator[int], least: int, most: int, interval: float) -> list[float]:
    """Run all jobs, so many at a time; return their delays."""
    delays: list[float] = []

    async def caller(client: aiohttp.ClientSession) -> None:
        for job in jobs:
            delay = await one(client, url, job, duration_of(job, least, most), interval)
            delays.append(delay)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as client, asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller(client))
    return delays


if __name__ == "__main__":
    upstream, *numbers, interval = sys.argv[1:]
    callers, jobs, first, least, most = map(int, numbers)
    url, all_jobs = f"{upstream}/t/bench/job", iter(range(first, first + jobs))
    print(json.dumps(asyncio.run(main(url, callers, all_jobs, least, most, float(interval)))))
