"""The supervisor over made-up workers, in virtual time: who is replaced when, and what a reload leaves standing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Self

import pytest

from gateway.app.stop import Stop
from gateway.app.workers.supervisor import Supervisor
from gateway.app.workers.worker import WorkerFailed

pytestmark = pytest.mark.looptime


class MadeUpChannel:
    """A channel that is closed once."""

    closed = False

    def close(self) -> None:
        """Close it."""
        self.closed = True


class MadeUpWorker:
    """A worker that serves after a second, if it does at all, and ends when it is told."""

    def __init__(self, number: int, config: str, *, fails: bool) -> None:
        self.number, self.config, self.fails = number, config, fails
        self.pid = id(self)
        self.channel = MadeUpChannel()
        self.orders: list[str] = []
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def served(self) -> None:
        """Serve, or fail."""
        await asyncio.sleep(1)
        if self.fails:
            raise WorkerFailed("it cannot")

    def tell(self, order: str) -> None:
        """Take an order; drain two seconds."""
        self.orders.append(order)
        if order in {"stop", "retire"}:
            asyncio.get_running_loop().call_later(2, self.die, 0)

    def die(self, code: int = -9) -> None:
        """End."""
        if not self._code.done():
            self._code.set_result(code)

    async def ended(self, leaving: Callable[[], None] = lambda: None) -> int:
        """Wait for its end."""
        self.leaving = leaving
        return await asyncio.shield(self._code)

    async def gone(self) -> None:
        """Wait for its end."""
        await asyncio.shield(self._code)

    async def kill(self) -> None:
        """End at once."""
        self.die()


class Scene:
    """A supervisor of two, and all that it does."""

    def __init__(self) -> None:
        self.spawned: list[MadeUpWorker] = []
        self.dealt_to: list[MadeUpChannel] = []
        self.buried: list[MadeUpWorker] = []
        self.bad: set[str] = set()
        """Configurations that nobody can serve with."""
        self.failing: set[int] = set()
        """Numbers of those who cannot serve."""
        self.listening = False
        self.stop = Stop()
        self.supervisor = Supervisor("old", 2, dealer=self, spawn=self.spawn, bury=self.bury)  # type: ignore[arg-type]

    async def spawn(self, number: int, config: Any) -> Any:
        """Spawn one."""
        worker = MadeUpWorker(number, config, fails=config in self.bad or number in self.failing)
        self.spawned.append(worker)
        return worker

    async def bury(self, worker: Any) -> None:
        """Take note of a dead one."""
        self.buried.append(worker)

    def listen(self) -> None:
        """Be the dealer: listen."""
        self.listening = True

    def add(self, channel: Any) -> None:
        """Be the dealer: deal to one more."""
        self.dealt_to.append(channel)

    def remove(self, channel: Any) -> None:
        """Be the dealer: deal to one less."""
        if channel in self.dealt_to:
            assert not channel.closed
            self.dealt_to.remove(channel)

    def serving(self) -> list[tuple[int, str]]:
        """Return number and configuration of those who are dealt to."""
        return sorted(
            (worker.number, worker.config) for worker in self.spawned if worker.channel in self.dealt_to
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop().create_task(self.supervisor.run(self.stop, lambda: None))
        await asyncio.sleep(3)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.wish()
        await self._running
        assert not self.dealt_to or self.listening
        assert all(worker.channel.closed for worker in self.spawned)


async def test_all_serve_and_all_stop():
    """The first before anybody may connect; the end waits until each has drained."""
    loop = asyncio.get_running_loop()
    async with Scene() as scene:
        assert scene.listening
        assert scene.serving() == [(1, "old"), (2, "old")]
        began = loop.time()
    assert [worker.orders for worker in scene.spawned] == [["stop"], ["stop"]]
    assert loop.time() - began == pytest.approx(2, abs=0.01)
    assert not scene.buried


async def test_none_comes_to_serve():
    """Then nobody is let in, and the error is what kept the first one."""
    scene = Scene()
    scene.bad.add("old")
    with pytest.raises(WorkerFailed, match="it cannot"):
        await scene.supervisor.run(scene.stop, lambda: None)
    assert not scene.listening
    assert [worker.number for worker in scene.buried] == [1, 2]
    assert all(worker.channel.closed for worker in scene.spawned)


async def test_one_does_not_come_to_serve():
    """The others let callers in, and it is tried again."""
    scene = Scene()
    scene.failing.add(2)
    async with scene:
        scene.failing.clear()
        assert scene.serving() == [(1, "old")]
        await asyncio.sleep(2)
        assert scene.serving() == [(1, "old"), (2, "old")]


async def test_a_death():
    """Its successor starts at once, and its lease is ended; the others know nothing of it."""
    async with Scene() as scene:
        scene.spawned[0].die()
        await asyncio.sleep(1.1)
        assert scene.serving() == [(1, "old"), (2, "old")]
        assert scene.buried == scene.spawned[:1]
        assert scene.spawned[1].orders == []


async def test_one_who_leaves():
    """It gets no more connections, and while it drains another has its place; its end is nothing to tell of."""
    async with Scene() as scene:
        leaving = scene.spawned[0]
        leaving.leaving()
        leaving.leaving()
        assert scene.serving() == [(2, "old")]
        assert leaving.orders == ["retire"]
        await asyncio.sleep(1.1)
        assert scene.serving() == [(1, "old"), (2, "old")]
        await asyncio.sleep(2)
        assert scene.serving() == [(1, "old"), (2, "old")]
        assert len(scene.spawned) == 3
    assert not scene.buried


async def test_one_who_leaves_amid_a_stop():
    """It is dealt to until the ports are closed, as all are, and nobody comes in its place."""
    async with Scene() as scene:
        scene.stop.wish()
        await asyncio.sleep(0.1)
        scene.spawned[0].leaving()
        assert scene.serving() == [(1, "old"), (2, "old")]
    assert len(scene.spawned) == 2


async def test_one_who_leaves_after_its_successor_came():
    """A reload has retired it already."""
    async with Scene() as scene:
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(1.5)
        scene.spawned[0].leaving()
        await asyncio.sleep(10)
        assert scene.serving() == [(1, "new"), (2, "new")]
        assert len(scene.spawned) == 4


async def test_one_who_dies_again_and_again():
    """Five times at once, then after ever longer rests; one that lives is forgiven."""
    loop, deaths = asyncio.get_running_loop(), []
    async with Scene() as scene:
        for _ in range(9):
            latest = scene.spawned[-1]
            assert latest.number == 2
            deaths.append(loop.time())
            latest.die()
            while scene.spawned[-1] is latest or scene.spawned[-1].channel not in scene.dealt_to:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)
        took = [round(after - before) for before, after in itertools.pairwise(deaths)]
        assert took == [1, 1, 1, 1, 1, 2, 3, 5]
        await asyncio.sleep(11)
        scene.spawned[-1].die()
        await asyncio.sleep(1.1)
        assert scene.serving() == [(1, "old"), (2, "old")]


async def test_a_reload_goes_one_by_one():
    """A successor serves before anybody is retired, and the next one waits until he has drained."""
    async with Scene() as scene:
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        seen = [scene.serving()]
        for _ in range(70):
            await asyncio.sleep(0.1)
            if scene.serving() != seen[-1]:
                seen.append(scene.serving())
        assert seen == [
            [(1, "old"), (2, "old")],
            [(1, "new"), (2, "old")],
            [(1, "new"), (2, "new")],
        ]
        assert [worker.orders for worker in scene.spawned] == [["retire"], ["retire"], [], []]
        assert [worker.config for worker in scene.spawned[2:]] == ["new", "new"]
        scene.spawned[2].die()
        await asyncio.sleep(1.1)
        assert scene.spawned[-1].config == "new"
    assert scene.buried == scene.spawned[2:3]


@pytest.mark.parametrize("goes", ["dies", "leaves"])
async def test_a_successor_that_goes_amid_a_reload(goes: str):
    """Has one of its own configuration in its place, though its predecessor drains still."""
    async with Scene() as scene:
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(1.5)
        successor = scene.spawned[-1]
        assert scene.serving() == [(1, "new"), (2, "old")]
        if goes == "dies":
            successor.die()
        else:
            successor.leaving()
        await asyncio.sleep(10)
        assert scene.serving() == [(1, "new"), (2, "new")]


async def test_a_reload_that_cannot_be():
    """All stays as it was, and so does what a later worker is started with."""
    async with Scene() as scene:
        scene.bad.add("new")
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(5)
        assert scene.serving() == [(1, "old"), (2, "old")]
        scene.spawned[1].die()
        await asyncio.sleep(1.1)
        assert (scene.spawned[-1].number, scene.spawned[-1].config) == (2, "old")


async def test_a_reload_mends_what_fails():
    """A place whose workers die has one again at once, however long the rest would have been."""
    async with Scene() as scene:
        scene.bad.add("old")
        scene.spawned[1].die()
        await asyncio.sleep(100)
        assert scene.serving() == [(1, "old")]
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(4.5)
        assert scene.serving() == [(1, "new"), (2, "new")]


async def test_a_second_reload_overtakes_the_first():
    """In the end all are as the last one says, and each place has one worker."""
    async with Scene() as scene:
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(1.5)
        scene.supervisor.reload("newest")  # type: ignore[arg-type]
        await asyncio.sleep(10)
        assert scene.serving() == [(1, "newest"), (2, "newest")]


@pytest.mark.parametrize("after", [0.5, 1.5, 3.5])
async def test_a_stop_amid_a_reload(after: float):
    """Whoever is just starting goes with the others."""
    async with Scene() as scene:
        scene.supervisor.reload("new")  # type: ignore[arg-type]
        await asyncio.sleep(after)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3
    scene.supervisor.reload("late")  # type: ignore[arg-type]


async def test_a_stop_while_one_rests():
    """Nobody is waited for who is not there."""
    async with Scene() as scene:
        scene.bad.add("old")
        scene.spawned[1].die()
        await asyncio.sleep(60)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3


async def test_haste_is_told_to_everybody():
    """By the second wish to stop."""
    async with Scene() as scene:
        scene.stop.wish()
        await asyncio.sleep(0.1)
    assert [worker.orders for worker in scene.spawned] == [["stop", "hasten"], ["stop", "hasten"]]
