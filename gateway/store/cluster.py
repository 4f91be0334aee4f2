"""A client of a Redis Cluster, as far as the store needs one: every command has keys of one slot, or none.

redis-py's own does not fit what jobs need. It closes the connections of all who use it when one command meets a node
that is down; it asks every node for the slots anew, and for the table of all commands, after any time-out; it sends
ASKING and the command it is for over whichever connections are free; and a write cannot be followed by WAIT on its own
connection.

A command is sent again at most twice: where a node sent it elsewhere without running it, and once where a connection
failed. The second may run it twice, which is harmless for the reason given in `verbs.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.store.address import Host
from gateway.store.port import StoreDown
from gateway.store.slots import Slots
from gateway.store.wire.client import Argument, Client, Command, either
from gateway.store.wire.errors import Lost, Refused

_REPEATS = 2
_SOON = 0.05
"""Seconds before a key is asked for again that is on its way from one node to another."""
_KEYLESS = frozenset({"PING"})
_AFTER_A_COUNT = frozenset({"EVAL", "EVALSHA"})


class _Asked(msgspec.Struct, frozen=True):
    """Where one command goes this time, whatever the map says; `asking`: the slot is only just moving there."""

    host: Host
    asking: bool


class Cluster:
    """Commands go to the node that holds their key. `connect` makes a node's client, which repeats nothing."""

    def __init__(self, slots: Slots, connect: Callable[[Host], Client]) -> None:
        self._slots = slots
        self._connect = connect
        self._clients: dict[Host, Client] = {}

    async def execute(self, *command: Argument) -> Any:
        """See `Client`. A command without a key is run on any node."""
        [answer] = await self.each([command])
        if isinstance(answer, StoreDown):
            raise answer
        return answer

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`. What goes to one node is sent together."""
        try:
            await self._slots.known()
        except StoreDown as error:
            return [StoreDown(str(error), perhaps=False) for _ in commands]
        answers: list[Any] = [None] * len(commands)
        wanted: dict[int, _Asked | None] = dict.fromkeys(range(len(commands)))
        for repeat in range(_REPEATS + 1):
            for index, answer in (await self._spread(commands, wanted)).items():
                before = answers[index]
                answers[index] = answer if before is None else either(before, answer)
            wanted = await self._elsewhere(commands, {index: answers[index] for index in wanted}, lost=repeat == 0)
            if not wanted:
                break
        return answers

    async def primaries(self) -> list[Client]:
        """Return a client of each node that holds keys."""
        await self._slots.known()
        return [self._client(host) for host in self._slots.holders()]

    async def close(self) -> None:
        """See `Client`."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _spread(self, commands: Sequence[Command], wanted: dict[int, _Asked | None]) -> dict[int, Any]:
        """Send each of the `wanted` commands to its node, all for one node together; return what came back."""
        nodes: dict[Host, list[int]] = {}
        for index, asked in wanted.items():
            nodes.setdefault(asked.host if asked else self._holder(commands[index]), []).append(index)
        together = [
            self._send(host, {index: (commands[index], wanted[index]) for index in indices})
            for host, indices in nodes.items()
        ]
        found: dict[int, Any] = {}
        for answers in [await together[0]] if len(together) == 1 else await asyncio.gather(*together):
            found |= answers
        return found

    async def _send(self, host: Host, commands: dict[int, tuple[Command, _Asked | None]]) -> dict[int, Any]:
        lines: list[Command] = []
        places = []
        for command, asked in commands.values():
            if asked and asked.asking:
                lines.append(("ASKING",))
            places.append(len(lines))
            lines.append(command)
        answers = await self._client(host).each(lines)
        return {index: answers[place] for index, place in zip(commands, places, strict=True)}

    async def _elsewhere(
        self, commands: Sequence[Command], answers: dict[int, Any], *, lost: bool
    ) -> dict[int, _Asked | None]:
        """Return which commands are to be sent again, and where to; `lost`: those whose connection failed too."""
        again: dict[int, _Asked | None] = {}
        failed: set[Host] = set()
        for index, answer in answers.items():
            match answer:
                case Refused(code="MOVED" | "ASK" as code):
                    slot, host = _pointed(answer, self._holder(commands[index]))
                    if code == "MOVED":
                        self._slots.move(slot, host)
                    again[index] = _Asked(host, asking=code == "ASK")
                case Refused(code="TRYAGAIN"):
                    again[index] = None
                case Lost() | Refused(code="CLUSTERDOWN"):
                    failed.add(self._holder(commands[index]))
                    if lost:
                        again[index] = None
        if any(isinstance(answers[index], Refused) and answers[index].code == "TRYAGAIN" for index in again):
            await asyncio.sleep(_SOON)
        if failed:
            await self._slots.learn(avoid=failed)
            await self._drop()
        return again

    def _holder(self, command: Command) -> Host:
        return self._slots.holder(_key(command))

    def _client(self, host: Host) -> Client:
        if host not in self._clients:
            self._clients[host] = self._connect(host)
        return self._clients[host]

    async def _drop(self) -> None:
        """Close the connections to nodes that there are no more."""
        gone = [self._clients.pop(host) for host in self._clients.keys() - self._slots.hosts()]
        for client in gone:
            await client.close()


def _key(command: Command) -> str | None:
    """Return a command's first key."""
    if command[0] in _KEYLESS:
        return None
    return str(command[3 if command[0] in _AFTER_A_COUNT else 1])


def _pointed(answer: Refused, told_by: Host) -> tuple[int, Host]:
    """Return which slot an answer is about, and where it points; without a host, at another port of who gave it.

    MOVED 3999 127.0.0.1:6381
    """
    _, slot, address = str(answer).split(" ")[:3]
    name, _, port = address.rpartition(":")
    return int(slot), Host(name or told_by.name, int(port))
