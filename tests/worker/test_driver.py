"""The driver: each test is a conversation between it, the store and the upstream, in virtual time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.core import events as e
from gateway.core.delivery import SPAN
from gateway.core.errors import UpstreamUnreachable
from gateway.core.ids import partition_of
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Pace, Policy
from gateway.core.retention import kept_for
from gateway.core.timing import poll_interval
from gateway.store.port import Save, Stored
from tests.core.strategies import in_state
from tests.worker.doubles import ENDED, FOLLOWED, HOLD, ME, OK, RUNNING, START, STATUS, bench, elapsed

pytestmark = pytest.mark.looptime

TOO_MANY = Outcome(429, (), b"{}")
PACE = Pace(typical=10 * SECOND)


async def test_a_job_from_its_start_to_its_end():
    """One start, reads at planned times, the outcome in the store and with whoever waits."""
    async with bench(pace=PACE) as it:
        it.upstream.on_start = [FOLLOWED]
        it.upstream.on_read = [RUNNING, RUNNING, ENDED]
        job_id = await it.followed()
        with it.feed.subscribed(job_id) as topic:
            job = await it.until(job_id, State.SUCCEEDED)
            assert topic.body == OK.body
        assert [(call.what, call.bearer) for call in it.upstream.starts] == [(START, "bearer-1")]
        assert [call.what for call in it.upstream.reads] == [STATUS] * 3
        # Each later than planned by a tenth at most.
        first, second = it.upstream.reads[0].at, it.upstream.reads[1].at
        assert 1 <= first / poll_interval(0, PACE) <= 1.1
        assert 1 <= (second - first) / poll_interval(first, PACE) <= 1.1
        assert await it.saved(job_id) == job
        assert await it.store.inner.read_body(job_id) == OK.body
        assert len(it.driver) == 0
        assert it.failed == []


async def test_the_way_to_the_output_is_no_write_of_its_own():
    """The output is read at once: three writes from the start to the end, and where it failed, the next one tells."""
    async with bench() as it:
        output = Leg(LegKind.OUTPUT, "https://orchestrator.example/output/1")
        it.upstream.on_start = [FOLLOWED]
        it.upstream.on_read = [e.Redirected(output), e.ReadFailed("a hiccup"), ENDED]
        job_id = await it.followed()
        job = await it.until(job_id, State.SUCCEEDED)
        assert [call.what for call in it.upstream.reads] == [STATUS, output, output]
        assert it.store.calls["save"] == 3
        assert await it.saved(job_id) == job


async def test_a_start_that_was_accepted_here_is_not_opened_again(monkeypatch):
    """Nor kept once it is answered; one that was taken over is opened."""
    async with bench() as it:
        opened = []
        monkeypatch.setattr(it.vault, "open_start", lambda *sealed: opened.append(sealed) or START)
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED, FOLLOWED], [ENDED, ENDED]
        new = it.new()
        await it.store.create(new, ME, keep=HOUR)
        it.driver.follow(Stored(new.job, new.start, new.credential), ME, START)
        await it.until(new.job.id, State.SUCCEEDED)
        assert ([call.what for call in it.upstream.starts], opened) == ([START], [])
        job_id = await it.followed()
        await it.until(job_id, State.SUCCEEDED)
        assert len(opened) == 1


async def test_what_happens_is_observed_in_order():
    """Logs and traces are told of every event, with the record that it led to."""
    async with bench() as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING, ENDED]
        job_id = await it.followed()
        await it.until(job_id, State.SUCCEEDED)
        assert [type(event) for _, event in it.seen] == [e.StartIntended, e.Followed, e.StillRunning, e.Ended]
        assert [job.state for job, _ in it.seen] == ["starting", "running", "running", "succeeded"]


@pytest.mark.parametrize("whom", ["_observe", "_ended"])
async def test_who_fails_to_take_note_of_an_end_does_not_lose_it(monkeypatch, whom: str):
    """It is saved and told all the same; of the failure somebody is told."""
    async with bench() as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]

        def fails(*what: object) -> None:
            if any(isinstance(each, e.Ended) for each in what):
                raise RuntimeError("a defect")

        monkeypatch.setattr(it.driver, whom, fails)
        job_id = await it.followed()
        job = await it.until(job_id, State.SUCCEEDED, within=60)
        assert await it.saved(job_id) == job
        assert len(it.driver) == 0
        assert [str(error) for error in it.failed] == ["a defect"]


class TestIntent:
    """A start is not sent before the store has the intent to send it."""

    async def test_nothing_is_sent_while_saving_hangs(self):
        """However long it takes."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            release = it.store.hang("save")
            job_id = await it.followed()
            await asyncio.sleep(600)
            assert it.upstream.starts == []
            release.set()
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_nothing_is_sent_while_the_store_is_away(self):
        """The save is tried again and again, at a pace; then the start goes out."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            it.store.down.add("save")
            job_id = await it.followed()
            await asyncio.sleep(60)
            assert it.upstream.starts == []
            assert 55 <= it.store.calls["save"] <= 70
            it.store.down.clear()
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_the_store_says_starting_when_the_start_goes_out(self):
        """So whoever inherits the job at that moment knows that it may have been sent."""
        async with bench() as it:
            answer = asyncio.get_running_loop().create_future()
            it.upstream.on_start, it.upstream.on_read = [answer], [ENDED]
            job_id = await it.followed()
            await asyncio.sleep(1)
            assert len(it.upstream.starts) == 1
            assert (await it.saved(job_id)).state is State.STARTING
            answer.set_result(FOLLOWED)
            await it.until(job_id, State.SUCCEEDED)

    async def test_a_lost_reply_is_no_second_intent(self):
        """The save was applied and its reply lost: the same operation is applied once."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            it.store.deaf.add("save")
            job_id = await it.followed()
            await asyncio.sleep(5)
            assert it.upstream.starts == []
            it.store.deaf.clear()
            job = await it.until(job_id, State.SUCCEEDED)
            assert (len(it.upstream.starts), job.revision) == (1, 4)

    async def test_nothing_is_sent_if_saving_breaks(self):
        """A defect on the way to the store is no permission; when it is mended, the job goes on."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            it.store.broken.add("save")
            job_id = await it.followed()
            await asyncio.sleep(61)
            assert it.upstream.starts == []
            assert [str(error) for error in it.failed] == ["save is broken"] * 13
            it.store.broken.clear()
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_nothing_is_sent_for_a_job_that_the_store_has_lost(self):
        """An emptied store could not tell anybody that this start was sent; so it is not, and its caller is told."""
        async with bench() as it:
            new = it.new()  # never created
            it.driver.follow(Stored(new.job, new.start, new.credential), ME)
            job = await it.until(new.job.id, State.FAILED)
            assert it.upstream.starts == []
            assert (job.error, job.refused, job.frees_key) == ("store-unavailable", True, True)


class TestAnswering:
    """Save, then answer; from memory only where saving takes too long."""

    async def test_nobody_is_told_before_the_store_has_it(self):
        """Saving takes 300 ms: so does the answer."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(10)
            release = it.store.hang("save")
            answer.set_result(ENDED)
            begun = elapsed()
            asyncio.get_running_loop().call_later(0.3, release.set)
            await it.until(job_id, State.SUCCEEDED)
            assert elapsed() - begun == 300
            assert (await it.saved(job_id)).state is State.SUCCEEDED

    async def test_a_caller_is_answered_from_memory_when_saving_hangs(self):
        """After 500 ms; and the outcome is saved later all the same."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(10)
            release = it.store.hang("save")
            answer.set_result(ENDED)
            begun = elapsed()
            with it.feed.subscribed(job_id) as topic:
                await it.until(job_id, State.SUCCEEDED)
                assert topic.body == OK.body
            assert elapsed() - begun == 500
            assert (await it.saved(job_id)).state is State.RUNNING
            release.set()
            await asyncio.sleep(1)
            assert (await it.saved(job_id)).state is State.SUCCEEDED
            assert await it.store.inner.read_body(job_id) == OK.body
            assert len(it.driver) == 0

    async def test_who_was_paused_tells_nothing_from_memory(self):
        """Others may have taken the job over and told of its end: the store decides, however long it takes."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(10)
            release = it.store.hang("save")
            it.paused = True
            answer.set_result(ENDED)
            begun = elapsed()
            asyncio.get_running_loop().call_later(20, release.set)
            await it.until(job_id, State.SUCCEEDED)
            assert elapsed() - begun == 20_000

    async def test_what_is_no_end_is_told_once_it_is_saved(self):
        """Streams name events by revisions: one that was lost with its replica would come again as something else."""
        async with bench() as it:
            answer = asyncio.get_running_loop().create_future()
            it.upstream.on_start, it.upstream.on_read = [answer], [RUNNING]
            job_id = await it.followed()
            await asyncio.sleep(1)
            release = it.store.hang("save")
            with it.feed.subscribed(job_id) as topic:
                answer.set_result(FOLLOWED)
                await asyncio.sleep(60)
                assert topic.job is None
                release.set()
                await asyncio.sleep(1)
                assert topic.job.state is State.RUNNING

    async def test_saving_holds_up_no_read_that_is_due(self):
        """What the start led to is saved while its leg is read already."""
        async with bench() as it:
            start, answer = (asyncio.get_running_loop().create_future() for _ in range(2))
            it.upstream.on_start, it.upstream.on_read = [start], [answer]
            job_id = await it.followed()
            await asyncio.sleep(1)
            release = it.store.hang("save")
            start.set_result(e.Followed(UpstreamMode.LONG_POLL, HOLD))
            await asyncio.sleep(0.1)
            assert len(it.upstream.reads) == 1
            assert (await it.saved(job_id)).state is State.STARTING
            release.set()
            await asyncio.sleep(0.1)
            assert (await it.saved(job_id)).state is State.RUNNING
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)

    async def test_the_same_when_the_store_is_away(self):
        """An outage of an hour at the job's end loses nothing."""
        async with bench() as it:
            job_id, answer = await it.reading()
            it.store.down.add("save")
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            await asyncio.sleep(3600)
            it.store.down.clear()
            await asyncio.sleep(2)
            assert (await it.saved(job_id)).state is State.SUCCEEDED

    async def test_a_defect_before_the_store_is_asked_ends_no_saving(self, monkeypatch):
        """Nothing more is to be done for a job that has ended, and still it is saved, after a pause."""
        async with bench() as it:
            job_id, answer = await it.reading()

            def defective(_job: object) -> object:
                raise RuntimeError("sealing is broken")

            monkeypatch.setattr(it.vault, "conceal", defective)
            answer.set_result(ENDED)
            await asyncio.sleep(12)
            assert ((await it.saved(job_id)).state, len(it.driver)) == (State.RUNNING, 1)
            monkeypatch.undo()
            await asyncio.sleep(5)
            assert ((await it.saved(job_id)).state, len(it.driver)) == (State.SUCCEEDED, 0)
            assert {str(error) for error in it.failed} == {"sealing is broken"}

    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            (e.Ended(OK, UpstreamMode.LONG_POLL), State.SUCCEEDED),
            (e.Dispatched(), State.DISPATCHED),
            (e.StartRefused(OK, frees_key=True), State.FAILED),
        ],
    )
    async def test_an_end_that_came_with_the_start_is_not_told_from_memory(self, answer, state):
        """Lost with this replica, it could not be read again: another would tell those who ask of a job in doubt."""
        async with bench() as it:
            start = asyncio.get_running_loop().create_future()
            it.upstream.on_start = [start]
            job_id = await it.followed()
            await asyncio.sleep(1)
            release = it.store.hang("save")
            start.set_result(answer)
            with it.feed.subscribed(job_id) as topic:
                await asyncio.sleep(60)
                assert topic.job is None
                release.set()
                await asyncio.sleep(1)
                assert topic.job.state is state
            assert (await it.saved(job_id)).state is state

    async def test_reads_that_change_nothing_are_not_saved(self):
        """A ten-minute job costs the store as many saves as a short one."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING] * 40 + [ENDED]
            await it.until(await it.followed(), State.SUCCEEDED)
            assert len(it.upstream.reads) == 41
            assert it.store.calls["save"] == 3

    async def test_a_new_leg_is_read_while_it_is_saved(self):
        """Nobody waits for a redirect, so the redirect does not wait for the store."""
        async with bench() as it:
            output = Leg(LegKind.OUTPUT, "https://orchestrator.example/output/1")
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [e.Redirected(output), ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            release = it.store.hang("save")
            await asyncio.sleep(5)
            assert [call.what for call in it.upstream.reads] == [STATUS, output]
            assert it.upstream.reads[1].at - it.upstream.reads[0].at < 50
            release.set()
            await it.until(job_id, State.SUCCEEDED)

    async def test_no_start_goes_out_on_the_save_of_another_change(self, monkeypatch):
        """It waits for one that is under way, and sends nothing if its own intent is not saved after that."""
        async with bench(start_retry=HOUR) as it:
            refused = asyncio.get_running_loop().create_future()
            it.upstream.on_start = [refused]
            await it.followed()
            await asyncio.sleep(1)
            release = it.store.hang("save")
            refused.set_result(e.StartRefused(Outcome(429, (), b""), frees_key=True))
            await asyncio.sleep(8)
            assert [job.state for job, event in it.seen if isinstance(event, e.StartIntended)] == [State.STARTING] * 2

            def defective(_job: object) -> object:
                raise RuntimeError("sealing is broken")

            monkeypatch.setattr(it.vault, "conceal", defective)
            release.set()
            await asyncio.sleep(1)
            assert (len(it.upstream.starts), len(it.driver)) == (1, 1)
            monkeypatch.undo()


class TestFencing:
    """Another replica follows the job by now."""

    async def test_a_fenced_save_ends_the_following(self):
        """It is dropped here, nobody is told what this replica believed, and the watches are."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            answer = asyncio.get_running_loop().create_future()
            it.upstream.on_read = [answer]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(10)
            assert [rows async for rows in it.store.inner.take_over(ME, "replica-2")]
            with it.feed.subscribed(job_id) as topic:
                answer.set_result(ENDED)
                await asyncio.sleep(5)
                assert topic.job is None
            assert (it.lost, len(it.driver)) == ([job_id], 0)
            assert (await it.saved(job_id)).state is State.RUNNING
            assert len(it.upstream.reads) == 1

    async def test_a_fenced_intent_sends_nothing(self):
        """Who is no longer the follower starts nothing."""
        async with bench() as it:
            new = await it.created(follower="replica-2")
            it.driver.follow(Stored(new.job, new.start, new.credential), ME)
            await asyncio.sleep(60)
            assert (it.upstream.starts, it.lost) == ([], [new.job.id])

    async def test_a_new_incarnation_goes_on_with_what_it_has(self):
        """`refollow` changes the name under which a job is saved, and begins no second loop."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(10)
            async for rows in it.store.inner.take_over(ME, "replica-1b"):
                for row in rows:
                    it.driver.refollow(row, "replica-1b")
            await it.driver.drop_others("replica-1b")
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert (len(it.upstream.starts), len(it.upstream.reads)) == (1, 1)
            assert it.lost == []

    async def test_a_save_under_the_former_name_is_made_again(self):
        """It was on its way while this replica took over from itself: the job is not another's."""
        async with bench() as it:
            job_id, answer = await it.reading()
            release = it.store.hang("save")
            answer.set_result(ENDED)
            await asyncio.sleep(10)
            async for rows in it.store.inner.take_over(ME, "replica-1b"):
                for row in rows:
                    it.driver.refollow(row, "replica-1b")
            release.set()
            await it.until(job_id, State.SUCCEEDED)
            assert (it.lost, len(it.upstream.reads)) == ([], 1)

    async def test_what_did_not_come_along_is_dropped(self):
        """Jobs of an incarnation that is over are another replica's."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING]
            await it.until(await it.followed(), State.RUNNING)
            await it.driver.drop_others("replica-1b")
            reads = len(it.upstream.reads)
            await asyncio.sleep(600)
            assert (len(it.driver), len(it.upstream.reads)) == (0, reads)

    async def test_a_start_that_is_answered_when_its_job_is_anothers_counts_no_more(self):
        """It takes nothing of the budget of held connections, for ever, and is not found by its key."""
        for answer in (e.Followed(UpstreamMode.LONG_POLL, HOLD), e.Followed(UpstreamMode.JOBS, STATUS, "A-Key")):
            async with bench() as it:
                started = asyncio.get_running_loop().create_future()
                it.upstream.on_start = [started]
                await it.followed(asked=UpstreamMode.LONG_POLL)
                await asyncio.sleep(1)
                assert len(it.held) == 1
                async for _ in it.store.inner.take_over(ME, "replica-2"):
                    pass
                await it.driver.drop_others("replica-1b")
                assert len(it.held) == 0
                started.set_result(answer)
                await asyncio.sleep(1)
                assert (len(it.held), it.driver.followed_as("a-key")) == (0, None)

    async def test_what_the_store_has_forgotten_is_nobody_elses(self):
        """It is put back under the new name, its deadline and all: others can follow it from then on."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await it.store.inner._redis.flushall()
            await it.driver.drop_others("replica-1b")
            await asyncio.sleep(1)
            assert (await it.saved(job_id)).state is State.RUNNING
            answer.set_result(ENDED)
            assert (await it.until(job_id, State.SUCCEEDED)).outcome is not None
            assert await it.store.read_body(job_id) == OK.body
            assert (it.lost, it.failed) == ([], [])

    async def test_a_start_under_way_that_the_store_has_forgotten_is_put_back_with_its_answer(self):
        """It was sent: the job runs, and nobody else knows of it."""
        async with bench() as it:
            started = asyncio.get_running_loop().create_future()
            it.upstream.on_start, it.upstream.on_read = [started], [ENDED]
            job_id = await it.followed()
            await asyncio.sleep(1)
            await it.store.inner._redis.flushall()
            await it.driver.drop_others("replica-1b")
            await asyncio.sleep(1)
            assert len(it.driver) == 1
            started.set_result(FOLLOWED)
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_a_forgotten_job_that_was_not_started_here_is_dropped(self):
        """Another replica may have started it before the store forgot it."""
        async with bench() as it:
            await it.followed(not_before=it.clock.now() + MINUTE)
            await it.store.inner._redis.flushall()
            await it.driver.drop_others("replica-1b")
            await asyncio.sleep(HOUR / 1000)
            assert (len(it.driver), it.upstream.starts) == (0, [])

    async def test_a_forgotten_job_that_is_over_is_not_put_back(self):
        """Its tombstone tells of an end that another replica saw."""
        async with bench() as it:
            job_id, _ = await it.reading()
            redis, keys = it.store.inner._redis, it.store.inner._keys
            await redis.delete(keys.job(job_id))
            await redis.set(keys.tombstone(job_id), "who")
            await it.driver.drop_others("replica-1b")
            await asyncio.sleep(1)
            assert (it.lost, len(it.driver)) == ([job_id], 0)
            assert await it.store.inner.missing([job_id]) == {job_id}


class TestInheritance:
    """Jobs that another replica has brought so far."""

    async def test_a_start_that_may_have_been_sent_is_never_sent_again(self):
        """`starting` becomes `unknown`, at once and for good."""
        async with bench() as it:
            stored = await it.inherited(State.STARTING)
            it.driver.refollow(stored, ME)
            job = await it.until(stored.job.id, State.UNKNOWN)
            assert job.error == "upstream-ambiguous"
            assert (await it.saved(job.id)).state is State.UNKNOWN
            await asyncio.sleep(HOUR / 1000)
            assert it.upstream.starts == it.upstream.reads == []

    async def test_a_start_that_was_never_intended_is_sent(self):
        """From the sealed copy in the store, with the sealed bearer."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            stored = await it.inherited(State.ACCEPTED)
            it.driver.refollow(stored, ME)
            await it.until(stored.job.id, State.SUCCEEDED)
            assert [(call.what, call.bearer) for call in it.upstream.starts] == [(START, "bearer-1")]

    async def test_a_running_job_is_read_on(self):
        """The record names the leg; nothing is started."""
        async with bench() as it:
            it.upstream.on_read = [ENDED]
            stored = await it.inherited(State.RUNNING)
            it.driver.refollow(stored, ME)
            await it.until(stored.job.id, State.SUCCEEDED)
            assert (it.upstream.starts, len(it.upstream.reads)) == ([], 1)

    async def test_a_start_that_no_key_opens(self):
        """The keyring was lost: the job fails, and nothing is sent."""
        async with bench() as it:
            new = await it.created()
            it.driver.follow(Stored(new.job, b"nokey:what", new.credential), ME)
            job = await it.until(new.job.id, State.FAILED)
            assert (job.error, it.upstream.starts) == ("internal-error", [])


class TestDefects:
    """A defect costs a job a pause, not its follower."""

    async def test_a_read_that_breaks(self):
        """It is told, and after five seconds the record says how to go on."""
        async with bench() as it:
            it.upstream.on_start = [FOLLOWED]
            it.upstream.on_read = [RuntimeError("a bug"), ENDED]
            await it.until(await it.followed(), State.SUCCEEDED)
            first, second = it.upstream.reads
            assert 4_999 <= second.at - first.at <= 5_001
            assert [str(error) for error in it.failed] == ["a bug"]

    async def test_a_start_that_breaks(self):
        """Nobody knows what was sent: after the pause the record says `starting`, which is ambiguous."""
        async with bench() as it:
            it.upstream.on_start = [RuntimeError("a bug")]
            job = await it.until(await it.followed(), State.UNKNOWN)
            assert (len(it.upstream.starts), job.error) == (1, "upstream-ambiguous")

    async def test_a_save_that_breaks(self):
        """The change is not forgotten: it is saved when the way is mended, and its caller answered meanwhile."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(1)
            it.store.broken.add("save")
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert (await it.saved(job_id)).state is State.RUNNING
            it.store.broken.clear()
            await asyncio.sleep(6)
            assert (await it.saved(job_id)).state is State.SUCCEEDED


class TestPostponed:
    """Starts that certainly did not run."""

    async def test_they_are_sent_again_while_there_is_time(self):
        """429 with a Retry-After of 20 s, then unreachable, then accepted."""
        async with bench(start_retry=10 * MINUTE) as it:
            unreachable = problem_outcome(UpstreamUnreachable("refused"))
            it.upstream.on_start = [
                e.StartRefused(TOO_MANY, frees_key=True, hint=20_000),
                e.StartRefused(unreachable, frees_key=True),
                FOLLOWED,
            ]
            it.upstream.on_read = [ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.ACCEPTED)
            await asyncio.sleep(10)
            waiting = await it.saved(job_id)
            assert waiting.state is State.ACCEPTED
            assert "429" in waiting.message
            await it.until(job_id, State.SUCCEEDED)
            assert 20_000 <= it.upstream.starts[1].at <= 22_000
            assert all(call.what == START for call in it.upstream.starts)
            assert len(it.upstream.starts) == 3

    async def test_they_are_answered_when_the_time_is_over(self):
        """The last answer is the job's end."""
        async with bench(start_retry=10 * SECOND) as it:
            it.upstream.on_start = [e.StartRefused(TOO_MANY, frees_key=True, hint=4_000)] * 3
            job = await it.until(await it.followed(), State.FAILED)
            assert (job.outcome.status, job.refused, job.frees_key) == (429, True, True)
            assert len(it.upstream.starts) == 3

    async def test_they_are_answered_at_once_by_default(self):
        """No time, no second start."""
        async with bench() as it:
            it.upstream.on_start = [e.StartRefused(TOO_MANY, frees_key=True)]
            job = await it.until(await it.followed(), State.FAILED)
            assert job.finished == job.created

    async def test_a_refusal_is_never_tried_again(self):
        """A 404 is the start's answer, whatever the route's patience."""
        async with bench(start_retry=10 * MINUTE) as it:
            it.upstream.on_start = [e.StartRefused(Outcome(404, (), b"{}"), frees_key=False)]
            await it.until(await it.followed(), State.FAILED)
            assert len(it.upstream.starts) == 1


class TestCredential:
    """The bearer that reads need."""

    async def test_a_refused_one_is_replaced_by_what_somebody_brought(self):
        """401: the next read uses the credential that was offered meanwhile."""
        async with bench() as it:
            it.upstream.on_start = [FOLLOWED]
            it.upstream.on_read = [e.ReadFailed("401", unauthorized=True), ENDED]
            job_id = await it.followed()
            assert await it.store.inner.offer_credential(job_id, it.vault.seal_credential(job_id, "bearer-2"))
            await it.until(job_id, State.SUCCEEDED)
            assert [call.bearer for call in it.upstream.reads] == ["bearer-1", "bearer-2"]

    async def test_it_is_kept_while_the_store_is_away(self):
        """A failed look costs nothing but the look."""
        async with bench() as it:
            it.upstream.on_start = [FOLLOWED]
            it.upstream.on_read = [e.ReadFailed("401", unauthorized=True), ENDED]
            it.store.down.add("read_credential")
            await it.until(await it.followed(), State.SUCCEEDED)
            assert [call.bearer for call in it.upstream.reads] == ["bearer-1", "bearer-1"]

    async def test_the_store_is_asked_only_when_it_is_refused(self):
        """Other failures have nothing to do with it."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [e.ReadFailed("502"), ENDED]
            await it.until(await it.followed(), State.SUCCEEDED)
            assert it.store.calls["read_credential"] == 0

    async def test_there_may_be_none(self):
        """Under the gateway's own credential the record has none."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            await it.until(await it.followed(bearer=None), State.SUCCEEDED)
            assert [call.bearer for call in it.upstream.starts + it.upstream.reads] == [None, None]


class TestStopping:
    """A replica that goes."""

    async def test_it_waits_for_the_answer_to_a_start(self):
        """An answer that nobody waits for would make the job unknown."""
        async with bench() as it:
            answer = asyncio.get_running_loop().create_future()
            it.upstream.on_start = [answer]
            job_id = await it.followed()
            await asyncio.sleep(1)
            asyncio.get_running_loop().call_later(12, answer.set_result, FOLLOWED)
            await it.driver.stop(30)
            assert elapsed() == 13_000
            assert (await it.saved(job_id)).state is State.RUNNING
            assert it.upstream.reads == []

    async def test_it_waits_no_longer_than_it_may(self):
        """What is not answered by then is for the next replica to judge."""
        async with bench() as it:
            it.upstream.on_start = [asyncio.get_running_loop().create_future()]
            job_id = await it.followed()
            await asyncio.sleep(1)
            await it.driver.stop(5)
            assert elapsed() == 6_000
            assert (await it.saved(job_id)).state is State.STARTING

    async def test_it_waits_for_saves(self):
        """What is known is brought into the store."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(1)
            release = it.store.hang("save")
            answer.set_result(ENDED)
            await asyncio.sleep(0.1)
            asyncio.get_running_loop().call_later(3, release.set)
            await it.driver.stop(30)
            assert elapsed() == 4_100
            assert (await it.saved(job_id)).state is State.SUCCEEDED

    async def test_it_does_not_wait_for_reads(self):
        """A read can be made by anybody."""
        async with bench() as it:
            it.upstream.on_start = [FOLLOWED]
            it.upstream.on_read = [asyncio.get_running_loop().create_future()]
            await it.until(await it.followed(), State.RUNNING)
            await asyncio.sleep(1)
            assert len(it.upstream.reads) == 1
            await it.driver.stop(30)
            assert elapsed() == 1_000

    async def test_it_begins_nothing_more(self):
        """A job that was to be read in a moment is left for others."""
        async with bench(pace=PACE) as it:
            it.upstream.on_start = [FOLLOWED]
            await it.until(await it.followed(), State.RUNNING)
            await it.driver.stop(30)
            await asyncio.sleep(600)
            assert it.upstream.reads == []

    async def test_a_save_that_failed_is_tried_once_more(self, monkeypatch):
        """What a start came to would be lost for good: nobody who takes the job over can ask for it again."""
        async with bench() as it:
            it.upstream.on_start = [e.Ended(OK, UpstreamMode.LONG_POLL)]
            conceal = it.vault.conceal

            def fails(job: Job) -> Job:
                if job.state is State.SUCCEEDED:
                    monkeypatch.undo()
                    raise RuntimeError("a defect")
                return conceal(job)

            monkeypatch.setattr(it.vault, "conceal", fails)
            job_id = await it.followed()
            await asyncio.sleep(1)
            assert [str(error) for error in it.failed] == ["a defect"]
            assert (await it.saved(job_id)).state is State.STARTING
            await it.driver.stop(30)
            assert (await it.saved(job_id)).state is State.SUCCEEDED


class TestEnds:
    """What the gateway concludes by itself, and what an end brings along."""

    async def test_the_deadline(self):
        """A job that does not end is ended, and its upstream left alone."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING]
            job = await it.until(await it.followed(), State.FAILED)
            assert (job.error, job.outcome.status, elapsed()) == ("job-deadline", 504, HOUR)
            reads = len(it.upstream.reads)
            await asyncio.sleep(600)
            assert len(it.upstream.reads) == reads

    async def test_an_unknown_job_expires(self):
        """72 hours without a verdict, deadline or not."""
        async with bench() as it:
            it.upstream.on_start = [e.StartAmbiguous("reset")]
            job = await it.until(await it.followed(), State.EXPIRED)
            assert (job.finished - job.created, len(it.upstream.starts)) == (72 * HOUR, 1)

    async def test_a_delivery_is_created_along_with_the_end(self):
        """In one save, in the job's partition, due at once; and handed over to be followed."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            job_id = await it.followed(callback_url="https://caller.example/hook")
            await it.until(job_id, State.SUCCEEDED)
            await asyncio.sleep(1)
            ((delivery, follower),) = it.delivered
            assert (delivery.job_id, delivery.url, follower) == (job_id, "https://caller.example/hook", ME)
            assert partition_of(delivery.id) == partition_of(job_id)
            assert delivery.due == delivery.created == (await it.saved(job_id)).finished
            rows = [row async for batch in it.store.inner.take_over(ME, "other") for row in batch]
            assert rows == [delivery]

    async def test_a_job_without_a_callback_has_none(self):
        """Nothing to deliver, nothing to follow."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            await it.until(await it.followed(), State.SUCCEEDED)
            await asyncio.sleep(1)
            assert it.delivered == []


async def test_only_saved_records_are_shown():
    """`job` never tells of a change that the store does not have."""
    async with bench() as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING]
        release = it.store.hang("save")
        job_id = await it.followed()
        await asyncio.sleep(1)
        shown = it.driver.job(job_id)
        assert shown is None or shown == await it.saved(job_id)
        release.set()
        await it.until(job_id, State.RUNNING)
        await asyncio.sleep(1)
        assert it.driver.job(job_id).state is State.RUNNING
        assert it.driver.job("03nobody") is None


def kept(state: State, **changes: object) -> int:
    """Return how long the default policy keeps a job of `state`, an hour before its deadline."""
    job = in_state(state).with_(**changes)
    return kept_for(job, Policy(), job.deadline - HOUR)


def test_how_long_records_are_kept():
    """Live ones past their last possible turn, ended ones for the retention, or for their callback's whole schedule."""
    assert kept(State.RUNNING) == HOUR + 72 * HOUR + HOUR
    assert kept(State.SUCCEEDED) == DAY
    assert kept(State.FAILED) == 5 * MINUTE
    assert kept(State.SUCCEEDED, callback_url="https://caller.example/") == SPAN
    assert kept_for(in_state(State.UNKNOWN), Policy(), in_state(State.UNKNOWN).deadline + DAY) == 73 * HOUR


async def test_a_save_is_complete():
    """Every save names the revision it follows, an operation of its own, and how long to keep what."""
    async with bench() as it:
        saves: list[Save] = []
        original = it.store.inner.save

        async def noted(save: Save, follower: str):
            saves.append(save)
            return await original(save, follower)

        it.store.inner.save = noted
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
        await it.until(await it.followed(), State.SUCCEEDED)
        assert [(save.revision, save.job.revision) for save in saves] == [(1, 2), (2, 3), (3, 4)]
        assert len({save.operation for save in saves}) == 3
        assert [save.body for save in saves] == [None, None, OK.body]
        assert saves[-1].tombstone == msgspec.structs.replace(Policy()).retention + Policy().tombstone


async def test_a_start_waits_for_the_lease():
    """It had run out when the intent was saved: nothing is sent, and nobody told of a doubt, until it holds again."""
    async with bench() as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
        it.holds = False
        job_id = await it.followed()
        await asyncio.sleep(3)
        assert it.upstream.starts == []
        assert (await it.saved(job_id)).state is State.ACCEPTED
        it.holds = True
        await it.until(job_id, State.SUCCEEDED)
        assert len(it.upstream.starts) == 1


@pytest.mark.parametrize("holds", [True, False])
async def test_an_end_of_the_gateway_s_own_is_told_from_memory_under_a_lease_alone(holds: bool):
    """Without one, another replica may follow the job by now, and know how it really ended."""
    async with bench(pace=PACE) as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING]
        job_id = await it.followed(deadline=it.clock.now() + MINUTE)
        await it.until(job_id, State.RUNNING)
        it.holds = holds
        release = it.store.hang("save")
        with it.feed.subscribed(job_id) as topic:
            await asyncio.sleep(120)
            assert (topic.job is not None and topic.job.state is State.FAILED) is holds
            release.set()
            await asyncio.sleep(1)
            assert topic.job is not None
            assert topic.job.state is State.FAILED


async def test_a_start_under_a_former_name_waits_too():
    """The replica has a lease again, and has yet to learn which jobs of its former name are others' by now."""
    async with bench() as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
        release = it.store.hang("save")
        job_id = await it.followed()
        await asyncio.sleep(1)
        it.lapsed.add(ME)
        release.set()
        await asyncio.sleep(3)
        assert it.upstream.starts == []
        async for rows in it.store.inner.take_over(ME, "replica-1b"):
            for row in rows:
                it.driver.refollow(row, "replica-1b")
        await it.until(job_id, State.SUCCEEDED)
        assert len(it.upstream.starts) == 1
