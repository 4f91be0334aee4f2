"""Whatever two followers do in whatever order: one change per revision, and no revision comes back."""

from __future__ import annotations

import asyncio
import secrets

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.codec import decode_job
from gateway.store.port import Created, Saved, Stored
from tests.store.rows import KEEP, change, job, new, save_of

SIDES = st.sampled_from([0, 1])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["save", "repeat", "take"]), SIDES),
        st.tuples(st.just("race"), st.just(0)),
    ),
    max_size=25,
)
ON_SHARED_SERVERS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Replica:
    """A follower with its own, perhaps outdated, view of one job."""

    def __init__(self, store, row) -> None:
        self.name = secrets.token_hex(8)
        self.view = row
        self._store = store
        self._last = None

    async def save(self):
        """Try to save the next change; return it, and what came of it."""
        self._last = save_of(change(self.view, message=secrets.token_hex(8)))
        return await self.repeat()

    async def repeat(self):
        """Try the last change (again); return it, and what came of it."""
        if self._last is None:
            return None, Saved.MISSING
        answer = await self._store.save(self._last, self.name)
        if answer is Saved.SAVED and self._last.job.revision > self.view.revision:
            self.view = self._last.job
        return self._last, answer

    async def take(self, other):
        """Take the job over from `other`, if it is there to be taken; return whether it was."""
        rows = [row async for batch in self._store.take_over(other.name, self.name) for row in batch]
        for row in rows:
            assert isinstance(row, Stored)
            self.view = row.job
        return bool(rows)


class Ledger:
    """What the store held after each step, and which changes it said that it applied."""

    def __init__(self, raw, key, row) -> None:
        self._raw, self._key = raw, key
        self.held = row
        self.applied = {row.revision: None}

    async def enter(self, results):
        """Look at the store after a step, and hold it against what the step was told."""
        record, revision = await self._raw.hmget(self._key, "rec", "rev")
        now = decode_job(record)
        assert int(revision) == now.revision, "the fence and the record are one"
        assert self.held.revision <= now.revision <= self.held.revision + 1, "a step moves one revision or none"
        if now.revision == self.held.revision:
            assert now == self.held, "a record changes with its revision only"
        for save, answer in results:
            if answer is Saved.SAVED:
                first = self.applied.setdefault(save.job.revision, save.operation)
                assert first == save.operation, "two changes were applied at one revision"
        if now.revision > self.held.revision:
            assert now.revision in self.applied, "a change was applied that nobody was told of"
            assert now in [save.job for save, answer in results if answer is Saved.SAVED]
        self.held = now


@ON_SHARED_SERVERS
@given(steps=STEPS)
async def test_saves_and_takings_in_any_order(store, raw, keys, steps):
    """Each revision is reached by one change, and only the follower of the moment makes one."""
    row = job()
    replicas = [Replica(store, row), Replica(store, row)]
    owner = 0
    assert await store.create(new(row), replicas[0].name, keep=KEEP) == Created()
    ledger = Ledger(raw, keys.job(row.id), row)
    for step, side in steps:
        replica, other = replicas[side], replicas[1 - side]
        if step == "take":
            taken = await replica.take(other)
            assert taken == (owner == 1 - side)
            owner = side
            results = []
        elif step == "race":
            results = await asyncio.gather(*(each.save() for each in replicas))
        else:
            before = ledger.held.revision
            results = [await getattr(replica, step)()]
            moved = (await store.read(row.id)).revision > before
            assert not moved or side == owner, "only the follower moves the record"
        await ledger.enter([(save, answer) for save, answer in results if save is not None])


@ON_SHARED_SERVERS
@given(racers=st.integers(2, 8))
async def test_of_competing_saves_one_is_applied(store, racers):
    """Any number of changes of one revision at once, by one follower: one is saved, the others fenced."""
    row = job()
    assert await store.create(new(row), "a", keep=KEEP) == Created()
    saves = [save_of(change(row, message=str(number))) for number in range(racers)]
    answers = await asyncio.gather(*(store.save(save, "a") for save in saves))
    assert sorted(answer.value for answer in answers) == ["fenced"] * (racers - 1) + ["saved"]
    assert await store.read(row.id) == saves[answers.index(Saved.SAVED)].job
