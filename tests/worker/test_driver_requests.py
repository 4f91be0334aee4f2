"""What others ask of a followed job, and what becomes of doubts: cancels, verdicts, hints, looks, lost records."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from gateway.core import events as e
from gateway.core.job import Leg, LegKind, State, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.policy import HOUR, MINUTE, SECOND, Binding, Pace
from gateway.core.verdict import Fate, Verdict
from gateway.store.port import Canceling, Requests, Save, Stored
from tests.worker.doubles import ENDED, FOLLOWED, HOLD, ME, OK, RUNNING, bench, elapsed

pytestmark = pytest.mark.looptime

FINDABLE = Binding(api=True, folder="f", correlation="callmodeJob")
KEY = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
JOB = Leg(LegKind.JOB, "https://orchestrator.example/odata/Jobs/1", "f")
FOUND = e.Followed(UpstreamMode.JOBS, JOB, KEY)
NOTHING_YET = e.NoVerdict("Orchestrator lists no job of this start so far")
AMBIGUOUS = e.StartAmbiguous("reset")
SLOW = Pace(floor=100, ceiling=10 * MINUTE, typical=20 * MINUTE)


def pending() -> asyncio.Future:
    """Return an answer that has not come yet."""
    return asyncio.get_running_loop().create_future()


class TestCancel:
    """Any replica keeps the request in the store; the follower carries it out."""

    async def test_a_running_job_is_asked_to_stop_and_then_killed(self):
        """SoftStop at once, Kill after a while; what the job then says of itself is its end."""
        async with bench(binding=FINDABLE, pace=SLOW, kill_after=30 * SECOND) as it:
            it.upstream.on_start = [e.Followed(UpstreamMode.JOBS, JOB, KEY)]
            it.upstream.on_read = [RUNNING]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT), e.StopSent(StopStrategy.KILL)]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(10)
            asked = elapsed()
            assert await it.store.request_cancel(job_id) is Canceling.ASKED
            await it.driver.heed([job_id])
            await asyncio.sleep(1)
            assert it.upstream.asked == [(asked, "SoftStop")]
            assert (await it.saved(job_id)).cancel_requested
            await asyncio.sleep(30)
            assert it.upstream.asked[1:] == [(asked + 30 * SECOND, "Kill")]
            assert it.failed == []

    async def test_a_held_read_is_given_up_for_it(self):
        """A long-poll leg is held for 25 s; the stop does not wait for that."""
        async with bench(binding=FINDABLE) as it:
            answer = pending()
            it.upstream.on_start = [e.Followed(UpstreamMode.LONG_POLL, HOLD, KEY)]
            it.upstream.on_read = [answer, ENDED]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(1)
            await it.store.request_cancel(job_id)
            await it.driver.heed([job_id])
            await it.until(job_id, State.SUCCEEDED)
            assert [what for _, what in it.upstream.asked] == ["SoftStop"]
            assert elapsed() == 1 * SECOND
            assert it.failed == []

    async def test_a_read_that_is_not_given_up_in_time_leaves_nothing_behind(self):
        """A cancellation may be lost in Python 3.11: the next one is still no reason to leave the job alone."""
        async with bench(binding=FINDABLE, pace=SLOW, kill_after=HOUR) as it:
            reads = 0

            async def read(*_args: object, **_kwargs: object) -> e.Event:
                nonlocal reads
                reads += 1
                try:
                    if reads < 3:
                        await asyncio.sleep(25)
                except asyncio.CancelledError:
                    if reads > 1:
                        raise
                return e.Redirected(HOLD) if reads < 3 else ENDED

            it.upstream.read = read
            it.upstream.on_start = [e.Followed(UpstreamMode.LONG_POLL, HOLD, KEY)]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            for _ in range(2):
                await asyncio.sleep(1)
                await it.store.request_cancel(job_id)
                await it.driver.heed([job_id])
            await it.until(job_id, State.SUCCEEDED, within=10)
            assert (reads, it.failed) == (3, [])

    async def test_each_request_gives_a_held_read_up(self):
        """The second as the first: what was once given up is not so for good."""
        async with bench(binding=FINDABLE, pace=SLOW, kill_after=HOUR) as it:
            it.upstream.on_start = [e.Followed(UpstreamMode.LONG_POLL, HOLD, KEY)]
            it.upstream.on_read = [pending(), pending(), ENDED]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            for _ in range(2):
                await asyncio.sleep(1)
                await it.store.request_cancel(job_id)
                await it.driver.heed([job_id])
            await it.until(job_id, State.SUCCEEDED, within=10)

    @pytest.mark.parametrize("given_up", [False, True])
    async def test_a_read_ends_with_the_replica(self, given_up: bool):
        """Whether or not it is given up in that very moment: it is not gone on with."""
        async with bench(binding=FINDABLE, pace=SLOW) as it:
            it.upstream.on_start = [e.Followed(UpstreamMode.LONG_POLL, HOLD, KEY)]
            it.upstream.on_read = [pending(), pending()]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(1)
            if given_up:
                await it.store.request_cancel(job_id)
                await it.driver.heed([job_id])
            await it.tasks.close()
            assert (elapsed(), len(it.upstream.reads), it.upstream.asked) == (1 * SECOND, 1, [])

    async def test_it_is_asked_again_when_asking_fails(self):
        """With a growing pause, and reads go on meanwhile."""
        async with bench(binding=FINDABLE, pace=Pace(floor=SECOND, ceiling=SECOND)) as it:
            it.upstream.on_start = [e.Followed(UpstreamMode.ASYNC, JOB, KEY)]
            it.upstream.on_read = [RUNNING]
            it.upstream.on_stop = [e.StopFailed("503")]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await it.store.request_cancel(job_id)
            await it.driver.heed([job_id])
            await asyncio.sleep(60)
            assert 6 <= len(it.upstream.asked) <= 12
            assert len(it.upstream.reads) > 40

    async def test_without_a_way_to_stop_it_the_request_changes_nothing(self):
        """Nobody is asked anything, and the job ends as it ends."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await it.store.request_cancel(job_id)
            await it.driver.heed([job_id])
            await asyncio.sleep(1)
            answer.set_result(ENDED)
            job = await it.until(job_id, State.SUCCEEDED)
            assert (job.cancel_requested, it.upstream.asked) == (True, [])

    async def test_it_is_found_by_the_replica_that_takes_the_job_over(self):
        """The request was kept; the one who was told of it is gone."""
        async with bench(binding=FINDABLE) as it:
            stored = await it.inherited(State.RUNNING)
            it.upstream.on_read, it.upstream.on_stop = [RUNNING], [e.Located(KEY), e.StopSent(StopStrategy.SOFT)]
            it.driver.follow(Stored(stored.job, None, stored.credential, Requests(cancel=True)), ME)
            await asyncio.sleep(1)
            assert [what for _, what in it.upstream.asked] == ["SoftStop", "SoftStop"]
            assert (await it.saved(stored.job.id)).upstream_key == KEY

    async def test_one_that_comes_before_its_job_is_known_to_be_followed(self):
        """The store had named this replica the follower, and its answer was still on its way."""
        async with bench(binding=FINDABLE, pace=SLOW) as it:
            stored = await it.inherited(State.RUNNING)
            it.upstream.on_read = [RUNNING]
            it.upstream.on_stop = [e.Located(KEY), e.StopSent(StopStrategy.SOFT)]
            await it.store.request_cancel(stored.job.id)
            await it.driver.heed([stored.job.id])
            it.store.down.add("requests")
            it.driver.follow(Stored(stored.job, None, stored.credential), ME)
            await asyncio.sleep(5)
            it.store.down.clear()
            await asyncio.sleep(1)
            assert [what for _, what in it.upstream.asked] == ["SoftStop", "SoftStop"]
            assert it.failed == []

    async def test_before_its_start_it_ends_at_once(self):
        """A job that waits for another try of its start is canceled without any call."""
        async with bench(start_retry=HOUR) as it:
            refused = e.StartRefused(OK, frees_key=True)
            it.upstream.on_start = [e.StartPostponed(elapsed() + HOUR, "later"), refused]
            job_id = await it.followed(not_before=it.clock.now() + HOUR)
            await it.store.request_cancel(job_id)
            await it.driver.heed([job_id])
            job = await it.until(job_id, State.CANCELED)
            assert (it.upstream.starts, elapsed(), job.frees_key) == ([], 0, True)

    async def test_cancel_after_needs_nobody_to_ask(self):
        """The record says when."""
        async with bench(binding=FINDABLE, pace=SLOW) as it:
            it.upstream.on_start = [e.Followed(UpstreamMode.JOBS, JOB, KEY)]
            it.upstream.on_read = [RUNNING]
            it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
            await it.followed(cancel_at=it.clock.now() + 90 * SECOND)
            await asyncio.sleep(100)
            assert it.upstream.asked == [(90 * SECOND, "SoftStop")]


class TestDoubt:
    """A job that may have been started is looked for, and never started again."""

    async def test_it_is_looked_for_until_it_is_found_and_then_followed(self):
        """The caller gets the outcome as if nothing had happened."""
        async with bench(binding=FINDABLE) as it:
            it.upstream.on_start = [AMBIGUOUS]
            it.upstream.on_reconcile = [NOTHING_YET, NOTHING_YET, FOUND]
            it.upstream.on_read = [ENDED]
            job_id = await it.followed()
            job = await it.until(job_id, State.SUCCEEDED)
            assert [what for _, what in it.upstream.asked] == ["reconcile"] * 3
            assert (len(it.upstream.starts), job.upstream_key, job.error) == (1, KEY, None)

    async def test_looking_slows_down_and_ends(self):
        """Three days of doubt cost some hundred looks, and then there is no verdict."""
        async with bench(binding=FINDABLE) as it:
            it.upstream.on_start, it.upstream.on_reconcile = [AMBIGUOUS], [NOTHING_YET]
            job_id = await it.followed()
            await it.until(job_id, State.EXPIRED)
            assert 300 < len(it.upstream.asked) < 1_000
            assert it.failed == []

    async def test_without_a_way_to_look_it_waits(self):
        """Only for a verdict by somebody else."""
        async with bench() as it:
            it.upstream.on_start = [AMBIGUOUS]
            job_id = await it.followed()
            await it.until(job_id, State.EXPIRED)
            assert it.upstream.asked == []

    @pytest.mark.parametrize(
        ("fate", "details", "state"),
        [
            (Fate.NEVER_RAN, {}, State.FAILED),
            (Fate.ENDED, {"outcome": OK}, State.SUCCEEDED),
            (Fate.RUNNING, {"leg": JOB, "key": KEY}, State.SUCCEEDED),
        ],
    )
    async def test_a_person_may_say_what_became_of_it(self, fate, details, state):
        """Even while Orchestrator is being asked."""
        async with bench(binding=FINDABLE) as it:
            it.upstream.on_start, it.upstream.on_reconcile = [AMBIGUOUS], [pending()]
            it.upstream.on_read = [ENDED]
            job_id = await it.followed()
            doubt = await it.until(job_id, State.UNKNOWN)
            await asyncio.sleep(2)
            assert it.upstream.asked
            assert await it.store.give_verdict(job_id, Verdict(fate, since=doubt.changed, **details))
            await it.driver.heed([job_id])
            await asyncio.sleep(1)
            job = await it.saved(job_id)
            assert (job.state, job.frees_key) == (state, fate is Fate.NEVER_RAN)
            assert (len(it.upstream.starts), len(it.tasks)) == (1, 0)
            assert it.failed == []

    async def test_a_verdict_ends_the_looking_at_once(self):
        """Though the store is slow with it: what Orchestrator would have answered counts no more."""
        async with bench(binding=FINDABLE) as it:
            found = pending()
            it.upstream.on_start, it.upstream.on_reconcile = [AMBIGUOUS], [found]
            job_id = await it.followed()
            doubt = await it.until(job_id, State.UNKNOWN)
            await asyncio.sleep(2)
            release = it.store.hang("save")
            await it.store.give_verdict(job_id, Verdict(Fate.ENDED, since=doubt.changed, outcome=OK))
            heeding = it.tasks.spawn(it.driver.heed([job_id]))
            await asyncio.sleep(0.1)
            assert found.cancelled()
            release.set()
            await heeding
            await asyncio.sleep(1)
            job = await it.saved(job_id)
            assert (job.state, job.upstream_key, it.failed) == (State.SUCCEEDED, None, [])

    async def test_a_verdict_on_another_doubt_is_none(self):
        """It may have been given on what was found out meanwhile."""
        async with bench() as it:
            it.upstream.on_start = [AMBIGUOUS]
            job_id = await it.followed()
            doubt = await it.until(job_id, State.UNKNOWN)
            await it.store.give_verdict(job_id, Verdict(Fate.NEVER_RAN, since=doubt.changed - 1))
            await it.driver.heed([job_id])
            await asyncio.sleep(1)
            assert (await it.saved(job_id)).state is State.UNKNOWN

    async def test_a_route_that_may_run_twice_is_started_again(self):
        """Its route says that it does no harm: then an ambiguous start is sent again, for as long as there is time."""
        async with bench(idempotent=True, start_retry=MINUTE) as it:
            it.upstream.on_start, it.upstream.on_read = [AMBIGUOUS, AMBIGUOUS, FOLLOWED], [ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 3

    async def test_such_a_route_s_inherited_start_too(self):
        """The replica that was sending it is gone."""
        async with bench(idempotent=True, start_retry=MINUTE) as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [ENDED]
            it.driver.follow(await it.inherited(State.STARTING), ME)
            await asyncio.sleep(10)
            assert len(it.upstream.starts) == 1


class TestHints:
    """A hint makes a job due, and decides nothing."""

    async def test_it_is_looked_at_sooner(self):
        """A job that would be read in minutes is read now."""
        async with bench(pace=SLOW) as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING, ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(5)
            it.driver.hurry(job_id)
            await asyncio.sleep(1)
            assert [call.at for call in it.upstream.reads] == [5 * SECOND]
            it.driver.hurry(job_id)
            await it.until(job_id, State.SUCCEEDED)
            assert elapsed() == 6 * SECOND

    async def test_what_a_list_shows_is_looked_at_sooner_too(self):
        """A job is found by its key in Orchestrator; when it ended, within the time between lists, is not known."""
        async with bench(pace=SLOW) as it:
            key = "ee9327fd-237d-419e-86ef-9946b34461e3"
            it.upstream.on_start = [e.Followed(UpstreamMode.JOBS, Leg(LegKind.JOB, "https://h/job"), key.upper())]
            it.upstream.on_read = [ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(5)
            it.driver.hurry_key("0" * 36)
            it.driver.hurry_key(key)
            await it.until(job_id, State.SUCCEEDED)
            assert elapsed() == 5 * SECOND
            assert [told for *_, told in it.ended] == [False]

    async def test_a_hint_that_comes_while_it_is_read_counts(self):
        """The end that the answer on its way tells of is one that a webhook told of."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await asyncio.sleep(5)
            assert len(it.upstream.reads) == 1
            it.driver.hurry(job_id)
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert [told for *_, told in it.ended] == [True]

    async def test_a_list_takes_no_hint_back(self):
        """It may show the end that a webhook has just told of, before the job is read."""
        async with bench() as it:
            it.upstream.on_start, it.upstream.on_read = [FOUND], [answer := asyncio.get_running_loop().create_future()]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            await asyncio.sleep(5)
            it.driver.hurry(job_id)
            it.driver.hurry_key(KEY)
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert [told for *_, told in it.ended] == [True]

    async def test_hints_without_end_are_not_reads_without_end(self):
        """No two reads are closer than the route's floor."""
        async with bench(pace=SLOW) as it:
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [RUNNING]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            for _ in range(1_000):
                it.driver.hurry(job_id)
                await asyncio.sleep(0.001)
            assert len(it.upstream.reads) <= 11

    async def test_one_that_comes_during_a_read_leads_to_another(self):
        """What the read is answered with may be older than what the hint is of."""
        async with bench(pace=SLOW) as it:
            job_id, answer = await it.reading()
            it.upstream.on_read = [answer, ENDED]
            await asyncio.sleep(7 * 60)
            assert len(it.upstream.reads) == 1
            it.driver.hurry(job_id)
            await asyncio.sleep(1)
            answer.set_result(RUNNING)
            await it.until(job_id, State.SUCCEEDED)
            assert len(it.upstream.reads) == 2

    async def test_a_job_is_known_by_its_key_while_it_is_followed(self):
        """Orchestrator names jobs by keys of its own."""
        async with bench(pace=SLOW) as it:
            it.upstream.on_start, it.upstream.on_read = [FOUND], [RUNNING, ENDED]
            job_id = await it.followed()
            await it.until(job_id, State.RUNNING)
            assert it.driver.followed_as(KEY) == job_id
            it.driver.hurry(job_id)
            await asyncio.sleep(1)
            it.driver.hurry(job_id)
            await it.until(job_id, State.SUCCEEDED)
            await asyncio.sleep(0)
            assert it.driver.followed_as(KEY) is None


def later(it, seconds):
    """Return the store's time in so many seconds; 0 for none."""
    return it.clock.now() + seconds * SECOND if seconds else 0


class TestSuspects:
    """A job that ends whoever follows it must not end all replicas, one after the other."""

    @pytest.mark.parametrize("pause", [0, 2, 300])
    async def test_one_taken_over_again_and_again_is_gone_on_with_later(self, pause):
        """When the store says so."""
        async with bench() as it:
            stored = await it.inherited(State.RUNNING)
            it.upstream.on_read = [ENDED]
            it.driver.follow(Stored(stored.job, None, stored.credential, rests_until=later(it, pause)), ME)
            await it.until(stored.job.id, State.SUCCEEDED)
            assert pause * SECOND <= elapsed() <= pause * SECOND + 150

    async def test_one_that_waits_for_its_time_is_none(self):
        """Nothing is done for a job in doubt that nobody can find: it does not end those who wait with it."""
        async with bench(unknown_ttl=MINUTE) as it:
            stored = await it.inherited(State.STARTING)
            it.driver.follow(Stored(stored.job, None, stored.credential, rests_until=later(it, 300)), ME)
            await it.until(stored.job.id, State.UNKNOWN)
            assert elapsed() <= SECOND
            saved = await it.saved(stored.job.id)
            it.driver.follow(Stored(saved, None, stored.credential, rests_until=later(it, 300)), ME)
            await it.until(stored.job.id, State.EXPIRED)
            assert MINUTE <= elapsed() <= MINUTE + SECOND

    async def test_what_was_asked_of_one_is_done_when_its_pause_is_over(self):
        """Canceling it is what an operator would do: the request is not forgotten, and does not end the pause."""
        async with bench(binding=FINDABLE, pace=SLOW) as it:
            stored = await it.inherited(State.RUNNING)
            it.upstream.on_read = [RUNNING]
            it.upstream.on_stop = [e.Located(KEY), e.StopSent(StopStrategy.SOFT)]
            requests = Requests(cancel=True)
            it.driver.follow(Stored(stored.job, None, stored.credential, requests, rests_until=later(it, 4)), ME)
            await asyncio.sleep(3.9)
            assert it.upstream.asked == []
            assert (await it.saved(stored.job.id)).cancel_requested
            await asyncio.sleep(0.2)
            assert it.upstream.asked == [(4 * SECOND, "SoftStop"), (4 * SECOND, "SoftStop")]


class TestLostRecords:
    """A store that forgot, or fell back: what its follower knows is put back, and nothing is started for it."""

    async def test_a_running_job_is_put_back(self):
        """With the secrets that following it needs, so that another replica can go on with it."""
        async with bench() as it:
            job_id, answer = await it.reading()
            await it.store.inner._redis.flushall()
            it.upstream.on_read = [answer, pending()]
            answer.set_result(e.Redirected(HOLD))
            await asyncio.sleep(1)
            assert (await it.saved(job_id)).state is State.RUNNING
            assert [row.job.id async for rows in it.store.take_over(ME, "other") for row in rows] == [job_id]
            assert await it.store.read_credential(job_id) is not None

    async def test_an_end_is_put_back_with_its_outcome(self):
        """Its callers can still read it; a repetition of the call is still one."""
        async with bench() as it:
            answer = pending()
            it.upstream.on_start, it.upstream.on_read = [FOLLOWED], [answer]
            job_id = await it.followed(key="ab" * 32, fingerprint="cd" * 32)
            await it.until(job_id, State.RUNNING)
            await it.store.inner._redis.flushall()
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert await it.store.read_body(job_id) == OK.body
            holder = await it.store.holder("ab" * 32, 3)
            assert (holder.job_id, holder.fingerprint) == (job_id, "cd" * 32)

    async def test_one_that_is_over_is_not(self):
        """Its tombstone says that another replica saw its end; whoever comes late is told that it lost the job."""
        async with bench() as it:
            job_id, answer = await it.reading()
            redis, keys = it.store.inner._redis, it.store.inner._keys
            await redis.delete(keys.job(job_id))
            await redis.set(keys.tombstone(job_id), "who")
            answer.set_result(ENDED)
            await asyncio.sleep(1)
            assert (it.lost, len(it.driver)) == ([job_id], 0)

    async def test_a_store_that_fell_back_is_brought_up_to_date(self):
        """A replica that lagged was promoted: it has the record of two changes ago."""
        async with bench() as it:
            job_id, answer = await it.reading()
            redis, keys = it.store.inner._redis, it.store.inner._keys
            await redis.hset(keys.job(job_id), mapping={"rev": 1})
            answer.set_result(ENDED)
            await it.until(job_id, State.SUCCEEDED)
            assert (await it.saved(job_id)).state is State.SUCCEEDED

    async def test_what_another_replica_follows_is_left_to_it(self):
        """However old its record is."""
        async with bench() as it:
            job_id, answer = await it.reading()
            redis, keys = it.store.inner._redis, it.store.inner._keys
            await redis.hset(keys.job(job_id), mapping={"rev": 1, "fol": "other"})
            before = await it.saved(job_id)
            answer.set_result(ENDED)
            await asyncio.sleep(1)
            assert (it.lost, await it.saved(job_id)) == ([job_id], before)


async def test_saves_of_others_in_between_do_not_lose_a_request():
    """A request that was kept is found even if nobody was told of it: whoever listens anew asks for all."""
    async with bench(binding=FINDABLE, pace=SLOW) as it:
        it.upstream.on_start, it.upstream.on_read = [FOUND], [RUNNING]
        it.upstream.on_stop = [e.StopSent(StopStrategy.SOFT)]
        job_id = await it.followed()
        job = await it.until(job_id, State.RUNNING)
        await it.store.request_cancel(job_id)
        stale = Save(job, job.revision - 1, secrets.token_hex(4), keep=HOUR)
        await it.store.inner.save(stale, "somebody else")
        await it.driver.heed()
        await asyncio.sleep(1)
        assert [what for _, what in it.upstream.asked] == ["SoftStop"]
