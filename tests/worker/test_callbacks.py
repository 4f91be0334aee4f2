"""Adding callbacks and sending them again while the store comes and goes; the rest is tested over HTTP."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial

import pytest

from gateway.core.delivery import Delivery, DeliveryState, delivery_id
from gateway.core.errors import BadCallback, JobExpired, JobUnavailable, NotFound, ResultNotReady, StoreUnavailable
from gateway.core.job import Job, State
from gateway.worker.callbacks import Added, Callbacks, Callee
from gateway.worker.guard import Guard
from gateway.worker.settings import CallbackSettings
from tests.worker.doubles import ENDED, FOLLOWED, ME, RUNNING, Bench, bench

pytestmark = pytest.mark.looptime

URL, OTHER = "https://caller.example/hook", "https://other.example/hook"
CALLEE = Callee("who", "subject of who")


@dataclass
class Desk:
    """Callbacks on a bench, and what they had followed."""

    bench: Bench
    callbacks: Callbacks
    followed: list[tuple[Delivery, str]] = field(default_factory=list)

    async def running(self, **fields: object) -> Job:
        """Return a job that runs."""
        self.bench.upstream.on_start, self.bench.upstream.on_read = [FOLLOWED], [RUNNING]
        return await self.bench.until(await self.bench.followed(**fields), State.RUNNING)

    async def ended(self, **fields: object) -> Job:
        """Return a job that has ended."""
        self.bench.upstream.on_start, self.bench.upstream.on_read = [FOLLOWED], [ENDED]
        job_id = await self.bench.followed(**fields)
        await self.bench.until(job_id, State.SUCCEEDED)
        return await self.bench.saved(job_id)


@contextlib.asynccontextmanager
async def desk():
    """Give callbacks over a store that fails on demand."""
    async with bench() as it:
        parts = Desk(it, None)
        parts.callbacks = Callbacks(
            it.store,
            Guard(CallbackSettings(allow=("*.example",))),
            it.vault,
            it.clock,
            naming=lambda: contextlib.nullcontext(ME),
            follow=lambda delivery, follower: parts.followed.append((delivery, follower)),
            receiver=partial(it.vault.hash, "receiver"),
        )
        yield parts


async def test_an_answer_that_was_lost():
    """Whether it was added is not known: it is followed in any case, and asking again tells of the same one."""
    async with desk() as it:
        job = await it.ended()
        it.bench.store.deaf.add("attach")
        with pytest.raises(JobUnavailable):
            await it.callbacks.attach(job, URL, CALLEE)
        assert [(delivery.url, follower) for delivery, follower in it.followed] == [(URL, ME)]
        it.bench.store.deaf.clear()
        again = await it.callbacks.attach(job, URL, CALLEE)
        assert (again.new, again.waits, again.delivery.id) == (False, False, delivery_id(job.id, URL))
        assert await it.callbacks.of(job) == [again.delivery]


async def test_another_caller_of_a_shared_job_is_told_apart():
    """Its delivery names it; the starter's names nobody."""
    async with desk() as it:
        job = await it.running()
        own = await it.callbacks.attach(job, URL, CALLEE)
        others = await it.callbacks.attach(job, OTHER, Callee("somebody else", "another subject"))
        assert (own.delivery.principal, others.delivery.principal) == ("", "somebody else")
        subjects = [it.bench.vault.open_subject(job.id, each.delivery.subject) for each in (own, others)]
        assert subjects == ["subject of who", "another subject"]


async def test_the_starters_own_url_is_what_it_has_already():
    """No row is written for it before the end, and it is listed once."""
    async with desk() as it:
        job = await it.running(callback_url=URL)
        added = await it.callbacks.attach(job, URL, CALLEE)
        assert added == Added(added.delivery, new=False, waits=True)
        assert it.bench.store.calls["attach"] == 0
        assert await it.callbacks.of(job) == [added.delivery]
        await it.callbacks.attach(job, OTHER, CALLEE)
        assert [each.url for each in await it.callbacks.of(job)] == [URL, OTHER]


async def test_nothing_is_added_where_nothing_may_go():
    """The guard is asked first."""
    async with desk() as it:
        job = await it.ended()
        with pytest.raises(BadCallback):
            await it.callbacks.attach(job, "https://elsewhere.test/", CALLEE)
        assert it.followed == []


async def test_nothing_is_added_to_a_job_that_is_gone():
    """410 for what was, 404 for what never was."""
    async with desk() as it:
        job = await it.ended()
        await it.bench.store.inner.erase(job.id)
        with pytest.raises(JobExpired):
            await it.callbacks.attach(job, URL, CALLEE)
        with pytest.raises(NotFound):
            await it.callbacks.attach(job.with_(id=it.bench.new().job.id), URL, CALLEE)


async def test_sending_again_while_the_answer_is_lost():
    """It is followed in any case: its row says whether it is to be sent."""
    async with desk() as it:
        job = await it.ended()
        delivery = (await it.callbacks.attach(job, URL, CALLEE)).delivery
        it.bench.store.deaf.add("redeliver")
        with pytest.raises(JobUnavailable):
            await it.callbacks.redeliver(job, delivery)
        assert [follower for _, follower in it.followed] == [ME, ME]
        held = (await it.bench.store.inner.read_delivery(delivery.id)).delivery
        assert (held.revision, held.state) == (2, DeliveryState.PENDING)


async def test_sending_again_what_waits_or_is_not_there():
    """Neither is followed."""
    async with desk() as it:
        job = await it.running()
        delivery = (await it.callbacks.attach(job, URL, CALLEE)).delivery
        it.followed.clear()
        with pytest.raises(ResultNotReady):
            await it.callbacks.redeliver(job, delivery)
        with pytest.raises(NotFound):
            await it.callbacks.find(delivery_id(job.id, OTHER))
        with pytest.raises(NotFound):
            await it.callbacks.find("no id at all")
        assert it.followed == []


@pytest.mark.parametrize(
    ("verb", "ask", "problem"),
    [
        ("attach", lambda it, job: it.attach(job, OTHER, CALLEE), JobUnavailable),
        ("deliveries", lambda it, job: it.of(job), JobUnavailable),
        ("read_delivery", lambda it, job: it.find(delivery_id(job.id, URL)), StoreUnavailable),
        ("dead_letters", lambda it, _: it.dead(DeliveryState.FAILED, limit=1, after=None), StoreUnavailable),
    ],
)
async def test_while_the_store_is_away(verb, ask, problem):
    """Each says so, and as a job's only where it is known to be somebody's."""
    async with desk() as it:
        job = await it.ended()
        await it.callbacks.attach(job, URL, CALLEE)
        it.bench.store.down.add(verb)
        with pytest.raises(problem) as told:
            await ask(it.callbacks, job)
        assert told.value.job_id == (job.id if problem is JobUnavailable else None)
