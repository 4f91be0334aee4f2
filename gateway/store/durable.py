"""Writes that count only once replicas have them.

A primary acknowledges a write before its replicas have it, and one that is promoted meanwhile never knew it. WAIT looks
at what was written over its own connection, so it follows the script there; and it holds that connection, so these
scripts have a pool to themselves. What is repeated after too few acknowledged must write again, if only what is there
already: a script that changes nothing leaves WAIT nothing to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio as redis
from redis.exceptions import NoScriptError

from gateway.store.port import StoreDown
from gateway.store.scripts import Argument, Call, Script

_AT_A_TIME = 32
"""Waiting calls at once, of a batch: half of the connections there are."""


class DurableScript(Script):
    """A script whose answer is given once `replicas` have what it wrote. `timeout`: how long they may take, in ms."""

    def __init__(self, client: redis.Redis, text: str, *, replicas: int, timeout: int) -> None:
        super().__init__(client, text)
        self._replicas = replicas
        self._timeout = timeout

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script once. Raises `StoreDown` if too few replicas acknowledge; the write may last all the same."""
        answer, acknowledged = await self._with_wait("EVALSHA", self._hash, keys, arguments)
        if isinstance(answer, NoScriptError):
            answer, acknowledged = await self._with_wait("EVAL", self._text, keys, arguments)
        for error in (answer, acknowledged):
            if isinstance(error, Exception):
                raise error
        if acknowledged < self._replicas:
            raise StoreDown(f"{acknowledged} of {self._replicas} replicas acknowledged a write in {self._timeout} ms")
        return answer

    async def each(self, calls: Sequence[Call]) -> list[Any]:
        """Run the script once for each of `calls`, some at a time; return the answers in order. Raises as one does."""
        answers: list[Any] = []
        for begin in range(0, len(calls), _AT_A_TIME):
            some = (self(*call) for call in calls[begin : begin + _AT_A_TIME])
            answers += await asyncio.gather(*some, return_exceptions=True)
            for answer in answers[begin:]:
                if isinstance(answer, BaseException):
                    raise answer
        return answers

    async def _with_wait(self, command: str, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.execute_command(command, script, len(keys), *keys, *arguments)
            pipe.execute_command("WAIT", self._replicas, self._timeout)
            return await pipe.execute(raise_on_error=False)
