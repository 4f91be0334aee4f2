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

from gateway.store.port import StoreDown
from gateway.store.wire.client import Argument, Client, checked
from gateway.store.wire.errors import Refused

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

    def __init__(self, client: Client, text: str) -> None:
        self._client = client
        self._text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script once; return what it returns. Raises `StoreDown`."""
        try:
            return await self._client.execute("EVALSHA", self._hash, len(keys), *keys, *arguments)
        except Refused as error:
            if error.code != "NOSCRIPT":
                raise
            unknown = error
        return await self._whole(keys, arguments, unknown)

    async def each(self, calls: Sequence[Call]) -> list[Any]:
        """Run the script once for each of `calls`, sent together; return the answers in order. Raises `StoreDown`."""
        answers = await self._client.each(
            [("EVALSHA", self._hash, len(keys), *keys, *arguments) for keys, arguments in calls]
        )
        # Servers that did not know it: the first call tells each of them.
        for index, answer in enumerate(answers):
            if isinstance(answer, Refused) and answer.code == "NOSCRIPT":
                answers[index] = await self._whole(*calls[index], answer)
        return checked(answers)

    async def _whole(self, keys: Sequence[str], arguments: Sequence[Argument], unknown: Refused) -> Any:
        try:
            return await self._client.execute("EVAL", self._text, len(keys), *keys, *arguments)
        except StoreDown as error:
            error.perhaps |= unknown.perhaps  # lost by a server that knew it, perhaps, before it restarted
            raise
