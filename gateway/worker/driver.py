"""The driver: for each job that this replica follows, `plan → perform → apply → save`, again and again.

A job between two actions is one heap entry and no task. Save, then answer: whoever waits is woken when the store has
the change, and of an end from memory if saving takes longer than `answer_unsaved`; the save is then retried until it is
through, while the job goes on. One thing never goes on unsaved: a start is not sent before its intent is in the store.

A task begins as a job's step. When there is nothing more to do for now, it is the step no longer, and saves what is
new: so saving neither holds the job up nor costs a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.delivery import Delivery, starters_delivery
from gateway.core.errors import InternalError, StoreUnavailable
from gateway.core.job import Job, LegKind
from gateway.core.outcome import problem_outcome
from gateway.core.plan import Action, Conclude, Read, Reconcile, Start, Stop, plan, postponed
from gateway.core.policy import SECOND, Policy
from gateway.core.start import StartRequest
from gateway.store.port import Requests, Store, Stored
from gateway.worker.clock import Clock
from gateway.worker.entry import Entry
from gateway.worker.feed import Feed
from gateway.worker.held import Held
from gateway.worker.inbox import Inbox
from gateway.worker.performer import Performer
from gateway.worker.port import Observer, Policies, Upstream
from gateway.worker.saver import Saver
from gateway.worker.schedule import Schedule
from gateway.worker.tasks import Tasks
from gateway.worker.vault import Vault

_AFTER_LAPSE = 1 * SECOND

_AFTER_DEFECT = 5 * SECOND

_BATCH = 500
"""Jobs that the store is asked about in one go."""

_NOTHING = Requests()
"""What is asked of most jobs."""

_ENDS = (e.StartRefused, e.Ended, e.GaveUp, e.Canceled)
"""Events with an outcome."""

_TELL_AGES = (e.Ended, e.Redirected)
"""Events that may say how long a job took."""

_OWN_ENDS = (e.GaveUp, e.Canceled, e.VerdictMissed)
"""Ends that the gateway makes. A replica that has lost the job may come to one when another knows of a real one."""


class Driver:
    """Follows jobs.

    `ended` is told of ends and of redirects, with the records before and after, and whether something had said that
    there would be news; `random` gives bytes for ids; `deliver` is handed the deliveries that ends create; `lost` is
    told of jobs that another replica has taken over, `failed` of defects; `holds` says whether nobody can have taken
    any over from an incarnation yet.
    """

    def __init__(
        self,
        *,
        store: Store,
        upstream: Upstream,
        vault: Vault,
        policies: Policies,
        clock: Clock,
        feed: Feed,
        tasks: Tasks,
        observe: Observer,
        ended: Callable[[Job, Job, e.Event, bool], None],
        random: Callable[[int], bytes],
        deliver: Callable[[Delivery, str], None],
        lost: Callable[[str], None],
        holds: Callable[[str], bool],
        paused: Callable[[], bool],
        failed: Callable[[BaseException], None],
        held: Held | None = None,
        answer_unsaved: int = 500,
    ) -> None:
        self._store = store
        self._vault = vault
        self._policies = policies
        self._clock = clock
        self._feed = feed
        self._tasks = tasks
        self._observe = observe
        self._ended = ended
        self._random = random
        self._deliver = deliver
        self._lost = lost
        self._holds = holds
        self._paused = paused
        self._failed = failed
        self._held = Held() if held is None else held
        self._answer_unsaved = answer_unsaved
        self._performer = Performer(store, upstream, vault)
        self._saver = Saver(store, vault, policies, clock, random=random, failed=failed)
        self._entries: dict[str, Entry] = {}
        self._inbox = Inbox(store, tasks, followed=self._entries.keys(), take=self._asked)
        self._by_key: dict[str, str] = {}
        """Followed jobs by their keys in Orchestrator, as far as these are known."""
        self._schedule = Schedule(clock, self._due)
        self._starts: set[asyncio.Task[None]] = set()
        """The steps that wait for a start's answer."""
        self._disowned: set[str] = set()
        """Jobs that the store may have, and nobody may start."""
        self._stopping = False

    def __len__(self) -> int:
        return len(self._entries)

    def job(self, job_id: str) -> Job | None:
        """Return the newest record of a job that is followed here and that the store has; a later one is published.

        Its progress is what is known here: a read that goes wrong is not worth a write, yet a monitor tells of it.
        """
        entry = self._entries.get(job_id)
        if entry is None or entry.saved.revision < entry.job.revision:
            return None if entry is None else entry.saved
        return entry.saved.with_(progress=entry.job.progress)

    def follow(
        self, stored: Stored, follower: str, start: StartRequest | None = None, bearer: str | None = None
    ) -> None:
        """Go on with a job that the store says `follower`, an incarnation of this replica, follows.

        `start` and `bearer`: what is sealed in `stored`, where it has just been made here.
        """
        if (former := self._entries.get(stored.job.id)) is not None:
            former.followed = False
        entry = self._entries[stored.job.id] = Entry(stored, self._vault.reveal(stored.job), follower, start, bearer)
        self._note(entry.job)
        self._feed.publish(stored.job)
        rests = stored.rests_until > self._clock.now() and not self._only_concludes(entry)
        if rests:
            # It may be what ended those who followed it: then it ends no more of us than one at a time, and seldom.
            self._schedule.set(stored.job.id, stored.rests_until)
        elif stored.requests == _NOTHING:
            self._spawn(entry)
        self._heed_first(entry, stored.requests, at_once=not rests)
        # Something may have been asked after the store had named us its follower, and before we knew.
        self._inbox.begin(stored.job.id)

    def _note(self, job: Job) -> None:
        """Take note of a followed job's newest record, where followed jobs are counted and found; `_drop` undoes it."""
        self._held.note(job)
        if job.upstream_key is not None:
            self._by_key[job.upstream_key.lower()] = job.id

    def _only_concludes(self, entry: Entry) -> bool:
        """Whether nothing is to be done for a job but to draw a conclusion: that ends no replica."""
        policy = self._policies.policy(entry.job.route)
        return isinstance(plan(entry.job, policy, self._clock.now()), Conclude)

    def refollow(self, stored: Stored, follower: str) -> None:
        """Go on under a new incarnation with a job that was still to be had after the lease had run out."""
        entry = self._entries.get(stored.job.id)
        if entry is None:
            self.follow(stored, follower)
        else:
            entry.follower = follower
            self._heed_first(entry, stored.requests)

    async def heed(self, job_ids: Sequence[str] | None = None) -> None:
        """Do what was asked of these jobs, or of all, as far as they are followed here. Raises `StoreDown`."""
        await self._inbox.heed(job_ids)

    def followed_as(self, upstream_key: str) -> str | None:
        """Return the id of the job that is followed here and has this key, in lower case, in Orchestrator."""
        return self._by_key.get(upstream_key)

    def holds(self, job_id: str) -> bool:
        """Whether a job is followed here and, for certain, nowhere else."""
        entry = self._entries.get(job_id)
        return entry is not None and self._holds(entry.follower)

    def hurry_key(self, upstream_key: str) -> None:
        """Hurry the job that has this key, in lower case, in Orchestrator, if it is followed here."""
        if (job_id := self._by_key.get(upstream_key)) is not None:
            self.hurry(job_id, told=False)

    def followed(self) -> Iterable[Job]:
        """Return the newest records of all jobs that are followed here."""
        return (entry.job for entry in self._entries.values())

    def hurry(self, job_id: str, *, told: bool = True) -> None:
        """Look at a followed job as soon as its route allows: something says that it has news; `told`: just now."""
        entry = self._entries.get(job_id)
        if entry is not None and not entry.job.state.terminal:
            entry.hurried, entry.told = True, told or entry.told
            # Before its start is answered there is nothing to look at; then it is looked at as soon.
            if entry.step is None and entry.job.start_answered:
                self._wake(entry)

    def disown(self, job_id: str) -> None:
        """Never start this job, should it be in the store after all: its caller was told that nothing was sent."""
        self._disowned.add(job_id)

    def disowned(self, job_id: str) -> None:
        """Forget about such a job: it has ended, as the store knows too."""
        self._disowned.discard(job_id)

    async def drop_others(self, follower: str) -> None:
        """Stop following what did not come along to the incarnation `follower`: others do. Raises `StoreDown`.

        A job that the store knows nothing of has nobody else: it is put back under the new name, unless it was yet to
        be started. Somebody may have done that before the store forgot it.
        """
        others = [entry for entry in self._entries.values() if entry.follower != follower]
        for begin in range(0, len(others), _BATCH):
            batch = others[begin : begin + _BATCH]
            missing = await self._store.missing([entry.job.id for entry in batch])
            for entry in batch:
                if entry.job.id in missing and (entry.job.start_answered or entry.step in self._starts):
                    self._put_back(entry, follower)
                else:
                    self._drop(entry)

    def _put_back(self, entry: Entry, follower: str) -> None:
        entry.follower = follower
        entry.job = entry.job.with_(revision=entry.job.revision + 1)
        entry.unsaved = True
        self._begin_save(entry)

    async def stop(self, timeout: float) -> None:
        """Begin nothing more; wait, `timeout` seconds at most, for answers to starts and for saves under way."""
        self._stopping = True
        self._schedule.stop()
        for entry in self._entries.values():
            if entry.unsaved:  # A save that failed was to be tried again later.
                self._begin_save(entry)
        ends = asyncio.get_running_loop().time() + timeout
        while (busy := self._busy()) and (left := ends - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(busy, timeout=left)

    def _busy(self) -> set[asyncio.Future[None]]:
        return {*self._starts, *(entry.saving for entry in self._entries.values() if entry.saving is not None)}

    # The loop.

    def _due(self, job_id: str) -> None:
        if (entry := self._entries.get(job_id)) is not None:
            self._spawn(entry)

    def _spawn(self, entry: Entry) -> None:
        if entry.step is None:
            entry.step = self._tasks.spawn(self._go_on(entry), name=f"job {entry.job.id}")

    def _wake(self, entry: Entry) -> None:
        """Have the job planned anew now, even if it waits for an answer."""
        if entry.step is None and entry.followed and not self._stopping:
            self._schedule.drop(entry.job.id)
            self._spawn(entry)
        elif entry.step is not None and entry.may_give_up and not entry.given_up:
            entry.given_up = True
            entry.step.cancel()

    async def _go_on(self, entry: Entry) -> None:
        """Do what is due for a job, until nothing is; then save it. A defect costs it a pause, not its follower."""
        try:
            due = await self._do_what_is_due(entry)
        except Exception as error:  # noqa: BLE001 - whatever it is, the record says how to go on
            self._failed(error)
            due = self._clock.now() + _AFTER_DEFECT
        finally:
            entry.step = None
        if due is not None and entry.followed and not self._stopping:
            self._schedule.set(entry.job.id, due)
        # No step any more: while it saves, the job may go on.
        if entry.unsaved and entry.saving is None:
            await self._save(entry)

    async def _do_what_is_due(self, entry: Entry) -> int | None:
        """Return when to go on; None if there is nothing left to do."""
        while entry.followed and not self._stopping:
            now, state, policy = self._clock.now(), entry.job.state, self._policies.policy(entry.job.route)
            action = plan(entry.job, policy, now)
            if action is None:
                return self._tell_unsaved(entry, now)
            at = _hurried(entry, action, policy) if entry.hurried else action.at
            if at > now:
                return at
            if entry.unsaved:
                self._begin_save(entry)
            told, entry.told = entry.told, False
            event = await self._perform(entry, action, policy)
            # A verdict or a cancel may have come meanwhile: then what was learned is of a job that is no more so.
            if event is not None and entry.job.state is state and entry.followed:
                # The word may have come while the answer was on its way.
                self._advance(entry, event, told=told or entry.told)
        return None

    # Perform.

    def _perform(self, entry: Entry, action: Action, policy: Policy) -> Coroutine[Any, Any, e.Event | None]:
        # What is returned is awaited by the step itself: a frame less for as long as a long-poll is held.
        match action:
            case Start():
                return self._start(entry, action, policy)
            case Read():
                told, entry.hurried = entry.hurried, False
                return self._giving_up(entry, self._performer.read(entry, action, policy, told=told))
            case Reconcile():
                entry.hurried = False
                return self._giving_up(entry, self._performer.reconcile(entry, action, policy))
            case Stop():
                return self._performer.stop(entry, action, policy)
            case Conclude():
                return _concluded(action)

    async def _giving_up(self, entry: Entry, asking: Coroutine[Any, Any, e.Event]) -> e.Event | None:
        """Ask what may be asked again; None if that was given up, since there is something else to do first."""
        entry.may_give_up = True
        try:
            event = await asking
        except asyncio.CancelledError:
            if not entry.given_up or _this_step(entry).uncancel() > 0:
                raise
            return None
        else:
            if entry.given_up:
                # The cancellation was lost on its way (see `Tasks.close`), and must not count towards the next one.
                _this_step(entry).uncancel()
            return event
        finally:
            entry.may_give_up = entry.given_up = False

    async def _start(self, entry: Entry, action: Start, policy: Policy) -> e.Event | None:
        """Save the intent, then send the start. What it came to is applied here, whatever has come meanwhile."""
        if entry.job.id in self._disowned:
            return e.GaveUp(problem_outcome(StoreUnavailable()))
        request = self._performer.opened(entry)
        if request is None:
            return e.GaveUp(problem_outcome(InternalError("no key of the keyring opens the job's start")))
        self._advance(entry, e.StartIntended())
        await self._have_saved(entry)
        if not entry.followed:
            return None
        if entry.forgotten:
            # After a crash nobody would know that this start was sent.
            lost = StoreUnavailable("the store has lost the job; nothing was sent")
            self._advance(entry, e.StartRefused(problem_outcome(lost), frees_key=True))
            return None
        if not self._holds(entry.follower):
            # Something stood still since the intent was on its way: others may be finding out what became of the start.
            self._advance(entry, e.StartPostponed(self._clock.now() + _AFTER_LAPSE, "the lease had run out"))
            return None
        step = _this_step(entry)
        self._starts.add(step)
        try:
            event = await self._performer.start(entry, request, action, policy)
            self._advance(entry, postponed(entry.job, event, policy, self._clock.now()))
        finally:
            self._starts.discard(step)
        return None

    # What others asked for.

    def _asked(self, job_id: str, requests: Requests) -> None:
        if (entry := self._entries.get(job_id)) is not None:
            self._heed(entry, requests)

    def _heed_first(self, entry: Entry, requests: Requests, *, at_once: bool = True) -> None:
        if requests != _NOTHING:
            try:
                self._heed(entry, requests, at_once=at_once)
            except Exception as error:  # noqa: BLE001 - what one job was asked for keeps no other from being followed
                self._failed(error)

    def _heed(self, entry: Entry, requests: Requests, *, at_once: bool = True) -> None:
        if requests.cancel and not entry.job.cancel_requested and not entry.job.state.terminal:
            self._advance(entry, e.CancelRequested())
        verdict = None if requests.verdict is None else requests.verdict.event(entry.job)
        if verdict is not None:
            self._advance(entry, verdict)
        if entry.unsaved:
            self._begin_save(entry)
        if at_once:
            self._wake(entry)

    # Apply and save.

    def _advance(self, entry: Entry, event: e.Event, *, told: bool = False) -> None:
        """Apply `event`. What it changed for good is `unsaved` until the store has it."""
        before, now = entry.job, self._clock.now()
        job = entry.job = apply(before, event, now)
        self._tell(self._observe, job, event)
        if isinstance(event, _ENDS):
            entry.body = event.outcome.body
        if entry.start is not None and job.start_answered:
            entry.start = entry.request = None
        if entry.followed:  # A start may be answered when its job has long been another's.
            self._note(job)
        if job.revision == before.revision:
            return  # Nothing durable has changed.
        if isinstance(event, _TELL_AGES):
            self._tell(self._ended, before, job, event, told)
        if job.state.terminal:
            self._has_ended(entry, event, now)
        # Its output is read at once, and saved along with the end; should that fail, so may this be read again.
        entry.unsaved = entry.unsaved or not _leads_to_output(event)

    def _tell(self, whom: Callable[..., None], *what: object) -> None:
        try:
            whom(*what)
        except Exception as error:  # noqa: BLE001 - what has happened is saved, whoever fails to take note of it
            self._failed(error)

    def _has_ended(self, entry: Entry, event: e.Event, now: int) -> None:
        if entry.job.callback_url is not None:
            entry.delivery = starters_delivery(entry.job, now)
        # Until the store knows of the start's answer, an end that came with it is not told from memory: should this
        # replica lose the job now, its end could not be read again, and who takes it over would tell of a job in doubt.
        if entry.saved.start_answered and (not isinstance(event, _OWN_ENDS) or self._holds(entry.follower)):
            entry.tell_at = now + self._answer_unsaved

    def _tell_unsaved(self, entry: Entry, now: int) -> int | None:
        """Return when to tell of an end from memory; tell of it if that is now.

        Only an end is worth that. Of what comes before it, what was told could be lost with this replica, and a
        stream's client would hear of other things under the ids of events that it has seen.
        """
        if entry.tell_at is None or entry.tell_at > now:
            return entry.tell_at
        # After a pause another replica may have read another end: the store knows which one counts.
        if not self._paused():
            self._feed.publish(entry.job, entry.body)
        return None

    async def _have_saved(self, entry: Entry) -> None:
        """Wait until the store has what is new, however long that takes, or the job is another's."""
        newest = entry.job.revision
        while entry.followed and entry.saved.revision < newest:
            if entry.saving is None:
                await self._save(entry)
            else:
                await asyncio.wait({entry.saving})

    def _begin_save(self, entry: Entry) -> None:
        if entry.saving is None:
            entry.saving = self._tasks.spawn(self._save(entry), name=f"save {entry.job.id}")

    async def _save(self, entry: Entry) -> None:
        """Save in the task that asks for it; whoever else wants to wait for that waits for the entry's `saving`."""
        entry.saving = saved = self._tasks.loop.create_future()
        try:
            follows = await self._saver.catch_up(entry, self._publish_saved)
            entry.unsaved = False
        except Exception:
            if entry.followed:  # Even if nothing more is to be done for the job: its next step saves it.
                self._schedule.set(entry.job.id, self._clock.now() + _AFTER_DEFECT)
            raise
        finally:
            entry.saving = None
            saved.set_result(None)
        if not follows:
            self._drop(entry)
            self._lost(entry.job.id)
        elif entry.job.state.terminal:
            self._finish(entry)

    def _publish_saved(self, entry: Entry) -> None:
        self._feed.publish(entry.saved, entry.body)

    def _finish(self, entry: Entry) -> None:
        self._drop(entry)
        own = () if entry.delivery is None else (entry.delivery,)
        for delivery in (*own, *entry.waited):
            self._deliver(delivery, entry.follower)

    def _drop(self, entry: Entry) -> None:
        if entry.followed:
            entry.followed = False
            del self._entries[entry.job.id]
            self._held.drop(entry.job.id)
            self._by_key.pop((entry.job.upstream_key or "").lower(), None)
            self._schedule.drop(entry.job.id)


async def _concluded(action: Conclude) -> e.Event:
    return action.event


def _leads_to_output(event: e.Event) -> bool:
    return isinstance(event, e.Redirected) and event.leg.kind is LegKind.OUTPUT


def _hurried(entry: Entry, action: Action, policy: Policy) -> int:
    """Return when to do what something says is worth while now."""
    if isinstance(action, (Read, Reconcile)):
        return min(action.at, entry.job.progress.read_at + policy.pace.floor)
    return action.at


def _this_step(entry: Entry) -> asyncio.Task[None]:
    assert entry.step is not None, "a step's own task is asking"
    return entry.step
