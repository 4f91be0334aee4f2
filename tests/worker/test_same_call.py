"""What makes a later call the same call: a chosen id, what the route takes for one call, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core import events as e
from gateway.core.errors import BadArgumentsProblem, KeyReused, StoreUnavailable, UpstreamUnreachable
from gateway.core.job import State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome
from gateway.core.policy import HOUR, MINUTE, SECOND, Binding, Deduplicate, SameCall
from gateway.store.port import Canceling
from gateway.worker.intake import Accepted
from tests.caller.calls import policy
from tests.worker.doubles import ENDED, FOLLOWED
from tests.worker.test_intake import door, order

pytestmark = pytest.mark.looptime

WINDOW = policy(deduplicate=Deduplicate(60 * SECOND))
SHARED = policy(coalesce=True)
OTHER = 'POST /add\n{"n":2}'


def pending() -> asyncio.Future:
    """Return an answer that has not come yet."""
    return asyncio.get_running_loop().create_future()


class TestWindow:
    """`deduplicate`: for callers that send a call again because nobody answered in time."""

    async def test_the_same_call_within_the_window_is_the_same_job(self):
        """Running or ended."""
        async with door() as (it, intake):
            first = await intake.accept(order(policy=WINDOW))
            await it.until(first.job_id, State.SUCCEEDED)
            await asyncio.sleep(30)
            assert await intake.accept(order(policy=WINDOW)) == Accepted(first.job_id, replayed=True)
            assert len(it.upstream.starts) == 1

    @pytest.mark.parametrize("other", [{"arguments": OTHER}, {"principal": "else"}, {"route": "sub"}])
    async def test_another_call_is_another_job(self, other):
        """Another caller, other arguments, another route."""
        async with door() as (_, intake):
            first = await intake.accept(order(policy=WINDOW))
            second = await intake.accept(order(policy=WINDOW, **other))
            assert (second.replayed, second.job_id == first.job_id) == (False, False)

    async def test_what_must_be_equal_is_the_routes_to_say(self):
        """Two callers, one invoice."""
        same = policy(deduplicate=Deduplicate(60 * SECOND, frozenset({SameCall.ARGUMENTS})))
        async with door() as (_, intake):
            first = await intake.accept(order(policy=same))
            assert (await intake.accept(order(policy=same, principal="else"))).job_id == first.job_id

    async def test_an_idempotency_key_says_more_than_the_route(self):
        """A caller that says which calls are one is believed."""
        async with door() as (_, intake):
            first = await intake.accept(order(policy=WINDOW, idempotency_key="1"))
            second = await intake.accept(order(policy=WINDOW, idempotency_key="2"))
            assert first.job_id != second.job_id

    async def test_the_keys_window_ends(self):
        """Also for a job that is saved after it."""
        async with door() as (it, intake):
            answer = pending()
            it.upstream.on_read = [answer]
            accepted = await intake.accept(order(policy=WINDOW))
            job = await it.until(accepted.job_id, State.RUNNING)
            await asyncio.sleep(61)
            answer.set_result(ENDED)
            await it.until(accepted.job_id, State.SUCCEEDED)
            assert await it.store.holder(job.key, int(job.id[:2], 16)) is None


class TestShared:
    """`coalesce`: equal calls share one job while it runs."""

    async def test_calls_share_a_running_job(self):
        """Each has a share of its own."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending()]
            answers = [await intake.accept(order(policy=SHARED)) for _ in range(3)]
            assert len({answer.job_id for answer in answers}) == 1
            assert [(answer.share, answer.replayed) for answer in answers] == [(1, False), (2, True), (3, True)]

    async def test_joining_leaves_nothing_in_the_job_s_record(self):
        """However many share it: what tells a repeated call from another is kept for an hour, and beside it."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending()]
            first = await intake.accept(order(policy=SHARED))
            redis, keys = it.store.inner._redis, it.store.inner._keys
            await asyncio.sleep(1)
            fields = await redis.hlen(keys.job(first.job_id))
            for _ in range(50):
                await intake.accept(order(policy=SHARED))
            assert await redis.hlen(keys.job(first.job_id)) == fields
            marks = [mark async for mark in redis.scan_iter(f"{keys.join_prefix(first.job_id)}*")]
            assert len(marks) == 50
            assert all([0 < await redis.pttl(mark) <= HOUR for mark in marks])

    async def test_an_ended_job_is_not_shared(self):
        """The next call is one of its own."""
        async with door() as (it, intake):
            first = await intake.accept(order(policy=SHARED))
            await it.until(first.job_id, State.SUCCEEDED)
            assert (await intake.accept(order(policy=SHARED))).job_id != first.job_id

    async def test_it_is_canceled_when_the_last_share_asks(self):
        """Twice by one is once; what is nobody's share counts for nothing."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending()]
            *_, last = [await intake.accept(order(policy=SHARED)) for _ in range(3)]
            job_id = last.job_id
            said = [await it.store.request_cancel(job_id, share) for share in (1, 1, 0, 4, 3, 2)]
            assert said == [
                Canceling.WAITING, Canceling.WAITING, Canceling.SHARED, Canceling.SHARED, Canceling.WAITING,
                Canceling.ASKED,
            ]  # fmt: skip

    async def test_a_call_that_was_refused_keeps_no_share(self):
        """It had joined, and was told that nothing was done: those who are left can cancel."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending()]
            first = await intake.accept(order(policy=SHARED))
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order(policy=SHARED))
            it.store.deaf.clear()
            await asyncio.sleep(1)
            assert await it.store.request_cancel(first.job_id, 1) is Canceling.ASKED

    async def test_one_that_is_being_canceled_is_given_up(self):
        """Who comes then wants it to run."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending(), pending()]
            first = await intake.accept(order(policy=SHARED))
            await it.store.request_cancel(first.job_id, 1)
            second = await intake.accept(order(policy=SHARED))
            assert (second.job_id != first.job_id, second.replayed, second.share) == (True, False, 1)

    async def test_with_a_window_it_is_the_same_call_after_its_end_too(self):
        """The job is shared while it runs, and its outcome until the window ends."""
        both = policy(coalesce=True, deduplicate=Deduplicate(MINUTE))
        async with door() as (it, intake):
            first = await intake.accept(order(policy=both))
            await it.until(first.job_id, State.SUCCEEDED)
            assert await intake.accept(order(policy=both)) == Accepted(first.job_id, replayed=True)

    async def test_a_lost_reply_takes_no_second_share(self):
        """The client of the store sends a create again; the call has one share all the same."""
        async with door() as (it, intake):
            it.upstream.on_start = [pending()]
            await intake.accept(order(policy=SHARED))
            again = intake._new(order(policy=SHARED))
            answers = [await it.store.inner.create(again, "other", keep=MINUTE) for _ in range(2)]
            assert [answer.share for answer in answers] == [2, 2]


class TestChosenId:
    """An id of the caller's own choice."""

    async def test_it_leads_to_one_job(self):
        """The same for the same caller, another for another."""
        async with door() as (_, intake):
            first = await intake.accept(order(chosen_id="invoice 7"))
            assert await intake.accept(order(chosen_id="invoice 7")) == Accepted(first.job_id, replayed=True)
            assert (await intake.accept(order(chosen_id="invoice 8"))).job_id != first.job_id
            assert (await intake.accept(order(chosen_id="invoice 7", principal="else"))).job_id != first.job_id

    async def test_with_other_arguments_it_is_refused(self):
        """An id names one call."""
        async with door() as (_, intake):
            await intake.accept(order(chosen_id="invoice 7"))
            with pytest.raises(KeyReused):
                await intake.accept(order(chosen_id="invoice 7", arguments=OTHER))

    async def test_it_is_free_again_when_nothing_ran(self):
        """As an idempotency key is: the call can be sent again, however often nothing comes of it."""
        unreachable = e.StartRefused(problem_outcome(UpstreamUnreachable()), frees_key=True)
        async with door() as (it, intake):
            it.upstream.on_start = [unreachable, unreachable, FOLLOWED]
            failed = set()
            for _ in range(2):
                accepted = await intake.accept(order(chosen_id="invoice 7"))
                assert not accepted.replayed
                await it.until(accepted.job_id, State.FAILED)
                failed.add(accepted.job_id)
            again = await intake.accept(order(chosen_id="invoice 7"))
            assert (again.replayed, again.job_id in failed, len(failed)) == (False, False, 2)
            await it.until(again.job_id, State.SUCCEEDED)
            assert await intake.accept(order(chosen_id="invoice 7")) == Accepted(again.job_id, replayed=True)
            assert len(it.upstream.starts) == 3

    async def test_it_stays_free_when_the_refusal_is_no_longer_shown(self):
        """A refused start is kept for minutes; its tombstone holds the id no more than its record did."""
        async with door() as (it, intake):
            refusal = e.StartRefused(problem_outcome(UpstreamUnreachable()), frees_key=True)
            it.upstream.on_start = [refusal, FOLLOWED]
            refused = await intake.accept(order(chosen_id="invoice 7"))
            await it.until(refused.job_id, State.FAILED)
            await asyncio.sleep(1)
            assert await it.store.erase(refused.job_id)
            again = await intake.accept(order(chosen_id="invoice 7"))
            assert (again.replayed, again.job_id != refused.job_id) == (False, True)

    async def test_one_that_ran_holds_it_beyond_its_record(self):
        """As long as anything of the job is remembered, the call starts no other."""
        async with door() as (it, intake):
            first = await intake.accept(order(chosen_id="invoice 7"))
            await it.until(first.job_id, State.SUCCEEDED)
            await asyncio.sleep(1)
            assert await it.store.erase(first.job_id)
            assert await intake.accept(order(chosen_id="invoice 7")) == Accepted(first.job_id, replayed=True)
            assert len(it.upstream.starts) == 1

    async def test_whether_it_is_free_again_is_not_guessed(self):
        """A store that cannot say is a reason to try again later."""
        async with door() as (it, intake):
            first = await intake.accept(order(chosen_id="invoice 7"))
            it.store.down.add("read")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order(chosen_id="invoice 7"))
            it.store.down.clear()
            assert (await intake.accept(order(chosen_id="invoice 7"))).job_id == first.job_id


class TestCorrelation:
    """The job's id goes into the start, where the route says so."""

    async def test_a_trigger_gets_it_as_an_argument(self):
        """What is sealed, and what is sent."""
        found = policy(binding=Binding(api=True, correlation="callmodeJob"))
        async with door() as (it, intake):
            accepted = await intake.accept(order(policy=found))
            await it.until(accepted.job_id, State.SUCCEEDED)
            assert it.upstream.starts[0].what.body == b'{"callmodeJob":"' + accepted.job_id.encode() + b'","n":1}'

    async def test_a_caller_cannot_choose_it(self):
        """Nothing is stored or sent."""
        taken = policy(binding=Binding(api=True, correlation="N"))
        async with door() as (it, intake):
            with pytest.raises(BadArgumentsProblem):
                await intake.accept(order(policy=taken))
            assert it.store.calls["create"] == 0

    async def test_mode_jobs_names_it_as_the_reference(self):
        """The one start that can be found exactly."""
        jobs = policy(upstream_mode=UpstreamMode.JOBS, binding=Binding(api=True, process="Add"))
        async with door() as (it, intake):
            it.upstream.on_start = [FOLLOWED]
            accepted = await intake.accept(order(policy=jobs))
            await it.until(accepted.job_id, State.SUCCEEDED)
            assert f'"Reference":"{accepted.job_id}"'.encode() in it.upstream.starts[0].what.body
