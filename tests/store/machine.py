"""A machine that lets replicas do anything, on one store, while its model does the same."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.core.delivery import KEPT_DEAD, SPAN, Attempt, Delivery, DeliveryState
from gateway.core.ids import make_id, partition_of
from gateway.core.job import Job, KeyScope, State
from gateway.core.policy import HOUR, MINUTE
from gateway.core.verdict import Fate, Verdict
from gateway.store.keys import Keys
from gateway.store.port import Attached, Canceling, Created, Held, KeyTaken, NewJob, Save, Saved, SavedEnd
from gateway.store.redis import RedisStore
from gateway.store.settings import StoreSettings
from tests.store.agreement import (
    as_the_model_says,
    each_live_row_has_one_follower,
    kept_as_long,
    nothing_stays_forever,
)
from tests.store.model import Model
from tests.store.picture import Contents, Picture, name_of
from tests.store.rows import BORN, change, end, job

LEASE = 10 * MINUTE
LIVE, RETENTION, BURIED = 6 * HOUR, 2 * HOUR, 10 * HOUR
REPLICAS = ["a", "b", "c"]
CHOSEN = make_id(3, b"chosen by callers"[:16])

ORDERS = {
    "plain": (None, KeyScope.CALL, 3),
    "call": ("03a", KeyScope.CALL, 3),
    "call elsewhere": ("05a", KeyScope.CALL, 5),
    "window": ("03w", KeyScope.WINDOW, 3),
    "run": ("03r", KeyScope.RUN, 3),
    "chosen": ("03c", KeyScope.CALL, 3),
}
"""The key, its scope and the partition of each kind of call."""

REFUSALS = {Saved.FENCED, Saved.MISSING, Attached.FULL, Attached.NEVER, Attached.TOMBSTONE}
REFUSALS |= {Canceling.ENDED, Canceling.NEVER, Canceling.SHARED, Canceling.TOMBSTONE}

Call = tuple[str, tuple[Any, ...]]
"""A verb of the model, and what it is given."""

VERBS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "create": lambda store, new, follower, keep: store.create(new, follower, keep=keep),
    "save": lambda store, save, follower: store.save(save, follower),
    "cancel": lambda store, job_id, share: store.request_cancel(job_id, share),
    "give_verdict": lambda store, job_id, verdict: store.give_verdict(job_id, verdict),
    "offer": lambda store, job_id, sealed: store.offer_credential(job_id, sealed),
    "erase": lambda store, job_id: store.erase(job_id),
    "attach": lambda store, delivery, follower: store.attach(delivery, follower),
    "save_delivery": lambda store, delivery, revision, follower, keep: store.save_delivery(
        delivery, revision, follower, keep=keep
    ),
    "redeliver": lambda store, delivery, revision, follower, keep: store.redeliver(
        delivery, revision, follower, keep=keep
    ),
}
"""The same verbs of the store."""


class Replicas(RuleBasedStateMachine):
    """Replicas that do anything, rightly or wrongly, on one store."""

    examples = itertools.count()

    def __init__(
        self, runner: asyncio.Runner, open_store: Callable[..., RedisStore], client: Any, kinds: Sequence[str]
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self._run = runner.run
        self._settings = StoreSettings(prefix=f"model{next(self.examples)}", lease=LEASE)
        self.keys = Keys(self._settings.prefix)
        self.model = Model(now=BORN, lease=self._settings.granted)
        self.store = open_store(self._settings, now=lambda: self.model.now)
        self.contents = Contents(client, self._settings.prefix)
        self.picture = Picture({}, {})
        self.counter = itertools.count(1)
        self.known: dict[str, list[Job]] = {}
        """Every record that some replica has ever had, by its job."""
        self.calls: list[Call] = []
        self.ended: dict[str, bytes] = {}
        self.disturbed: set[str] = set()
        """Rows that were lost while they lived: an outdated set may still name them."""
        self.earlier: tuple[Picture, Model] | None = None

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._run(self.contents.drop())
        self._run(self.store.close())

    # What both do, and how they are compared.

    def call(self, verb: str, *arguments: Any, again: bool = False) -> Any:
        """Have the store and the model do the same; `again`: the reply is lost, and the command sent once more."""
        answer = self._both(verb, arguments)
        self.calls.append((verb, arguments))
        if again:
            done = self.picture
            self._both(verb, arguments)
            assert self.picture.same(done), f"{verb} was applied twice"
        return answer

    def _both(self, verb: str, arguments: tuple[Any, ...]) -> Any:
        before = self.picture
        expected = getattr(self.model, verb)(*arguments)
        answer = self._run(VERBS[verb](self.store, *arguments))
        assert _comparable(answer) == _comparable(expected), f"{verb}: {answer}, and not {expected}"
        self.look()
        if _refuses(answer):
            assert before.same(self.picture), f"{verb} was refused and changed something"
        return answer

    def look(self) -> None:
        """Compare all that is in the store with the model, and with what holds whatever the model says."""
        self.picture = self._run(self.contents.picture())
        as_the_model_says(self.picture, self.model, self.keys)
        kept_as_long(self.picture, self.model)
        nothing_stays_forever(self.picture)
        each_live_row_has_one_follower(self.picture, self.model, self.keys, self.disturbed)
        self._an_end_is_an_end()

    def _an_end_is_an_end(self) -> None:
        ended = {name: value[b"rec"] for name, value in self.picture.of("job").items() if b"fol" not in value}
        for name, record in ended.items():
            assert self.ended.get(name, record) == record, "the record of an ended job has changed"
        self.ended = ended

    def _known(self, row: Job) -> Job:
        self.known.setdefault(row.id, []).append(row)
        return row

    def _some(self, data: st.DataObject) -> str:
        """Draw a job of the last few: more happens to one than if there were many."""
        return data.draw(st.sampled_from(list(self.known)[-3:]))

    # Replicas come and go.

    @initialize(kinds=st.permutations(list(ORDERS)))
    def begin(self, kinds):
        """Two replicas are there, and calls of two kinds come in."""
        self.kinds = [kind for kind in kinds if kind in self.kinds][:2]
        for name in REPLICAS[:2]:
            self.beat(name, join=True)

    @rule(name=st.sampled_from(REPLICAS), what=st.sampled_from(["beat", "join", "leave", "forget"]))
    def come_and_go(self, name, what):
        """A replica says that it is alive, or begins anew; or it goes; or what is left of it is cleared away."""
        if what in {"beat", "join"}:
            self.beat(name, join=what == "join")
        elif what == "leave":
            self.leave(name)
        else:
            self.forget(name)
        self.look()

    def beat(self, name: str, *, join: bool) -> None:
        """A lease is extended, or it is over; who else is dead is told as well."""
        beat = self._run(self.store.beat(name, join=join))
        expected = self.model.beat(name, join=join)
        assert msgspec.structs.replace(beat, dead=tuple(sorted(beat.dead))) == expected

    def leave(self, name: str) -> None:
        """The lease is over at once."""
        self._run(self.store.leave(name))
        if name in self.model.leases:
            self.model.leases[name] = 0

    def forget(self, name: str) -> None:
        """Unless it has something left."""
        if not any(name_of(key) == name for key in self.picture.values if ":followed:" in key):
            self.model.leases.pop(name, None)
        self._run(self.store.forget(name))

    @rule(pair=st.permutations(REPLICAS))
    def take_over(self, pair):
        """One takes over from another, whether that is dead or only believed to be; then asks again."""
        dead, taker = pair[:2]
        sets = [ids for key, ids in self.picture.values.items() if ":followed:" in key and name_of(key) == dead]
        expected = self.model.take_over(dead, taker, {row_id.decode() for ids in sets for row_id in ids})
        assert self._taken(dead, taker) == expected
        self.look()
        assert self._taken(dead, taker) == {}
        self.look()

    def _taken(self, dead: str, taker: str) -> dict[str, Any]:
        async def collect() -> list[Any]:
            return [row async for batch in self.store.take_over(dead, taker) for row in batch]

        return {row.id if isinstance(row, Delivery) else row.job.id: row for row in self._run(collect())}

    # Jobs.

    @rule(
        data=st.data(),
        follower=st.sampled_from(REPLICAS),
        fingerprint=st.sampled_from(["same", "same", "other"]),
        again=st.booleans(),
    )
    def create(self, data, follower, fingerprint, again):
        """A call comes in."""
        self.accept(data.draw(st.sampled_from(self.kinds)), follower, fingerprint, again=again)

    def accept(self, kind: str, follower: str = "a", fingerprint: str = "same", *, again: bool = False) -> Job:
        """Have a job created for a call of this kind, unless it repeats another; return it as it would begin."""
        key, scope, partition = ORDERS[kind]
        number = next(self.counter)
        window = HOUR if scope is KeyScope.WINDOW else 0
        row = job(
            id=CHOSEN if kind == "chosen" else make_id(partition, number.to_bytes(16, "big")),
            key=key,
            key_scope=scope,
            key_until=self.model.now + window,
            fingerprint=fingerprint if scope is KeyScope.CALL and key else key or "",
        )
        new = NewJob(row, b"start", b"bearer", f"call {number}", window, joins=scope is KeyScope.RUN)
        buried = set(self.picture.of("tomb"))
        if self.call("create", new, follower, LIVE, again=again) == Created():
            assert row.id not in buried, "a job that is over has begun again"
            self._known(row)
        return row

    def go_on(self, before: Job, to: str = "on", follower: str = "a", *, restores: bool = False) -> None:
        """Have a replica save what follows a record."""
        self.call("save", self._change(before, to, called_back=False, restores=restores), follower)

    @precondition(lambda self: self.model.rows)
    @rule(
        data=st.data(),
        states=st.lists(st.sampled_from(["on", "on", "on", "end", "refused"]), min_size=1, max_size=3),
        called_back=st.booleans(),
        again=st.booleans(),
    )
    def save(self, data, states, called_back, again):
        """The follower of a job saves what comes next."""
        for to in states:
            if live := [row for row in self.model.rows.values() if row.follower is not None]:
                row = data.draw(st.sampled_from(live[-3:]))
                save = self._change(row.job, to, called_back=called_back, restores=False)
                assert self.call("save", save, row.follower, again=again) is not Saved.FENCED

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        follower=st.sampled_from([None, None, None, *REPLICAS]),
        to=st.sampled_from(["on", "end", "refused"]),
        restores=st.booleans(),
        again=st.booleans(),
    )
    def save_anything(self, data, follower, to, restores, again):
        """Any replica saves what follows any record that there ever was: one that was paused, or that lost its jobs."""
        job_id = self._some(data)
        before = data.draw(st.sampled_from(self.known[job_id][-3:]))
        row = self.model.rows.get(job_id)
        if follower is None and row is not None:
            follower = row.follower
        if not before.state.terminal and follower is not None:
            self.call("save", self._change(before, to, called_back=False, restores=restores), follower, again=again)

    def _change(self, before: Job, to: str, *, called_back: bool, restores: bool) -> Save:
        number, terminal = next(self.counter), to != "on"
        words = {"message": f"change {number}"}
        if terminal:
            after = end(before, **words) if to == "end" else end(before, state=State.FAILED, frees_key=True, **words)
        else:
            after = change(before, state=State.STARTING if before.state is State.ACCEPTED else State.RUNNING, **words)
        self._known(after)
        delivery = _delivery(after, 0, self.model.now) if called_back and terminal else None
        return Save(
            job=after,
            revision=before.revision,
            operation=f"save {number}",
            keep=LIVE if not terminal else SPAN if delivery else RETENTION,
            tombstone=BURIED,
            key_keep=self._key_keep(after),
            restores=restores,
            start=b"start again",
            credential=b"bearer again",
            body=b"{}" if terminal else None,
            delivery=delivery,
        )

    def _key_keep(self, row: Job) -> int:
        if row.frees_key:
            return 0
        if row.key_scope is KeyScope.WINDOW:
            return max(row.key_until - self.model.now, 0)
        if row.state.terminal:
            return BURIED if row.key_scope is KeyScope.CALL else 0
        return LIVE

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        what=st.sampled_from(["cancel", "cancel by all", "erase", "erase", "verdict", "credential", "tell"]),
        again=st.booleans(),
    )
    def ask(self, data, what, again):
        """Somebody asks something of a job that there is, or was."""
        job_id = self._some(data)
        row = self.model.rows.get(job_id)
        shares = [] if row is None else [n for n in range(1, row.shares + 1)[-3:] if n not in row.given_up]
        match what:
            case "cancel by all":
                for share in shares or [0]:
                    self.call("cancel", job_id, share)
            case "cancel":
                self.call("cancel", job_id, data.draw(st.sampled_from([*shares, 0, 99])), again=again)
            case "erase":
                self.call("erase", job_id)
            case "verdict":
                self.call("give_verdict", job_id, Verdict(Fate.NEVER_RAN, next(self.counter)), again=again)
            case "credential":
                self.call("offer", job_id, b"new bearer")
            case _:
                requests = {name: row.requests for name, row in self.model.rows.items()}
                expected = {name: each for name, each in requests.items() if each.cancel or each.verdict}
                assert self._run(self.store.requests(list(self.known))) == expected

    # Deliveries.

    @precondition(lambda self: self.known)
    @rule(data=st.data(), which=st.integers(0, 2), follower=st.sampled_from(REPLICAS), again=st.booleans())
    def attach(self, data, which, follower, again):
        """Somebody wants to be called back."""
        row = self.known[self._some(data)][-1]
        self.call("attach", _delivery(row, which, self.model.now), follower, again=again)

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data(), state=st.sampled_from(DeliveryState), rightly=st.booleans(), again=st.booleans())
    def deliver(self, data, state, rightly, again):
        """A follower says what came of an attempt; or somebody who follows it no more, or knows an older record."""
        letter = data.draw(st.sampled_from(list(self.model.letters.values())))
        follower = letter.follower if rightly else data.draw(st.sampled_from(REPLICAS))
        if follower is None:
            return
        before = letter.delivery
        revision = before.revision if rightly else data.draw(st.integers(1, before.revision))
        attempt = Attempt(self.model.now, took=next(self.counter))
        after = msgspec.structs.replace(before, state=state, revision=revision + 1, attempts=(attempt,))
        keep = KEPT_DEAD if state.dead else SPAN
        self.call("save_delivery", after, revision, follower, keep, again=again)

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data(), follower=st.sampled_from(REPLICAS), behind=st.integers(0, 1), again=st.booleans())
    def redeliver(self, data, follower, behind, again):
        """Somebody wants it to be sent again."""
        before = data.draw(st.sampled_from(list(self.model.letters.values()))).delivery
        after = msgspec.structs.replace(before.again(self.model.now), made=next(self.counter))
        self.call("redeliver", after, before.revision - behind, follower, SPAN, again=again)

    # What nobody asked for.

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def come_late(self, data):
        """A command that was on its way for long arrives once more."""
        verb, arguments = data.draw(st.sampled_from(self.calls[-12:]))
        self._both(verb, arguments)

    @rule(milliseconds=st.sampled_from([*[5 * MINUTE, 11 * MINUTE, HOUR, 3 * HOUR] * 3, 7 * HOUR, 100 * HOUR]))
    def time_passes(self, milliseconds):
        """What is over goes away by itself."""
        live = {name for name, row in self.model.rows.items() if row.follower is not None}
        self.model.pass_time(milliseconds)
        self.disturbed |= live - set(self.model.rows)
        self._run(self.contents.age(milliseconds))
        if self.keys.replicas not in self._run(self.contents.picture()).values:
            self.model.leases.clear()
        self.look()

    @rule(data=st.data(), what=st.sampled_from(["row", "row", "row and rest", "replicate", "promote", "everything"]))
    def misfortune(self, data, what):
        """A row is lost, with what belongs to it or without; a store that lags is promoted; or somebody empties it."""
        if what == "replicate":
            self.earlier = (self.picture, self.model.copy())
        elif what == "promote" and self.earlier is not None:
            self.promote(*self.earlier)
        elif what == "everything":
            self.model = Model(now=self.model.now, lease=self.model.lease)
            self._run(self.contents.drop())
            self._disturb()
        elif self.model.rows:
            self.lose(data.draw(st.sampled_from(list(self.model.rows))), rest=what == "row and rest")

    def lose(self, job_id: str, *, rest: bool) -> None:
        """A job is lost; `rest`: with its key, outcome and tombstone."""
        row = self.model.rows.pop(job_id)
        lost = [self.keys.job(job_id)]
        if rest:
            lost += [self.keys.body(job_id), self.keys.tombstone(job_id)]
            self.model.bodies.pop(job_id, None)
            self.model.tombs.pop(job_id, None)
            if row.job.key is not None:
                lost.append(self.keys.idempotency(partition_of(job_id), row.job.key))
                self.model.keys.pop(row.job.key, None)
        self._run(self.contents.drop(*lost))
        self._disturb()

    def promote(self, picture: Picture, model: Model) -> None:
        """What was written since is gone."""
        age = self.model.now - model.now
        self.model = model.copy()
        self.model.pass_time(age)
        self._run(self.contents.put_back(picture, age))
        if self.keys.replicas not in self._run(self.contents.picture()).values:
            self.model.leases.clear()
        self._disturb()

    def _disturb(self) -> None:
        self.disturbed |= {*self.known, *self.model.letters}
        self.ended = {}
        self.look()


def _delivery(row: Job, which: int, now: int) -> Delivery:
    """Return the delivery of a job to one of a few URLs, always with the same id."""
    url = f"https://caller.example/{which}"
    digest = hashlib.sha256(f"{row.id} {url}".encode()).digest()
    return Delivery(make_id(partition_of(row.id), digest[:16]), row.id, url, created=now, due=now)


def _comparable(answer: Any) -> Any:
    return {each.id: each for each in answer.deliveries} if isinstance(answer, SavedEnd) else answer


def _refuses(answer: Any) -> bool:
    if isinstance(answer, Held):
        return answer.share == 0
    return isinstance(answer, KeyTaken | Delivery) or answer is False or answer in REFUSALS
