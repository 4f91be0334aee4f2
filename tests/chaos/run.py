"""One run: start everything, do the plan while clients call, heal, wait until all is quiet, read everything, judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from random import Random

import aiohttp

from tests.chaos import cluster as clusters
from tests.chaos.clients import Clients
from tests.chaos.cluster import Cluster
from tests.chaos.exchanges import Exchanges
from tests.chaos.front import Front
from tests.chaos.history import Call, Complete, History, Invoke, Leftover, Line, Mark, Record, Upstream
from tests.chaos.nemesis import Nemesis
from tests.chaos.receiver import Receiver
from tests.chaos.roads import Known, Roads
from tests.chaos.settings import Settings
from tests.chaos.store_view import StoreView
from tests.chaos.witness import witness

_LAST = 30.0
"""Seconds in which a gateway that nobody waits for any more has to end."""


async def run(settings: Settings) -> list[Line]:
    """Do one run and return its history, which is also in `history.jsonl` in the run's directory."""
    history = History(settings.directory / "history.jsonl")
    try:
        async with contextlib.AsyncExitStack() as stack:
            cluster = await stack.enter_async_context(clusters.running(settings))
            view = StoreView(cluster.redis.url)
            stack.push_async_callback(view.close)
            await _in(cluster, view, history, settings)
    finally:
        history.close()
    return history.lines


async def _in(cluster: Cluster, view: StoreView, history: History, settings: Settings) -> None:
    tokens = {who: f"canary-{who}-{secrets.token_hex(16)}" for who in "ab"}
    front = Front(cluster, history, Random(f"{settings.seed} front"))
    async with (
        Receiver(history, Random(f"{settings.seed} receiver"), view.state_of).serving() as receiver,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), auto_decompress=False
        ) as session,
        _beside(front.watch(), witness(cluster.redis.port, history)),
    ):
        exchanges = Exchanges(front, history, session)
        clients = Clients(settings, exchanges, receiver, tokens, Random(f"{settings.seed} clients"))
        nemesis = Nemesis(cluster, history)
        async with asyncio.TaskGroup() as group:
            group.create_task(_disturb(nemesis, clients, settings, history))
            group.create_task(clients.run(settings.seconds))
        await _until_quiet(view, settings, history)
        await view.dump(history, tokens.values())
        roads = Roads(settings, exchanges, tokens, Random(f"{settings.seed} roads"))
        await roads.unknown()
        await roads.read_all(_known(history.lines))
        await _count_upstream(cluster, history)
    await _end_all(cluster, history)
    _search_logs(cluster, history, tokens)


async def _disturb(nemesis: Nemesis, clients: Clients, settings: Settings, history: History) -> None:
    await nemesis.carry_out(settings.planned)
    await nemesis.heal()
    clients.healed_at = history.now()
    history.add(Mark(clients.healed_at, "healed"))


async def _until_quiet(view: StoreView, settings: Settings, history: History) -> None:
    """Wait until every job has ended and every callback is delivered; write down what has not in time."""
    ends = history.now() + settings.unknown_ttl + settings.settle
    while left := await view.unfinished():
        if history.now() > ends:
            for what in left:
                history.add(Leftover("unfinished", what))
            break
        await asyncio.sleep(0.25)
    history.add(Mark(history.now(), "quiet"))


def _known(lines: list[Line]) -> list[Known]:
    """Return every job of the store, with the call that it was told to."""
    calls = {line.call: line for line in lines if isinstance(line, Call)}
    invokes = {line.n: line for line in lines if isinstance(line, Invoke)}
    told = {line.job: calls.get(invokes[line.n].call) for line in lines if isinstance(line, Complete) and line.job}
    return [Known(line, told.get(line.job)) for line in lines if isinstance(line, Record)]


async def _count_upstream(cluster: Cluster, history: History) -> None:
    async with cluster.session.get(cluster.simulator.url + "/_sim/arguments") as response:
        counts = await response.json()
    async with cluster.session.get(cluster.simulator.url + "/_sim/jobs") as response:
        jobs = {job["tag"]: job for job in (await response.json())["jobs"]}
    for tag, count in counts.items():
        job = jobs.get(tag)
        lasted = 0.0 if job is None or job["ended_at"] is None else job["ended_at"] - job["started_at"]
        history.add(Upstream(tag, count["starts"], count["jobs"], 0 if job is None else job["reads"], lasted))


async def _end_all(cluster: Cluster, history: History) -> None:
    """End the gateways as they should be, and see that they do."""
    for replica in cluster.replicas:
        replica.process.send(signal.SIGTERM)
    for replica in cluster.replicas:
        status = await replica.process.gone(_LAST)
        if status != 0:
            history.add(Leftover("drain", f"{replica.process.name} ended with {status} at the end"))


def _search_logs(cluster: Cluster, history: History, tokens: dict[str, str]) -> None:
    for replica in cluster.replicas:
        with replica.process.log.open() as log:
            for line in log:
                if any(token in line for token in tokens.values()):
                    history.add(Leftover("secret in a log", line[:500]))
                if _is_defect(line):
                    history.add(Leftover("defect", f"{replica.process.name}: {line[:3000]}"))


def _is_defect(line: str) -> bool:
    try:
        return json.loads(line).get("event") == "defect"
    except (ValueError, AttributeError):
        return "Traceback" in line


@contextlib.asynccontextmanager
async def _beside(*coroutines):
    """Run coroutines beside the block, and end them with it. One that fails fails the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()
