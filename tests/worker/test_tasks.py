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


async def test_waiting_for_a_task_is_not_its_fate():
    """The wait ends with the task, after its time, or by itself being cancelled; the task goes on, or has failed."""
    failures: list[BaseException] = []
    tasks, open_ = Tasks(failures.append), asyncio.Event()

    async def fail() -> None:
        await open_.wait()
        raise ValueError("defect")

    task = tasks.spawn(fail())
    await tasks.ended(task, 0.001)
    wait = asyncio.ensure_future(tasks.ended(task, None))
    other = asyncio.ensure_future(tasks.ended(task, 60))
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.wait([wait])
    assert not task.done()
    open_.set()
    await other
    assert (task.done(), wait.cancelled(), [str(error) for error in failures]) == (True, True, ["defect"])
    await tasks.ended(task, None)
