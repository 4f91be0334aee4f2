"""Learning from jobs that end here, with the store's help from those that end elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import msgspec
import pytest

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.durations import Durations, bin_of
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.policy import MINUTE, SECOND, Pace, Policy
from gateway.core.scheduling import ENOUGH
from gateway.worker.learning import Learning
from tests.core.strategies import fresh
from tests.worker.doubles import BORN, FOLLOWED, HOLD, OK, ObstructedStore, OnePolicy, bench, store

pytestmark = pytest.mark.looptime

ENDED = e.Ended(OK)
OUTPUT = e.Redirected(Leg(LegKind.OUTPUT, "https://orchestrator.example/output/1"))
HELD = e.Followed(UpstreamMode.LONG_POLL, HOLD)
ENOUGH_JOBS = int(ENOUGH) + 8
_operations = itertools.count()


def learner(to: ObstructedStore, pace: Pace | None = None) -> Learning:
    """Return a replica's learning. Names are hashes; operations are counted through."""
    return Learning(
        to,
        OnePolicy(msgspec.structs.replace(Policy(), pace=pace or Pace())),
        name=lambda route: route.encode().hex().rjust(64, "a"),
        random=lambda size: next(_operations).to_bytes(size, "big"),
        failed=to_fail,
    )


def to_fail(error: BaseException) -> None:
    """Nothing is expected to go wrong."""
    raise AssertionError from error


@contextlib.asynccontextmanager
async def learning_from(to: ObstructedStore, **options: Pace):
    """Run a replica's learning."""
    learning = learner(to, **options)
    task = asyncio.get_running_loop().create_task(learning.run())
    try:
        yield learning
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def shared():
    """A store, which can be obstructed."""
    inner = store()
    yield ObstructedStore(inner)
    await inner.close()


def followed(job: Job | None = None, event: e.Event = FOLLOWED) -> Job:
    """Return a job that runs since `BORN`."""
    return apply(apply(job or fresh(), e.StartIntended(), BORN), event, BORN)


def end(learning: Learning, ran: int, ended: int, *, told: bool = False, event: e.Event = OUTPUT) -> None:
    """Have a job end that was read at the age `ran`, and then not before `ended`."""
    before = apply(followed(), e.StillRunning(), BORN + ran)
    learning.ended(before, apply(before, event, BORN + ended), event, told)


async def known(learning: Learning, route: str = "add") -> Durations:
    """Return what the store knows of a route by now."""
    return await learning._store.learn(learning._name(route), {}, 0, "")


async def gathered() -> None:
    """Wait until what has ended is counted, news or not."""
    await asyncio.sleep(11.1)


class TestWhatIsLearned:
    """Which ends count, and between which ages."""

    @pytest.mark.parametrize("event", [OUTPUT, ENDED])
    async def test_an_end_that_was_polled_lies_between_two_reads(self, shared, event):
        """The way to the output is the end, as an outcome that the status itself answers with."""
        async with learning_from(shared) as learning:
            end(learning, 10_000, 20_000, event=event)
            await gathered()
            bins = (await known(learning)).weights
            assert (await known(learning)).jobs == pytest.approx(1, abs=0.1)
            assert bin_of(10_000) <= min(bins) < max(bins) <= bin_of(20_000)

    async def test_an_end_that_a_hook_told_of_was_just_then(self, shared):
        """Whatever lies between the reads."""
        async with learning_from(shared) as learning:
            end(learning, 10_000, 20_000, told=True)
            await gathered()
            assert set((await known(learning)).weights) == {bin_of(20_000)}

    async def test_an_end_that_was_held_was_just_then(self, shared):
        """Its age counts from when its start was sent, which the upstream held too."""
        starting = apply(fresh(), e.StartIntended(), BORN)
        running = apply(starting, HELD, BORN + 25_000)
        for before, event in ((running, ENDED), (starting, e.Ended(OK, UpstreamMode.LONG_POLL))):
            async with learning_from(shared) as learning:
                learning.ended(before, apply(before, event, BORN + 40_000), event, False)
                await gathered()
                assert set((await known(learning)).weights) == {bin_of(40_000)}

    async def test_what_tells_nothing_is_not_counted(self, shared):
        """The output of a job known to have ended, a held leg's loop, what was to stop, failed reads, bad arguments."""
        done = apply(followed(), OUTPUT, BORN + 5_000)
        held, starting = followed(event=HELD), apply(fresh(), e.StartIntended(), BORN)
        canceled = apply(followed(), e.CancelRequested(), BORN + 1)
        blind = apply(followed(), e.ReadFailed("502"), BORN + 1_000)
        async with learning_from(shared) as learning:
            for before, event in (
                (done, ENDED),
                (done, OUTPUT),
                (held, e.Redirected(HOLD)),
                (canceled, ENDED),
                (blind, OUTPUT),
                (starting, e.Ended(Outcome(400, (), b"{}"), UpstreamMode.LONG_POLL)),
            ):
                learning.ended(before, apply(before, event, BORN + 9_000), event, False)
            await gathered()
            assert shared.calls["learn"] == 0

    async def test_a_failure_of_the_job_is_an_end_like_any(self, shared):
        """How long it took is as true."""
        async with learning_from(shared) as learning:
            end(learning, 10_000, 20_000, event=e.Ended(Outcome(500, (), b"{}")))
            await gathered()
            assert (await known(learning)).jobs == pytest.approx(1, abs=0.1)


class TestSharing:
    """One command a route for many jobs, and the same knowledge everywhere."""

    async def test_many_ends_are_one_command(self, shared):
        """The hot path only adds."""
        async with learning_from(shared) as learning:
            for _ in range(150):
                end(learning, 59_000, 61_000)
            assert shared.calls["learn"] == 0
            await gathered()
            assert shared.calls["learn"] == 1
            assert (await known(learning)).jobs == pytest.approx(150, rel=0.01)

    async def test_what_is_no_news_is_counted_later(self, shared):
        """A second is enough for few to be many; one of a thousand waits for others, ten seconds at most."""
        async with learning_from(shared) as learning:
            for _ in range(200):
                end(learning, 59_000, 61_000)
            await asyncio.sleep(1.1)
            assert shared.calls["learn"] == 1
            for _ in range(12):
                end(learning, 59_000, 61_000)
                await asyncio.sleep(0.5)
            assert shared.calls["learn"] == 1
            await asyncio.sleep(6)
            assert shared.calls["learn"] == 2
            assert (await known(learning)).jobs == pytest.approx(212, rel=0.05)

    async def test_a_flood_is_counted_as_a_part_of_it(self, shared):
        """Two hundred of a second's jobs tell as much as all."""
        async with learning_from(shared) as learning:
            for _ in range(3_000):
                end(learning, 59_000, 61_000)
            await gathered()
            assert (await known(learning)).jobs == pytest.approx(200, rel=0.01)

    async def test_what_one_learns_the_other_plans_by(self, shared):
        """As soon as it asks, which it does for a route that is new to it; until then by age."""
        async with learning_from(shared) as one, learning_from(shared) as two:
            for _ in range(ENOUGH_JOBS):
                end(one, 59_000, 61_000)
            await gathered()
            assert one.policy("add").pace.learned is not None
            assert two.policy("add").pace.learned is None
            await gathered()
            assert two.policy("add").pace.learned == one.policy("add").pace.learned

    async def test_both_count(self, shared):
        """Half of what is enough from each."""
        half = int(ENOUGH / 2) + 1
        async with learning_from(shared) as one, learning_from(shared) as two:
            for learning in (one, two):
                for _ in range(half):
                    end(learning, 59_000, 61_000)
                await gathered()
            assert one.policy("add").pace.learned is None
            assert two.policy("add").pace.learned is not None

    async def test_a_store_that_is_away_costs_what_was_to_be_counted(self, shared):
        """Nobody waits, nothing piles up, and what is known stays."""
        async with learning_from(shared) as learning:
            for _ in range(ENOUGH_JOBS):
                end(learning, 59_000, 61_000)
            await gathered()
            policy = learning.policy("add")
            shared.down.add("learn")
            end(learning, 59_000, 61_000)
            await gathered()
            shared.down.clear()
            await gathered()
            assert learning.policy("add") is policy
            end(learning, 59_000, 61_000)
            await gathered()
            assert (await known(learning)).jobs == pytest.approx(ENOUGH_JOBS + 1, rel=0.02)

    async def test_an_idle_replica_asks_nothing(self, shared):
        """There is no tick."""
        async with learning_from(shared) as learning:
            learning.policy("add")
            await asyncio.sleep(3_600)
            assert shared.calls["learn"] == 1

    async def test_routes_that_are_too_many_are_forgotten(self, shared):
        """The first ones first; they are asked about when they come again."""
        async with learning_from(shared) as learning:
            for number in range(1_001):
                learning.policy(f"{number}")
            await gathered()
            assert shared.calls["learn"] == 1_000
            learning.policy("1000")
            learning.policy("0")
            await gathered()
            assert shared.calls["learn"] == 1_001

    async def test_however_long_the_store_takes(self, shared):
        """No more routes than are remembered wait to be asked about."""
        async with learning_from(shared) as learning:
            release = shared.hang("learn")
            for number in range(3_000):
                learning.policy(f"/t/{number}")
                await asyncio.sleep(0.01)
            assert len(learning._ended) <= 1_000
            release.set()

    async def test_a_defect_does_not_end_the_learning(self, shared):
        """It is told of, and the next second goes on."""
        failures: list[BaseException] = []
        async with learning_from(shared) as learning:
            learning._failed = failures.append
            shared.broken.add("learn")
            end(learning, 59_000, 61_000)
            await gathered()
            shared.broken.clear()
            end(learning, 59_000, 61_000)
            await gathered()
            assert [type(failure) for failure in failures] == [RuntimeError]
            assert (await known(learning)).jobs == pytest.approx(1, abs=0.1)

    async def test_a_histogram_that_no_replica_wrote_keeps_nothing_from_other_routes(self, shared):
        """Somebody else's bytes under one name: the other routes are learned, and the defect is told of."""
        failures: list[BaseException] = []
        async with learning_from(shared) as learning:
            learning._failed = failures.append
            inner = shared.inner
            await inner._redis.set(inner._keys.durations(learning._name("odd")), b"\xff" * 30)
            learning.policy("odd")
            for _ in range(ENOUGH_JOBS):
                end(learning, 59_000, 61_000)
            await gathered()
            assert [type(failure) for failure in failures] == [OverflowError]
            assert learning.policy("add").pace.learned is not None


class TestPlanning:
    """Policies with what was learned."""

    async def test_the_pace_is_the_configured_one_until_enough_is_known(self, shared):
        """And ever after it keeps its bounds and everything else."""
        pace = Pace(typical=MINUTE, floor=200, ceiling=20 * SECOND)
        async with learning_from(shared, pace=pace) as learning:
            for _ in range(int(ENOUGH) - 2):
                end(learning, 59_000, 61_000)
            await gathered()
            assert learning.policy("add") == Policy(pace=pace)
            for _ in range(10):
                end(learning, 59_000, 61_000)
            await gathered()
            planned = learning.policy("add").pace
            assert planned.learned is not None
            assert msgspec.structs.replace(planned, learned=None) == pace

    async def test_a_route_may_be_planned_as_configured(self, shared):
        """Then nothing is asked or counted either."""
        async with learning_from(shared, pace=Pace(learn=False)) as learning:
            learning.policy("add")
            for _ in range(ENOUGH_JOBS):
                end(learning, 59_000, 61_000)
            await gathered()
            assert learning.policy("add").pace == Pace(learn=False)
            assert shared.calls["learn"] == 0

    async def test_a_plan_is_made_anew_when_jobs_take_another_time(self, shared):
        """Not for every job: when an eighth of them is new."""
        async with learning_from(shared) as learning:
            for _ in range(200):
                end(learning, 59_000, 61_000)
            await gathered()
            first = learning.policy("add").pace.learned
            end(learning, 59_000, 61_000)
            await gathered()
            assert learning.policy("add").pace.learned is first
            for _ in range(200):
                end(learning, 9_900, 10_100)
            await gathered()
            then = learning.policy("add").pace.learned
            assert first.likely_end(0) > 58_000
            assert then.likely_end(0) < 12_000


async def test_the_driver_tells_of_ends():
    """The way to the output, with the records before and after it, and whether a hook had told of it."""
    async with bench(pace=Pace(floor=1, ceiling=10 * SECOND, typical=10 * SECOND)) as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [e.StillRunning(), OUTPUT, ENDED]
        job_id = await it.followed()
        await it.until(job_id, State.RUNNING)
        await asyncio.sleep(3.5)
        it.driver.hurry(job_id)
        await it.until(job_id, State.SUCCEEDED)
        ended = [(before.leg.kind, event, told) for before, _, event, told in it.ended]
        assert ended[0] == (LegKind.STATUS, OUTPUT, True)
        assert [event for _, event, _ in ended] == [OUTPUT, ENDED]
