"""The Lua scripts of the verbs: called by their hash, and sent whole to a server that does not know them.

`EVAL` both runs a script and has the server remember it. `SCRIPT LOAD` would need a second round trip, a right of its
own, and in a Cluster every primary to be there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis.asyncio as redis
from redis.exceptions import NoScriptError

Argument = bytes | str | int
"""What a script is given."""
Call = tuple[Sequence[str], Sequence[Argument]]
"""Keys, all of one partition, and arguments."""


@cache
def source(name: str) -> str:
    """Return the text of a script."""
    return files("gateway.store").joinpath("lua", f"{name}.lua").read_text()


def into_reserve(text: str) -> str:
    """Return a script that a server runs also when it has reached its `maxmemory` (Redis 7, Valkey)."""
    return f"#!lua flags=allow-oom\n{text}"


class Script:
    """One script, on one client."""

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._client = client
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script once; return what it returns."""
        try:
            return await self._client.evalsha(self._hash, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._client.eval(self._text, len(keys), *keys, *arguments)

    async def each(self, calls: Sequence[Call]) -> list[Any]:
        """Run the script once for each of `calls`, sent together; return the answers in order."""
        async with self._client.pipeline(transaction=False) as pipe:
            for keys, arguments in calls:
                pipe.evalsha(self._hash, len(keys), *keys, *arguments)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        # Servers that did not know it: the first call tells each of them, what failed otherwise fails again.
        return [
            await self(*call) if isinstance(answer, Exception) else answer
            for call, answer in zip(calls, answers, strict=True)
        ]
