"""What the verbs need of a connection to the store, and the one repetition that they rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import hiredis

from gateway.store.port import StoreDown
from gateway.store.wire.errors import Lost

Argument = bytes | str | int
"""One word of a command."""
Command = Sequence[Argument]
"""Its name and its arguments."""
pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
"""Return a command as it goes over the wire. hiredis' own types know tuples of one word only."""


class Client(Protocol):
    """Whatever runs commands: a server, the one that Sentinels name, the nodes of a Cluster.

    Answers are RESP2: `bytes`, `int`, `None`, and lists of these.
    """

    async def execute(self, *command: Argument) -> Any:
        """Run one command; return its answer. Raises `Lost`, `Refused` or another `StoreDown`."""
        ...

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands that are sent together; return the answers in order, a `StoreDown` in each error's place."""
        ...

    async def close(self) -> None:
        """Close every connection; what is under way is lost."""
        ...


class Repeating:
    """A client that runs once more what was lost. That may run it twice, which is harmless for what `verbs` says."""

    def __init__(self, inner: Client) -> None:
        self._inner = inner

    async def execute(self, *command: Argument) -> Any:
        """See `Client`."""
        try:
            return await self._inner.execute(*command)
        except Lost as error:
            lost = error
        try:
            return await self._inner.execute(*command)
        except StoreDown as error:
            error.perhaps |= lost.perhaps
            raise

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`."""
        answers = await self._inner.each(commands)
        lost = [index for index, answer in enumerate(answers) if isinstance(answer, Lost)]
        if lost:
            again = await self._inner.each([commands[index] for index in lost])
            for index, answer in zip(lost, again, strict=True):
                answers[index] = either(answers[index], answer)
        return answers

    async def close(self) -> None:
        """See `Client`."""
        await self._inner.close()


def either(before: StoreDown, answer: Any) -> Any:
    """Return the second answer to a command; if it is an error too, it says what is known of both attempts."""
    if isinstance(answer, StoreDown):
        answer.perhaps |= before.perhaps
    return answer


def checked(answers: list[Any]) -> list[Any]:
    """Return the answers to several commands. Raises the first error among them."""
    for answer in answers:
        if isinstance(answer, StoreDown):
            raise answer
    return answers
