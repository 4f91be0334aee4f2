"""Intake: from an order to a job that is durable and followed, to an earlier one, or to nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from gateway.core import events as e
from gateway.core.errors import KeyReused, StoreUnavailable
from gateway.core.ids import is_id, partition_of
from gateway.core.job import Job, Outcome, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import DAY, HOUR, Deduplicate
from gateway.store.port import Gone
from gateway.worker.disown import disown
from gateway.worker.intake import Accepted, Intake, Order
from tests.caller.calls import policy
from tests.worker.doubles import ENDED, FOLLOWED, ME, START, bench

pytestmark = pytest.mark.looptime

KEEP = 3_600_000


def order(**fields: object) -> Order:
    """Return an order of the trigger `add`."""
    given = {
        "route": "add", "policy": policy(), "principal": "who", "token": "how", "bearer": "bearer-1",
        "mode": CallerMode.SYNC, "start": START, "arguments": 'POST /add\n{"n":1}', "origin": "https://gate.example",
    }  # fmt: skip
    return Order(**(given | fields))


@contextlib.asynccontextmanager
async def door(**rules: object):
    """Give a bench and the intake before it; whatever comes in is started and ends at once. `rules` as of a bench."""
    async with bench(**rules) as it:
        it.upstream.on_start, it.upstream.on_read = [FOLLOWED] * 9, [ENDED]
        counter = itertools.count(1)
        disowned = []

        def disowning(new, follower: str) -> asyncio.Task[bool]:
            disowned.append(new.job.id)
            return it.tasks.spawn(disown(it.store, new, follower, keep=KEEP, shown=60_000, now=it.clock.now()))

        intake = Intake(
            it.store,
            it.driver,
            it.clock,
            it.vault,
            naming=lambda: contextlib.nullcontext(ME),
            random=lambda size: (next(counter).to_bytes(4, "big") * size)[:size],
            disown=disowning,
        )
        it.disowned = disowned
        yield it, intake


async def test_every_try_of_a_start_has_the_bearer():
    """The first as it came, later ones from under the seal."""
    async with door(start_retry=HOUR) as (it, intake):
        refused = e.StartRefused(Outcome(429, (), b""), frees_key=True)
        it.upstream.on_start = [refused, refused, FOLLOWED]
        await it.until((await intake.accept(order())).job_id, State.SUCCEEDED)
        assert [call.bearer for call in it.upstream.starts] == ["bearer-1"] * 3


async def test_an_order_becomes_a_job():
    """Durable with all that is known of it, sealed, and followed."""
    async with door() as (it, intake):
        answer = asyncio.get_running_loop().create_future()
        it.upstream.on_start = [answer]
        accepted = await intake.accept(order(callback_url="https://caller.example/", mode=CallerMode.CALLBACK))
        job = await it.saved(accepted.job_id)
        assert is_id(job.id)
        assert accepted == Accepted(job.id)
        assert (job.route, job.principal, job.token, job.mode) == ("add", "who", "how", CallerMode.CALLBACK)
        assert (job.asked, job.callback_url, job.origin) == (
            UpstreamMode.ASYNC, "https://caller.example/", "https://gate.example",
        )  # fmt: skip
        assert (job.created, job.changed, job.deadline) == (it.clock.now(), it.clock.now(), it.clock.now() + DAY)
        assert job.key is None
        answer.set_result(FOLLOWED)
        await it.until(job.id, State.SUCCEEDED)
        assert [(call.what, call.bearer) for call in it.upstream.starts] == [(START, "bearer-1")]


async def test_the_store_knows_no_secrets():
    """Neither the bearer nor the start's body can be read there; both can be opened by whoever inherits the job."""
    async with door() as (it, intake):
        it.upstream.on_start = [asyncio.get_running_loop().create_future()]
        accepted = await intake.accept(order(bearer="very secret bearer"))
        raw = await it.store.inner._redis.hgetall(it.store.inner._keys.job(accepted.job_id))
        assert b"very secret" not in b"".join(raw.values())
        assert START.body not in b"".join(raw.values())
        ((stored,),) = [rows async for rows in it.store.inner.take_over(ME, "other")]
        assert it.vault.open_start(stored.job.id, stored.start) == START
        assert it.vault.open_credential(stored.job.id, stored.credential) == "very secret bearer"


async def test_under_the_gateways_own_credential_none_is_kept():
    """There is nothing to seal."""
    async with door() as (it, intake):
        accepted = await intake.accept(order(bearer=None))
        assert await it.store.inner.read_credential(accepted.job_id) is None
        await it.until(accepted.job_id, State.SUCCEEDED)


class TestIdempotencyKeys:
    """Create or attach."""

    async def test_the_same_call_again_is_the_same_job(self):
        """While it runs and after its end; it is started once."""
        async with door() as (it, intake):
            first = await intake.accept(order(idempotency_key="k"))
            assert await intake.accept(order(idempotency_key="k")) == Accepted(first.job_id, replayed=True)
            await it.until(first.job_id, State.SUCCEEDED)
            assert await intake.accept(order(idempotency_key="k")) == Accepted(first.job_id, replayed=True)
            assert len(it.upstream.starts) == 1

    async def test_at_once_from_many(self):
        """However many come together, one creates and the others attach."""
        async with door() as (it, intake):
            answers = await asyncio.gather(*(intake.accept(order(idempotency_key="k")) for _ in range(20)))
            assert len({answer.job_id for answer in answers}) == 1
            assert sum(not answer.replayed for answer in answers) == 1
            await it.until(answers[0].job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_other_arguments(self):
        """422, and nothing is started."""
        async with door() as (it, intake):
            await intake.accept(order(idempotency_key="k"))
            with pytest.raises(KeyReused):
                await intake.accept(order(idempotency_key="k", arguments='POST /add\n{"n":2}'))
            await asyncio.sleep(5)
            assert len(it.upstream.starts) == 1

    @pytest.mark.parametrize("other", [{"principal": "other"}, {"route": "other"}, {"idempotency_key": "K"}])
    async def test_a_key_is_of_a_principal_and_a_route(self, other: dict):
        """Nobody meets another's keys."""
        async with door() as (_, intake):
            first = await intake.accept(order(idempotency_key="k"))
            second = await intake.accept(order(**({"idempotency_key": "k"} | other)))
            assert first.job_id != second.job_id
            assert not second.replayed

    async def test_key_and_job_share_a_partition(self):
        """So that one script sees them together; and the store has the key's hash alone."""
        async with door() as (it, intake):
            accepted = await intake.accept(order(idempotency_key="secret-key"))
            job = await it.saved(accepted.job_id)
            assert partition_of(job.id) == int(job.key[:8], 16) % 256
            assert "secret-key" not in job.key
            again = Intake(
                it.store,
                it.driver,
                it.clock,
                it.vault,
                naming=lambda: contextlib.nullcontext(ME),
                random=bytes,
                disown=pytest.fail,
            )
            assert (await again.accept(order(idempotency_key="secret-key"))).job_id == job.id


class TestStoreDown:
    """The caller is told that nothing was sent; so nothing may ever be."""

    async def test_a_store_that_is_away(self):
        """503, and the job neither is nor becomes."""
        async with door() as (it, intake):
            it.store.down.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order())
            await asyncio.sleep(60)
            it.store.down.clear()
            await asyncio.sleep(5)
            (job_id,) = it.disowned
            found = await it.saved(job_id)
            assert (found.state, found.refused, found.error) == (State.FAILED, True, "store-unavailable")
            assert it.upstream.starts == []

    async def test_a_store_that_certainly_has_nothing(self):
        """It said no, or was never asked: there is nothing to see to, and nothing to wait for."""
        async with door() as (it, intake):
            it.store.refusing.add("create")
            began = it.clock.now()
            with pytest.raises(StoreUnavailable) as raised:
                await intake.accept(order())
            assert (raised.value.retryable, raised.value.job_id) == (True, None)
            assert (it.clock.now(), it.disowned, len(it.tasks)) == (began, [], 0)

    async def test_a_doubt_that_is_soon_over(self):
        """The store lives and only its reply was lost: what is disowned before the caller is told is certain."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            asyncio.get_running_loop().call_later(0.3, it.store.deaf.clear)
            with pytest.raises(StoreUnavailable) as raised:
                await intake.accept(order())
            assert (raised.value.retryable, raised.value.job_id) == (True, None)
            (job_id,) = it.disowned
            assert (await it.saved(job_id)).state is State.FAILED

    @pytest.mark.parametrize(
        ("fields", "retryable"),
        [
            ({}, False),
            ({"idempotency_key": "k"}, True),
            ({"chosen_id": "mine"}, True),
            ({"policy": policy(deduplicate=Deduplicate(60_000))}, True),
            ({"policy": policy(coalesce=True)}, False),
        ],
    )
    async def test_a_doubt_that_stays(self, fields: dict[str, object], retryable: bool):
        """The caller is told which job it may have; sending the call again is safe where it leads to the same job."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable) as raised:
                await intake.accept(order(**fields))
            assert (raised.value.job_id, raised.value.retryable) == (it.disowned[0], retryable)
            # Another replica would go on with it: that is what the caller can see.
            assert (await it.saved(it.disowned[0])).state is State.ACCEPTED

    async def test_a_reply_that_was_lost(self):
        """The job is in the store: it is ended there before anybody can start it."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order(idempotency_key="k"))
            (job_id,) = it.disowned
            assert (await it.saved(job_id)).state is State.ACCEPTED
            it.store.deaf.clear()
            await asyncio.sleep(5)
            assert (await it.saved(job_id)).state is State.FAILED
            assert [rows async for rows in it.store.inner.take_over(ME, "other")] == []
            assert it.upstream.starts == []

    @pytest.mark.parametrize("later", [0, 5])
    async def test_a_lease_that_was_lost_too(self, later: int):
        """The job comes back to this replica under its new name, before it could be ended: it is not started."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order())
            await asyncio.sleep(0.1)  # The first try to end it is made, and its reply lost as well.
            it.store.deaf.clear()
            taken = [row async for rows in it.store.inner.take_over(ME, "me-again") for row in rows]
            await asyncio.sleep(later)  # By then it is known that it cannot be ended under the former name.
            for row in taken:
                it.driver.refollow(row, "me-again")
            await asyncio.sleep(60)
            (job_id,) = it.disowned
            assert it.upstream.starts == []
            assert (await it.saved(job_id)).error == "store-unavailable"

    async def test_the_key_is_free_again(self):
        """The caller was told to try again: the next call with the same key is a new job."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order(idempotency_key="k"))
            it.store.deaf.clear()
            await asyncio.sleep(5)
            accepted = await intake.accept(order(idempotency_key="k"))
            assert not accepted.replayed
            assert accepted.job_id not in it.disowned
            await it.until(accepted.job_id, State.SUCCEEDED)
            assert len(it.upstream.starts) == 1

    async def test_an_outage_does_not_gather_calls_without_end(self):
        """Of so many it is not known whether the store has their jobs; until it is, others are turned away at once."""
        async with door() as (it, intake):
            it.store.down.add("create")
            refused = await asyncio.gather(*(intake.accept(order()) for _ in range(1_100)), return_exceptions=True)
            assert [type(each) for each in refused] == [StoreUnavailable] * 1_100
            assert [each.job_id is None for each in refused] == [False] * 1_000 + [True] * 100
            assert (len(it.disowned), len(it.tasks)) == (1_000, 1_000)
            it.store.down.clear()
            await asyncio.sleep(30)
            assert len(it.tasks) == 0
            await it.until((await intake.accept(order())).job_id, State.SUCCEEDED)

    async def test_what_is_disowned_is_shown_for_a_while_and_over_for_good(self):
        """The store is not filled with refused calls, nor does a creation that comes late begin one of them."""
        async with door() as (it, intake):
            it.store.deaf.add("create")
            with pytest.raises(StoreUnavailable):
                await intake.accept(order())
            it.store.deaf.clear()
            await asyncio.sleep(5)
            (job_id,) = it.disowned
            redis, keys = it.store.inner._redis, it.store.inner._keys
            assert 0 < await redis.pttl(keys.job(job_id)) <= 60_000
            assert 60_000 < await redis.pttl(keys.tombstone(job_id)) <= KEEP

    async def test_disowning_survives_lost_replies(self):
        """Both of its steps are tried until they are through, and both may have been applied before."""
        async with door() as (it, intake):
            it.store.deaf |= {"create", "save"}
            with pytest.raises(StoreUnavailable):
                await intake.accept(order())
            await asyncio.sleep(10)
            it.store.deaf.clear()
            await asyncio.sleep(5)
            (job_id,) = it.disowned
            found = await it.store.inner.read(job_id)
            assert isinstance(found, Job)
            assert found is not Gone.NEVER
            assert found.state is State.FAILED
            assert it.failed == []
