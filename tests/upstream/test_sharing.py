"""Questions that share calls."""

import asyncio

import pytest

from gateway.upstream.sharing import Shared
from gateway.worker.tasks import Tasks

pytestmark = pytest.mark.looptime


@pytest.fixture
async def tasks():
    """Background tasks, none of which failed."""
    failed = []
    tasks = Tasks(failed.append)
    yield tasks
    await tasks.close()
    assert not failed


async def test_those_that_come_meanwhile_share_the_next_call(tasks):
    """The first is not held back; a group has one call at a time, groups do not wait for each other."""
    calls = []

    async def answer(group, questions):
        calls.append((group, list(questions)))
        await asyncio.sleep(1)
        return {question: f"{group}{question}" for question in questions}

    shared = Shared(answer, tasks.spawn)

    async def ask(group, question, after):
        await asyncio.sleep(after)
        return (await shared.ask(group, question))[question]

    answers = await asyncio.gather(
        ask("a", 1, 0.0), ask("a", 2, 0.1), ask("a", 3, 0.2), ask("b", 4, 0.3), ask("a", 5, 1.5)
    )
    assert answers == ["a1", "a2", "a3", "b4", "a5"]
    assert calls == [("a", [1]), ("b", [4]), ("a", [2, 3]), ("a", [5])]


async def test_one_that_gives_up_takes_the_answer_from_nobody(tasks):
    """Not even the one whose question began the call."""

    async def answer(_, questions):
        await asyncio.sleep(1)
        return len(questions)

    shared = Shared(answer, tasks.spawn)
    asked = [asyncio.ensure_future(shared.ask("a", n)) for n in range(2)]
    await asyncio.sleep(0.1)
    asked[0].cancel()
    assert await asked[1] == 2


async def test_a_failure_is_everybodys_who_asked(tasks):
    """And the next call is made all the same."""
    broken = [True]

    async def answer(_, questions):
        await asyncio.sleep(1)
        if broken.pop():
            broken.append(False)
            raise RuntimeError("defect")
        broken.append(False)
        return "answer"

    shared = Shared(answer, tasks.spawn)
    first, second = await asyncio.gather(shared.ask("a", 1), shared.ask("a", 2), return_exceptions=True)
    assert (type(first), type(second)) == (RuntimeError, RuntimeError)
    assert await shared.ask("a", 3) == "answer"


async def test_what_is_under_way_when_the_gateway_closes_is_canceled(tasks):
    """Nobody is left waiting for an answer that will not come."""

    async def answer(_, __):
        await asyncio.Event().wait()

    shared = Shared(answer, tasks.spawn)
    asked = [asyncio.ensure_future(shared.ask("a", 1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.append(asyncio.ensure_future(shared.ask("a", 2)))
    await asyncio.sleep(0)
    await tasks.close()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in done] == [asyncio.CancelledError] * 2
