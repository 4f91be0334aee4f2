"""A caller that goes away: when that means anything, and that it does so however early it goes."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncIterator, Sequence

import pytest
from multidict import CIMultiDict

from gateway.core.errors import BadRequest
from gateway.core.job import Job, State
from gateway.core.modes import CallerMode
from gateway.core.policy import Binding, OnDisconnect, Policy
from gateway.store.port import Canceling, StoreDown
from gateway.web.departure import Departure
from gateway.web.drain import Drain
from gateway.worker.intake import Accepted
from gateway.worker.tasks import Tasks
from tests.core.strategies import in_state

pytestmark = pytest.mark.looptime

CANCELS = Policy(on_disconnect=OnDisconnect.CANCEL, binding=Binding(api=True, correlation="jobId"))
OWN, SHARE, VISIT = Accepted("j"), Accepted("j", replayed=True, share=2), Accepted("j", replayed=True)


class Rig:
    """A request on a connection that can be cut, and a store that notes what it is asked."""

    def __init__(self, tasks: Tasks, state: State = State.RUNNING) -> None:
        self.job: Job = in_state(state)
        self.asked: list[tuple[str, int]] = []
        self.down: list[bool] = []
        """For each request to cancel, whether the store cannot be reached."""
        self.drain = Drain()
        self.tasks = tasks
        self.connected = True
        self.headers: CIMultiDict[str] = CIMultiDict()
        gateway = types.SimpleNamespace(
            store=self, drain=self.drain, tasks=tasks, driver=types.SimpleNamespace(job=lambda _: None)
        )
        self.gateway = gateway

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        return not self.connected

    async def read(self, _job_id: str) -> Job:
        """Return the record."""
        return self.job

    async def request_cancel(self, job_id: str, share: int) -> Canceling:
        """Note the request, if the store can be reached."""
        if self.down and self.down.pop(0):
            raise StoreDown("away")
        self.asked.append((job_id, share))
        return Canceling.ASKED

    async def settled(self) -> list[tuple[str, int]]:
        """Wait until nothing is under way any more; return what was asked."""
        while len(self.tasks):  # noqa: ASYNC110 - tasks are told of to nobody
            await asyncio.sleep(0.01)
        return self.asked


@contextlib.asynccontextmanager
async def rig(state: State = State.RUNNING) -> AsyncIterator[Rig]:
    """Give one, whose tasks end with the block."""
    failed: list[BaseException] = []
    tasks = Tasks(failed.append)
    yield Rig(tasks, state)
    await tasks.close()
    assert failed == []


async def accepted(answer: Accepted) -> Accepted:
    """Return what the intake answers."""
    return answer


async def call(
    it: Rig, answer: Accepted = OWN, mode: CallerMode | None = CallerMode.SYNC, rules: Policy = CANCELS
) -> None:
    """Be a handler that waits for its job until it is cancelled, as that of a lost connection is."""
    with contextlib.suppress(asyncio.CancelledError), Departure(it, mode, rules) as departure:
        await departure.of(accepted(answer))
        it.connected = False
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("answer", "mode", "expected"),
    [
        (OWN, CallerMode.SYNC, [("j", 0)]), (OWN, CallerMode.STREAM, [("j", 0)]), (SHARE, CallerMode.SYNC, [("j", 2)]),
        (VISIT, CallerMode.SYNC, []), (OWN, CallerMode.LONG_POLL, []), (OWN, CallerMode.ASYNC, []),
        (OWN, CallerMode.CALLBACK, []), (OWN, CallerMode.FORGET, []), (OWN, None, []),
    ],
)  # fmt: skip
async def test_who_gives_up_what(answer: Accepted, mode: CallerMode | None, expected: Sequence[tuple[str, int]]):
    """A blocked caller its job, or its share of it; a visitor of another's job nothing."""
    async with rig() as it:
        await call(it, answer, mode)
        assert await it.settled() == expected


@pytest.mark.parametrize(
    ("said", "route", "expected"),
    [(None, "leave", 0), (None, "cancel", 1), ("leave", "cancel", 0), ("Cancel ", "leave", 1)],
)
async def test_whose_word_it_is(said: str | None, route: str, expected: int):
    """The caller's, else the route's."""
    async with rig() as it:
        if said is not None:
            it.headers["Call-On-Disconnect"] = said
        await call(it, rules=Policy(on_disconnect=OnDisconnect(route), binding=CANCELS.binding))
        assert len(await it.settled()) == expected


async def test_a_word_that_is_none():
    """Is told before anything is accepted."""
    async with rig() as it:
        it.headers["Call-On-Disconnect"] = "explode"
        with pytest.raises(BadRequest):
            Departure(it, CallerMode.SYNC, CANCELS)


async def test_who_goes_before_the_job_is_accepted():
    """The job is made all the same, so it is canceled as soon as it is there."""
    async with rig() as it:
        made: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()

        async def making() -> Accepted:
            return await made

        async def handle() -> None:
            with Departure(it, CallerMode.SYNC, CANCELS) as departure:
                await it.tasks.finish(departure.of(making()))

        handler = asyncio.ensure_future(handle())
        await asyncio.sleep(0)
        it.connected = False
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
        assert it.asked == []
        made.set_result(OWN)
        assert await it.settled() == [("j", 0)]


async def test_who_is_answered_has_not_gone():
    """The connection is there when the answer is ready to be written."""
    async with rig() as it:
        with Departure(it, CallerMode.SYNC, CANCELS) as departure:
            await departure.of(accepted(OWN))
        it.connected = False
        assert await it.settled() == []


async def test_a_handler_that_is_cancelled_on_a_connection_that_is_there():
    """That is the replica's own end."""
    async with rig() as it:
        with contextlib.suppress(asyncio.CancelledError), Departure(it, CallerMode.SYNC, CANCELS) as departure:
            await departure.of(accepted(OWN))
            raise asyncio.CancelledError
        assert await it.settled() == []


async def test_a_connection_that_is_lost_in_a_hurry():
    """So is that."""
    async with rig() as it:
        it.drain.hurry = True
        await call(it)
        assert await it.settled() == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELED])
async def test_a_job_that_has_ended(state: State):
    """There is nothing to ask for."""
    async with rig(state) as it:
        await call(it)
        assert await it.settled() == []


async def test_a_job_that_cannot_be_canceled():
    """It is not asked for in vain: equal calls would find a job that is given up."""
    async with rig() as it:
        await call(it, rules=Policy(on_disconnect=OnDisconnect.CANCEL))
        assert await it.settled() == []


async def test_a_store_that_is_away():
    """It is asked again: there is nobody else any more who would."""
    async with rig() as it:
        it.down = [True, True]
        await call(it)
        assert await it.settled() == [("j", 0)]
