"""Many jobs' states by one list: what it saves, and that it never decides anything."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.core import events as e
from gateway.core.exchange import Exchanged, Failure, Reason, Request
from gateway.core.job import Leg
from gateway.core.jobs_api import folder_of, job_leg
from gateway.core.outcome import Origins
from gateway.core.policy import Pace
from gateway.core.timing import jittered, poll_interval
from gateway.upstream.attachments import Attachments
from gateway.upstream.budget import Budget
from gateway.upstream.credentials import Authorized, FixedBearer, PassedOn
from gateway.upstream.group_reads import GroupReads
from gateway.upstream.jobs_api import JobsApi
from gateway.upstream.listing import Listing
from gateway.upstream.metadata import TriggerIds
from gateway.upstream.search import Search
from gateway.upstream.settings import JobsApiSettings
from gateway.worker.tasks import Tasks
from tests.upstream.support import FOLDER, TOKEN, ScriptedClient, answered, tenant

BASE = "https://orchestrator.example/acme/prod/orchestrator_"
ELSEWHERE = "0a5b1c2d-7a3c-4ad1-9d2e-0123456789ab"


def key_of(number: int) -> str:
    """Return a job's key."""
    return str(uuid.UUID(int=number + 1))


@dataclass
class World:
    """A tenant in virtual time: its jobs by when they end, and what was asked of it."""

    api: Any = None
    ends: dict[str, float] = field(default_factory=dict)
    trip: float = 0.05
    """Seconds for each call."""
    lists: list[tuple[str | None, str | None, list[str]]] = field(default_factory=list)
    """The folder, the bearer and the keys of each."""
    listed: list[float] = field(default_factory=list)
    """When."""
    reads: list[str] = field(default_factory=list)
    on_list: Exchanged | None = None
    """What lists are answered with, instead of the truth."""
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """Rows of lists that are not as they should be; None: it is missing."""
    ended: list[str] = field(default_factory=list)
    """Those that were told to have ended, unasked."""
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    """What to set then."""

    def tell(self, key: str) -> None:
        self.ended.append(key)
        if key in self.waiting:
            self.waiting[key].set()

    @property
    def calls(self) -> int:
        return len(self.lists) + len(self.reads)

    def leg(self, number: int, folder: str = FOLDER) -> Leg:
        return job_leg(BASE, key_of(number), folder)

    def read(self, number: int, bearer: str | None = "a", folder: str = FOLDER, **kwargs: Any):
        return self.api.read(self.leg(number, folder), bearer, **{"timeout": 20_000} | kwargs)

    async def answer(self, request: Request) -> Exchanged:
        await asyncio.sleep(self.trip)
        if "$filter" not in request.url:
            (key,) = re.findall(r"identifier=([0-9a-f-]{36})", request.url)
            self.reads.append(key)
            return answered(200, {"Key": key, "State": self.state(key), "OutputArguments": f'{{"id":"{key}"}}'})
        assert len(request.url) - len(BASE) < 2048
        keys = re.findall(r"'([0-9a-f-]{36})'", unquote(request.url))
        self.listed.append(asyncio.get_running_loop().time())
        self.lists.append((folder_of(request.headers), dict(request.headers).get("Authorization"), keys))
        if self.on_list is not None:
            return self.on_list
        told = [self.rows.get(key, {"Key": key.upper(), "State": self.state(key)}) for key in keys]
        return answered(200, {"value": [row for row in told if row is not None]})

    def state(self, key: str) -> str:
        return "Successful" if asyncio.get_running_loop().time() >= self.ends.get(key, 1e9) else "Running"


@contextlib.asynccontextmanager
async def world(*, calls: int = 60, own: str | None = None, grouped: bool = True, **about: Any) -> AsyncIterator[World]:
    """Put the Jobs API's adapter in front of a world; `calls` are its lists a minute, `own` the gateway's bearer."""
    failed: list[BaseException] = []
    tasks = Tasks(failed.append)
    it = World(**about)
    client = ScriptedClient(it.answer)
    credential = PassedOn() if own is None else FixedBearer(own)
    authorized, origins = Authorized(client, credential), Origins(BASE)
    listing, budget = Listing(authorized, BASE), Budget(calls)
    search = Search(listing, budget, TriggerIds(None, credential, BASE), tasks.spawn)
    group = GroupReads(listing, budget, tasks.spawn, it.tell) if grouped else None
    it.api = JobsApi(authorized, origins, listing, search, Attachments(authorized, client, origins), group)
    yield it
    await tasks.close()
    assert not failed


async def in_turn(it: World, numbers: range, *, over: float = 10.0) -> list[e.Event]:
    """Read jobs one after the other, over so many seconds; return what was said."""
    events = []
    for number in numbers:
        events.append(await it.read(number))
        await asyncio.sleep(over / len(numbers))
    return events


class TestTogether:
    """What a list answers."""

    pytestmark = pytest.mark.looptime

    async def test_one_is_read_by_itself(self):
        """A list would be no fewer calls."""
        async with world() as it:
            assert await it.read(1) == e.StillRunning()
            assert (it.lists, it.reads) == ([], [key_of(1)])

    async def test_those_that_are_due_in_one_turn(self):
        """Are one list, of fifty at most; nobody waits for others."""
        async with world() as it:
            begun = asyncio.get_running_loop().time()
            events = await asyncio.gather(*(it.read(number) for number in range(70)))
            assert events == [e.StillRunning()] * 70
            assert [len(keys) for _, _, keys in it.lists] == [50, 20]
            assert it.reads == []
            assert asyncio.get_running_loop().time() - begun == pytest.approx(2 * it.trip)

    async def test_those_that_will_be_due_soon(self):
        """Go along with one that is due: what was seen then is the answer when it is their turn, with its age."""
        async with world() as it:
            await in_turn(it, range(20))
            await in_turn(it, range(20))
            before = it.calls
            events = await in_turn(it, range(20))
            assert it.calls - before <= 5
            assert {type(event) for event in events} == {e.StillRunning}
            assert 0 < max(event.ago for event in events) < 10_000

    async def test_what_was_seen_is_said_once(self):
        """Whoever asks again wants to know anew, however soon."""
        async with world() as it:
            for _ in range(3):
                await it.read(1)
                await it.read(2)
                await asyncio.sleep(10)
            assert await it.read(1) == e.StillRunning()
            before = it.calls
            seen = await it.read(2)
            assert (seen.ago > 0, it.calls) == (True, before)
            assert await it.read(2) == e.StillRunning()
            assert it.calls == before + 1

    async def test_one_that_ended_is_read_for_its_outcome(self):
        """The list has none: whoever asked for it reads, within the same question."""
        async with world(ends={key_of(3): 0.0}) as it:
            events = await asyncio.gather(*(it.read(number) for number in range(5)))
            assert [type(event) for event in events] == [e.StillRunning] * 3 + [e.Ended, e.StillRunning]
            assert events[3].outcome.body == f'{{"id":"{key_of(3)}"}}'.encode()
            assert (len(it.lists), it.reads) == (1, [key_of(3)])

    async def test_one_that_ended_unasked_is_told(self):
        """So that its follower reads it now; and then the newest state counts, whatever lists have said."""
        async with world() as it:
            for _ in range(2):
                await it.read(1)
                await it.read(2)
                await asyncio.sleep(9)
            it.ends[key_of(2)] = 0.0
            assert it.ended == []
            assert await it.read(1) == e.StillRunning()
            assert it.ended == [key_of(2)]
            assert isinstance(await it.read(2, told=True), e.Ended)

    async def test_what_has_news_is_not_answered_from_a_list(self):
        """Nor is what could not be read the last time, and so has to be looked at closely."""
        async with world() as it:
            await asyncio.gather(it.read(1, told=True), it.read(2, told=True), it.read(3, failures=1))
            assert (it.lists, len(it.reads)) == ([], 3)


class TestApart:
    """Who shares no list."""

    pytestmark = pytest.mark.looptime

    async def test_folders(self):
        """A key means something in its folder alone."""
        async with world() as it:
            await asyncio.gather(*(it.read(n, folder=(FOLDER, ELSEWHERE)[n % 2]) for n in range(10)))
            assert sorted((folder, len(keys)) for folder, _, keys in it.lists) == [(ELSEWHERE, 5), (FOLDER, 5)]

    async def test_credentials(self):
        """What one caller's token sees is nothing to another's, not even that a job runs."""
        async with world() as it:
            await asyncio.gather(*(it.read(n, bearer="ab"[n % 2]) for n in range(10)))
            assert {(bearer, tuple(keys)) for _, bearer, keys in it.lists} == {
                (f"Bearer {'ab'[of]}", tuple(key_of(n) for n in range(of, 10, 2))) for of in (0, 1)
            }

    async def test_under_the_gateways_own_all_are_one(self):
        """Whoever started the jobs: it is not the callers' tokens that they are read with."""
        async with world(own="gateway") as it:
            await asyncio.gather(*(it.read(n, bearer="ab"[n % 2]) for n in range(10)))
            assert [(bearer, len(keys)) for _, bearer, keys in it.lists] == [("Bearer gateway", 10)]


class TestBelief:
    """A list says that a job runs, and nothing else."""

    pytestmark = pytest.mark.looptime

    @pytest.mark.parametrize(
        "row",
        [
            None,
            {"Key": key_of(2)},
            {"Key": key_of(2), "State": "Hibernated"},
            {"Key": key_of(2), "State": 99},
            {"Key": key_of(2), "State": "Faulted", "OutputArguments": None, "Info": None},
            {"Key": key_of(7), "State": "Running"},
        ],
    )
    async def test_all_but_running_is_read(self, row):
        """A missing row, one without a state, with an unknown one, with an end, of another job: the job runs on."""
        async with world(rows={key_of(2): row}) as it:
            events = await asyncio.gather(*(it.read(number) for number in range(5)))
            assert events == [e.StillRunning()] * 5
            assert (len(it.lists), it.reads) == (1, [key_of(2)])

    @pytest.mark.parametrize(
        "answer",
        [
            answered(500, {"message": "no"}),
            answered(403, {"message": "You are not allowed to list jobs."}),
            answered(400, {"message": "The node count limit of '100' has been exceeded."}),
            answered(200, {"value": [{"Key": key_of(1), "State": None}]}),
            answered(200, {"value": [{"Key": None, "State": "Running"}]}),
            answered(200, []),
            answered(200),
            Failure(Reason.RESET, sent=True),
        ],
    )
    async def test_a_list_that_fails(self, answer):
        """Each is read by itself, at once; lists are tried again after a minute."""
        async with world(on_list=answer) as it:
            events = await asyncio.gather(*(it.read(number) for number in range(5)))
            assert events == [e.StillRunning()] * 5
            assert (len(it.lists), len(it.reads)) == (1, 5)
            await asyncio.sleep(30)
            await asyncio.gather(*(it.read(number) for number in range(5)))
            assert (len(it.lists), len(it.reads)) == (1, 10)
            it.on_list = None
            await asyncio.sleep(31)
            assert await asyncio.gather(*(it.read(number) for number in range(5))) == [e.StillRunning()] * 5
            assert (len(it.lists), len(it.reads)) == (2, 10)

    async def test_a_list_that_is_behind_for_good(self):
        """Loses no job: after a while it is read by itself, whatever lists say, and however it was told of."""
        rows = {key_of(2): {"Key": key_of(2), "State": "Running"}}
        async with world(rows=rows, ends={key_of(2): 60.0}, calls=600) as it:
            for _ in range(30):
                events = await asyncio.gather(*(it.read(number) for number in range(5)))
                await asyncio.sleep(15)
                if isinstance(events[2], e.Ended):
                    break
            assert isinstance(events[2], e.Ended)
            assert asyncio.get_running_loop().time() < 60 + 300

    async def test_a_list_that_hangs(self):
        """Is waited for no longer than half of the time there is; the rest is enough for a read."""
        async with world(trip=1.5) as it:
            events = await asyncio.gather(*(it.read(number, timeout=4_000) for number in range(3)))
            assert events == [e.StillRunning()] * 3
            begun = asyncio.get_running_loop().time()
            it.trip = 2.9
            events = await asyncio.gather(*(it.read(number, timeout=5_000) for number in range(3)))
            assert events == [e.StillRunning()] * 3
            assert asyncio.get_running_loop().time() - begun == pytest.approx(2.5 + 2.9, abs=0.01)


class TestBudget:
    """Lists are rationed, reads of one job are not."""

    pytestmark = pytest.mark.looptime

    async def test_half_of_it_is_left_to_others(self):
        """Who looks for jobs in doubt still may; the rest are read by themselves, without waiting."""
        async with world(calls=10) as it:
            for _ in range(8):
                events = await asyncio.gather(*(it.read(number) for number in range(50)))
                assert events == [e.StillRunning()] * 50
                await asyncio.sleep(1)
            assert len(it.lists) == 5
            assert len(it.reads) == 3 * 50

    async def test_the_less_there_is_the_more_a_list_carries(self):
        """A few jobs may have few of them: what is scarce is kept for where it saves the most."""
        async with world(calls=20) as it:
            for _ in range(20):
                await asyncio.gather(*(it.read(number) for number in range(10)))
                await asyncio.sleep(1)
            assert len(it.lists) == 3
            await asyncio.gather(*(it.read(100 + number) for number in range(50)))
            assert len(it.lists) == 4

    async def test_a_429_ends_them_for_as_long_as_it_says(self):
        """And costs nobody more than that one call."""
        async with world(on_list=answered(429, None, ("Retry-After", "90"))) as it:
            for _ in range(4):
                events = await asyncio.gather(*(it.read(number) for number in range(5)))
                assert events == [e.StillRunning()] * 5
                await asyncio.sleep(20)
            assert (len(it.lists), len(it.reads)) == (1, 20)


async def followed(it: World, number: int, starts: float, pace: Pace) -> float:
    """Follow a job as its follower does, from `starts` to its end; return how late the end was known (s)."""
    loop, key = asyncio.get_running_loop(), key_of(number)
    await asyncio.sleep(starts)
    begun = read_at = loop.time()
    reads, event = 0, e.StillRunning()
    told = it.waiting[key] = asyncio.Event()
    while not isinstance(event, e.Ended):
        interval = poll_interval(round((read_at - begun) * 1000), pace)
        due = read_at + jittered(interval, f"{key}{reads}") / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await told.wait()
        event = await it.read(number, told=told.is_set())
        reads += 1
        if isinstance(event, e.StillRunning):
            read_at = loop.time() - event.ago / 1000
    return loop.time() - it.ends[key]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("pace", "at_most", "later"),
    [(Pace(typical=60_000), 0.6, 1.0), (Pace(), 0.92, 1.0)],
    ids=["typical", "nothing known"],
)
async def test_two_hundred_jobs(pace: Pace, at_most: float, later: float):
    """Of a minute each, started over half a minute: fewer calls a job than without, and known no later."""
    calls, delays = {}, {}
    for grouped in (False, True):
        draw = random.Random(7)
        async with world(grouped=grouped) as it:
            origin = asyncio.get_running_loop().time()
            starts = [draw.uniform(0, 30) for _ in range(200)]
            it.ends = {key_of(n): origin + at + draw.gauss(60, 6) for n, at in enumerate(starts)}
            late = await asyncio.gather(*(followed(it, n, at, pace) for n, at in enumerate(starts)))
            calls[grouped], delays[grouped] = it.calls / 200, sum(late) / 200
            assert all(after - before >= 60 for before, after in zip(it.listed, it.listed[30:], strict=False))
    assert calls[True] <= at_most * calls[False]
    assert delays[True] <= later * delays[False]


async def test_as_the_tenant_lists_them():
    """The simulator's Jobs API takes the filter: fifty jobs are one list, and one that ended is read."""
    async with tenant() as t:
        started = [await t.start("orders", f"id-{n}", {"n": n, "duration": 60 if n else 0}) for n in range(50)]
        events = await asyncio.gather(*(t.orchestrator.read(each.leg, TOKEN, timeout=5_000) for each in started))
        assert events[1:] == [e.StillRunning()] * 49
        assert events[0].outcome.body == b'{"n":0}'
        assert (t.simulator.counters.lists, t.simulator.counters.job_reads) == (1, 1)


async def test_where_they_are_off():
    """`grouped_reads: off`: every job is read by itself."""
    async with tenant(jobs_api=JobsApiSettings(grouped_reads=False)) as t:
        started = [await t.start("orders", f"id-{n}", {"duration": 60}) for n in range(5)]
        events = await asyncio.gather(*(t.orchestrator.read(each.leg, TOKEN, timeout=5_000) for each in started))
        assert events == [e.StillRunning()] * 5
        assert (t.simulator.counters.lists, t.simulator.counters.job_reads) == (0, 5)
