"""Hand-written clients: one asks for its job's status every so often, as the call modes page's samples do; one waits.

`python -m benchmarks.peers.polling_client UPSTREAM CALLERS JOBS FIRST_ID LEAST_MS MOST_MS INTERVAL` prints the delays
from each job's end to its answer, in milliseconds. INTERVAL is in seconds; 0: a long-poll. Every answer is checked.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import aiohttp

from benchmarks.outcome import duration_of, ended_at

HEADERS = {"Authorization": "Bearer token-of-a-caller"}


async def polled(client: aiohttp.ClientSession, url: str, arguments: dict[str, object], interval: float) -> bytes:
    """Run one job by polling; return its outcome."""
    async with client.post(url, json=arguments | {"$callMode": "AsyncRequestReply"}) as started:
        location = started.headers["Location"]
    while True:
        await asyncio.sleep(interval)
        async with client.get(location, allow_redirects=False) as status:
            if status.status == 303:
                break
    async with client.get(status.headers["Location"]) as output:
        return await output.read()


async def held(client: aiohttp.ClientSession, url: str, arguments: dict[str, object]) -> bytes:
    """Run one job by a long-poll; return its outcome."""
    async with client.post(url, json=arguments | {"$callMode": "LongPolling"}) as answer:
        return await answer.read()


async def main(url: str, callers: int, jobs: Iterator[int], least: int, most: int, interval: float) -> list[float]:
    """Run all jobs, so many at a time; return their delays."""
    delays: list[float] = []

    async def caller(client: aiohttp.ClientSession) -> None:
        for job in jobs:
            arguments: dict[str, object] = {"id": f"{job:010d}", "ms": duration_of(job, least, most)}
            outcome = await (polled(client, url, arguments, interval) if interval else held(client, url, arguments))
            now = time.monotonic_ns()
            delays.append((now - ended_at(job, outcome)) / 1e6)

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
