"""Three replicas behind a load balancer are restarted one after the other, and no caller of any mode notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gateway.core.modes import CallerMode
from tests.e2e.support import calling, receiving
from tests.replicas.clients import Client
from tests.support.balancer import Balancer, balanced
from tests.support.replicas import Replicas, outcome_of, replicas

CALLERS = 200
SETTINGS = "drain: 5s\ndrain_notice: 1s\ncallbacks: {allow: [127.0.0.0/8], insecure: on}\n"
DURATIONS = (4.0, 18.0)


@contextlib.asynccontextmanager
async def stage(
    tmp_path: Path, redis_url: str, *, seed: int
) -> AsyncIterator[tuple[Replicas, Balancer, Callable[..., Client]]]:
    """Give replicas, their balancer, and what makes clients: of each mode in turn, with jobs of drawn lengths."""
    lengths, modes = random.Random(seed), itertools.cycle(CallerMode)
    async with (
        receiving() as receiver,
        replicas(redis_url, tmp_path, settings=SETTINGS) as it,
        balanced([("127.0.0.1", replica.port) for replica in it.each]) as balancer,
        calling(balancer.url) as caller,
    ):

        def client(tag: str, duration: float | None = None) -> Client:
            lasts = lengths.uniform(*DURATIONS) if duration is None else duration
            return Client(caller, receiver, tag, next(modes), lasts)

        yield it, balancer, client


async def restart_all(it: Replicas, clients: list[Client]) -> list[int]:
    """Restart one replica after the other; return how many callers were blocked each time."""
    blocked = []
    for replica in it.each:
        blocked.append(sum(client.blocked for client in clients))
        assert await replica.stop() == 0
        await replica.start()
    return blocked


async def test_a_rolling_restart_fails_nobody(tmp_path, redis_url):
    """200 blocked callers in all modes, and more who keep coming: each gets its exact outcome, each job starts once."""
    async with stage(tmp_path, redis_url, seed=7) as (it, balancer, client):
        clients = [client(f"caller {n}") for n in range(CALLERS)]
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            outcomes = {client.tag: group.create_task(client.outcome()) for client in clients}
            await _all_started(it, CALLERS)
            restarting = group.create_task(restart_all(it, clients))
            for n in itertools.count():
                if restarting.done():
                    break
                late = client(f"late {n}", 0.2)
                clients.append(late)
                outcomes[late.tag] = group.create_task(late.outcome())
                await asyncio.sleep(0.1)
        took = asyncio.get_running_loop().time() - began
        assert {tag: task.result() for tag, task in outcomes.items()} == {tag: outcome_of(tag) for tag in outcomes}
        assert it.simulator.starts_by_argument == dict.fromkeys(outcomes, 1)
        # A busy machine restarts slowly, and jobs end meanwhile: [190, 135, 128] where it has nothing else to do.
        assert sum(restarting.result()) > CALLERS, restarting.result()
        assert took < 60
        assert balancer.refused == 0


async def test_killing_one_after_the_other_fails_nobody(tmp_path, redis_url):
    """Blocked callers are cut off without an answer; whoever repeats the call, by its key, gets the exact outcome."""
    async with stage(tmp_path, redis_url, seed=11) as (it, _, client):
        clients = [client(f"caller {n}") for n in range(CALLERS)]
        async with asyncio.TaskGroup() as group:
            outcomes = {client.tag: group.create_task(client.outcome()) for client in clients}
            await _all_followed(it, CALLERS)
            for replica in it.each:
                await replica.kill()
                await replica.start()
        assert {tag: task.result() for tag, task in outcomes.items()} == {tag: outcome_of(tag) for tag in outcomes}
        assert it.simulator.starts_by_argument == dict.fromkeys(outcomes, 1)
        assert sum(len(client.repeats) for client in clients) > CALLERS / 4


async def _all_started(it: Replicas, count: int) -> None:
    while len(it.simulator.starts_by_argument) < count:  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0.05)


async def _all_followed(it: Replicas, count: int) -> None:
    """Wait until no start is under way any more: one that is cut off would be in doubt."""
    while sum(len(replica.told("Followed")) for replica in it.each) < count:  # noqa: ASYNC110 - processes set no event
        await asyncio.sleep(0.05)
    await asyncio.gather(*(replica.running() for replica in it.each))
