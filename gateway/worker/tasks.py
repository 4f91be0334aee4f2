"""The one place where a background task is made: it is held, its failure is told, and it is gone at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN = 0.5
"""Seconds that a cancelled task has for its end before it is cancelled once more."""


class Tasks:
    """A set of supervised tasks. `on_error` is told of a task that failed; nothing else happens to the others."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_error = on_error
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that they run on. To ask which one runs is a system call in Python 3.11, and the answer the same."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run `coroutine` in the background."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end, even if whoever waits for it here is cancelled meanwhile."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Hold a task that was made elsewhere until its end, as if it were run by `finish`."""
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Whoever waits is told; if nobody does any more, there is nobody to tell.

    def __len__(self) -> int:
        return len(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    async def close(self) -> None:
        """Cancel all tasks and wait for them."""
        while tasks := tuple(self._tasks):
            for task in tasks:
                task.cancel()
            # A cancellation can be lost: in Python 3.11 `asyncio.wait_for`, which redis-py writes its commands with,
            # drops one that comes when what it waits for is just done (python/cpython#86296). So ask again.
            await asyncio.wait(tasks, timeout=_CANCEL_AGAIN)
