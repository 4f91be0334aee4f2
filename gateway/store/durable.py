"""Writes that count only once replicas have them.

A primary acknowledges a write before its replicas have it, and one that is promoted meanwhile never knew it. WAIT looks
at what was written over its own connection, so it follows the writes there; and it holds that connection, so these
writes have one to themselves. What comes while it waits leaves together afterwards, before one WAIT for all of them.

What is repeated after too few acknowledged must write again, if only what is there already: a script that changes
nothing leaves WAIT nothing to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.store.port import StoreDown
from gateway.store.wire.client import Argument, Client, Command
from gateway.store.wire.errors import Lost

_AT_A_TIME = 1_000
"""Commands at most before one WAIT."""


class Acknowledged:
    """A client whose answers are given once `replicas` have what was written. `timeout`: they may take so many ms.

    `inner` is one server, and repeats nothing: WAIT over another connection than the writes' would tell nothing.
    """

    def __init__(self, inner: Client, *, replicas: int, timeout: int) -> None:
        self._inner = inner
        self._replicas = replicas
        self._timeout = timeout
        self._gathered: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def execute(self, *command: Argument) -> Any:
        """See `Client`. Raises `StoreDown` if too few replicas acknowledge; the write may last all the same."""
        [answer] = await self.each([command])
        if isinstance(answer, StoreDown):
            raise answer
        return answer

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        self._gathered += zip(commands, futures, strict=True)
        if self._sending is None:
            # Nobody's task in particular: who asked first may give up, and the others' writes go on.
            self._sending = asyncio.create_task(self._send())  # noqa: TID251 - held, and ended by `close`
        return [await future for future in futures]

    async def close(self) -> None:
        """See `Client`."""
        await self._inner.close()
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def _send(self) -> None:
        some: list[tuple[Command, asyncio.Future[Any]]] = []
        try:
            while self._gathered:
                some, self._gathered = self._gathered[:_AT_A_TIME], self._gathered[_AT_A_TIME:]
                answers = await self._run([command for command, _ in some])
                for (_, future), answer in zip(some, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:
            self._sending = None
            left, self._gathered = [*some, *self._gathered], []
            for _, future in left:
                if not future.done():  # only if this was cancelled, or is broken: nobody else would ever tell them
                    future.set_result(Lost("the sending of writes was ended"))

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands and one WAIT."""
        *answers, acknowledged = await self._inner.each([*commands, ("WAIT", self._replicas, self._timeout)])
        return [self._judge(answer, acknowledged) for answer in answers]

    def _judge(self, answer: Any, acknowledged: Any) -> Any:
        """Return the answer, or why it does not count."""
        if isinstance(answer, StoreDown):
            return answer
        if isinstance(acknowledged, Lost):
            return Lost(str(acknowledged))
        if isinstance(acknowledged, StoreDown):
            return StoreDown(str(acknowledged))
        if acknowledged < self._replicas:
            return StoreDown(f"{acknowledged} of {self._replicas} replicas acknowledged a write in {self._timeout} ms")
        return answer
