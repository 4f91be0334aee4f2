"""The supervised tasks of `gateway.worker.tasks`."""

from __future__ import annotations

import asyncio

from gateway.worker.tasks import Tasks


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same():
    """`asyncio.wait_for` may drop one; whoever closes must not wait for ever for a loop that goes on."""
    started = asyncio.Event()
    errors: list[BaseException] = []

    async def deaf_once() -> None:
        lost = 0
        while True:
            try:
                started.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    tasks = Tasks(errors.append)
    task = tasks.spawn(deaf_once())
    await started.wait()
    async with asyncio.timeout(5):
        await tasks.close()
    assert task.cancelled()
    assert not len(tasks)
    assert errors == []


async def test_a_failure_is_told_and_touches_no_other_task():
    """What failed is gone, the rest runs on until it is closed."""
    errors: list[BaseException] = []
    tasks = Tasks(errors.append)
    tasks.spawn(asyncio.sleep(60))

    async def fail() -> None:
        raise ValueError("defect")

    failed = tasks.spawn(fail())
    await asyncio.wait([failed])
    assert [str(error) for error in errors] == ["defect"]
    assert len(tasks) == 1
    await tasks.close()
