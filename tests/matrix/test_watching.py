"""Watching one job: a thousand at once for the price of one, in every mode at once, and callers that go away."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
from collections.abc import Awaitable, Callable

import pytest

from gateway.core.modes import CallerMode
from tests.matrix.client import Answer, Client, Request
from tests.matrix.conftest import Stage
from tests.matrix.conversations import LIVE, converse, monitor_of, read_events, result_of
from tests.support.rig import policy

WATCHERS = 1000
OUTPUT = b'{ "total": 1.10 }'
KEY = {"Idempotency-Key": "the-one"}

SEEN_WITHIN = 10.0
"""Seconds from a job's end until the last of a thousand has its outcome, callers and gateway on one core: a bound that
only a caller who was forgotten exceeds."""


def call(tag: str, *, duration: float = 1.0, **headers: str) -> Request:
    """Return a call of a job; the names of `headers` are written with `_` for `-`."""
    arguments = {
        "id": tag,
        "duration": duration,
        "output_base64": base64.b64encode(OUTPUT).decode(),
        "output_type": "application/json",
    }
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("/t/folder/async", json.dumps(arguments).encode(), fields)


@pytest.fixture(autouse=True)
def files():
    """Let this process have two sockets a watcher open, and some more."""
    needed = 3 * WATCHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.fail(f"this test needs {needed} open files, and the limit is {hard}: ulimit -Hn {needed}", pytrace=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# How the job of a request can be watched, once it is there: each returns the outcome as that watcher got it.


async def _at_the_monitor(client: Client, _request: Request, first: Answer) -> bytes:
    return (await result_of(client, first)).body


async def _held(client: Client, _request: Request, first: Answer) -> bytes:
    links = (await monitor_of(client, first))["links"]
    answer = await client.get(links["wait"])
    while answer.status == 303:
        answer = await client.get(answer.headers["Location"])
    return answer.body


async def _polling(client: Client, _request: Request, first: Answer) -> bytes:
    answer = await client.get(first.headers["Location"])
    while answer.status == 200:
        await asyncio.sleep(0.1)
        answer = await client.get(first.headers["Location"])
    return (await client.get(answer.headers["Location"])).body


async def _streamed(client: Client, _request: Request, first: Answer) -> bytes:
    events = read_events((await client.get(first.links["events"])).body)
    return events[-1].data["body"].encode()


async def _attached(client: Client, request: Request, first: Answer) -> bytes:
    answer = await client.start(request)
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.job_id == first.job_id
    return answer.body


Watcher = Callable[[Client, Request, Answer], Awaitable[bytes]]
HELD: tuple[Watcher, ...] = (_at_the_monitor, _held, _streamed, _attached)
"""Watchers that ask once and are held."""


async def test_a_thousand_watchers_cost_the_upstream_what_one_costs(staged):
    """Each gets the exact outcome; nobody's waiting is paid for upstream."""
    async with staged() as stage:
        alone = await _upstream_calls_of(stage, "alone", watchers=1)
        together = await _upstream_calls_of(stage, "watched", watchers=WATCHERS)
        assert stage.started_once("watched")
        # Reads are planned from the job's age, so a busy process reads no more often; it may read a little later.
        assert together <= alone + 1


async def _upstream_calls_of(stage: Stage, tag: str, *, watchers: int) -> int:
    """Run a job of three seconds with so many watchers; return how many calls it cost the upstream."""
    before = stage.upstream_calls()
    request = call(tag, duration=3, Idempotency_Key=tag)
    first = await stage.client.start(request.demanding(CallerMode.ASYNC))
    kinds = [HELD[number % len(HELD)] if watchers > 1 else _at_the_monitor for number in range(watchers)]
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(kind(stage.client, request, first)) for kind in kinds]
    late = asyncio.get_running_loop().time() - stage.ended_at(tag)
    assert {task.result() for task in watching} == {OUTPUT}
    assert late < SEEN_WITHIN
    return stage.upstream_calls() - before


async def test_a_job_can_be_watched_in_every_mode_at_once(staged):
    """Started by one, attached to and followed by all the others, started once."""
    async with staged(policy=policy(hold=200)) as stage:
        request = call("watched", **KEY)
        first = await stage.client.start(request.demanding(CallerMode.ASYNC))
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(kind(stage.signed_only, request, first)) for kind in (*HELD, _polling)]
            attaching = [
                group.create_task(_attach(stage, request, mode))
                for mode in CallerMode
                if mode is not CallerMode.CALLBACK
            ]
        assert {task.result() for task in (*watching, *attaching)} == {OUTPUT}
        assert stage.started_once("watched")


async def _attach(stage: Stage, request: Request, mode: CallerMode) -> bytes:
    """Attach to the job in `mode` by its key, and have the whole conversation."""
    ending = await converse(stage.client, stage.receiver, mode, request.demanding(mode), poll_every=0.1)
    assert ending.first.headers["Idempotent-Replayed"] == "true"
    return ending.body


async def test_a_caller_that_goes_away_takes_nothing_with_it(staged):
    """In whichever mode it called: the job goes on, its record is readable, and the key leads back to it."""
    async with staged() as stage, asyncio.TaskGroup() as group:
        for mode in CallerMode:
            group.create_task(_leave_and_come_back(stage, mode))


async def _leave_and_come_back(stage: Stage, mode: CallerMode) -> None:
    request = call(mode.value, Idempotency_Key=mode.value, Callback_Url=stage.receiver.url)
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(stage.client.start(request.demanding(mode)))
        await _started(stage, mode.value)
        leaving.cancel()
    back = await stage.client.start(request.demanding(CallerMode.ASYNC))
    assert back.headers["Idempotent-Replayed"] == "true"
    assert (await monitor_of(stage.client, back))["status"] in LIVE
    ending = await result_of(stage.client, back)
    assert (ending.status, ending.body, ending.job_status) == (200, OUTPUT, "succeeded")
    assert stage.started_once(mode.value)


async def test_watchers_that_go_away_take_nothing_from_the_others(staged):
    """Others who wait for the same job are answered as if those had never been there."""
    async with staged() as stage:
        request = call("watched", **KEY)
        first = await stage.client.start(request.demanding(CallerMode.ASYNC))
        async with asyncio.TaskGroup() as group:
            staying = [group.create_task(kind(stage.client, request, first)) for kind in HELD]
            leaving = [group.create_task(kind(stage.client, request, first)) for kind in HELD]
            await monitor_of(stage.client, first)  # a round trip later than those have asked
            for each in leaving:
                each.cancel()
        assert {task.result() for task in staying} == {OUTPUT}
        assert stage.started_once("watched")


async def _started(stage: Stage, tag: str) -> None:
    """Return when the upstream runs the job."""
    async with asyncio.timeout(10):
        while not stage.running.simulator.jobs_by_argument[tag]:  # noqa: ASYNC110 - it counts, and tells nobody
            await asyncio.sleep(0.01)
