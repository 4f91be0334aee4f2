"""A client of a Redis Cluster, as far as the store needs one: every command has keys of one slot, or none.

redis-py's own does not fit what jobs need. It closes the connections of all who use it when one command meets a node
that is down; it asks every node for the slots anew, and for the table of all commands, after any time-out; it sends
ASKING and the command it is for over whichever connections are free; it fails when its connections are all in use
instead of waiting for one; and a write cannot be followed by WAIT on its own connection.

A command is sent again at most twice: where a node sent it elsewhere without running it, and once where a connection
failed. The second may run it twice, which is harmless for the reason given in `redis.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec
import redis.asyncio as redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError

from gateway.store.address import Host

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""A command and redis-py's options for it."""
Unit = list[Command]
"""Commands for one connection: the first may have keys, the others none."""

_SLOTS = 16384
_REPEATS = 2
_SOON = 0.05
"""Seconds before a key is asked for again that is on its way from one node to another."""
_KEYLESS = frozenset({"PING", "WAIT", "INFO", "CONFIG GET", "ACL WHOAMI"})
_AFTER_A_COUNT = frozenset({"EVAL", "EVALSHA"})
_LOST = (RedisError, OSError, TimeoutError)


class _Asked(msgspec.Struct, frozen=True):
    """Where one unit goes this time, whatever the map says; `asking`: the slot is only just moving there."""

    host: Host
    asking: bool


class Cluster(redis.Redis):
    """Commands go to the node that holds their key. `seeds`: nodes to begin with; `connect` makes a node's client.

    A node's client must not repeat anything by itself. `patience`: seconds that asking all nodes for the map may take.
    """

    def __init__(self, seeds: Sequence[Host], connect: Callable[[Host], redis.Redis], *, patience: float) -> None:
        # Nothing of the base class but its commands is used, and all of them end in `execute_command` or `pipeline`.
        self._seeds = tuple(seeds)
        self._connect = connect
        self._patience = patience
        self._clients: dict[Host, redis.Redis] = {}
        self._slots: list[Host] = []
        self._others: tuple[Host, ...] = ()
        self._rounds = 0
        self._learning = asyncio.Lock()
        self._turns = itertools.count(secrets.randbelow(_SLOTS))

    def __repr__(self) -> str:
        """Name the nodes that were given."""
        return f"Cluster({', '.join(f'{host.name}:{host.port}' for host in self._seeds)})"

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that holds its key; on any node if it has none."""
        [[answer]] = await self.run([[(args, options)]])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:  # type: ignore[override]
        """Return a batch of commands, which are spread over the nodes; there are no transactions."""
        assert not transaction
        assert shard_hint is None
        return Pipeline(self)

    async def primaries(self) -> list[redis.Redis]:
        """Return a client of each node that holds keys."""
        await self._known()
        return [self._client(host) for host in dict.fromkeys(self._slots)]

    async def any(self) -> redis.Redis:
        """Return a client of one node, another one each time: what is published anywhere is heard everywhere."""
        await self._known()
        hosts = self._hosts()
        return self._client(hosts[next(self._turns) % len(hosts)])

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose(close_connection_pool)

    async def run(self, units: Sequence[Unit]) -> list[list[Any]]:
        """Return the answers to each unit, errors among them."""
        await self._known()
        answers: list[list[Any]] = [[] for _ in units]
        wanted: dict[int, _Asked | None] = dict.fromkeys(range(len(units)))
        for repeat in range(_REPEATS + 1):
            for index, answer in (await self._spread(units, wanted)).items():
                answers[index] = answer
            wanted = await self._elsewhere(units, {index: answers[index][0] for index in wanted}, lost=repeat == 0)
            if not wanted:
                break
        return answers

    async def _spread(self, units: Sequence[Unit], wanted: dict[int, _Asked | None]) -> dict[int, list[Any]]:
        """Send each of the `wanted` units to its node, all for one node together; return what came back."""
        nodes: dict[Host, list[int]] = {}
        for index, asked in wanted.items():
            nodes.setdefault(asked.host if asked else self._holder(units[index]), []).append(index)
        together = [
            self._send(self._client(host), {index: (units[index], wanted[index]) for index in indices})
            for host, indices in nodes.items()
        ]
        found: dict[int, list[Any]] = {}
        for answers in [await together[0]] if len(together) == 1 else await asyncio.gather(*together):
            found |= answers
        return found

    async def _send(self, client: redis.Redis, units: dict[int, tuple[Unit, _Asked | None]]) -> dict[int, list[Any]]:
        try:
            async with client.pipeline(transaction=False) as pipe:
                for unit, asked in units.values():
                    if asked and asked.asking:
                        pipe.execute_command("ASKING")
                    for args, options in unit:
                        pipe.execute_command(*args, **options)
                answers = iter(await pipe.execute(raise_on_error=False))
        except _LOST as error:
            return {index: [error] * len(unit) for index, (unit, _) in units.items()}
        found = {}
        for index, (unit, asked) in units.items():
            if asked and asked.asking:
                next(answers)
            found[index] = list(itertools.islice(answers, len(unit)))
        return found

    async def _elsewhere(self, units: Sequence[Unit], first: dict[int, Any], *, lost: bool) -> dict[int, _Asked | None]:
        """Return which units are to be sent again, and where to; `lost`: those whose connection failed too."""
        again: dict[int, _Asked | None] = {}
        for index, answer in first.items():
            match answer:
                case MovedError():
                    host = self._named(answer, units[index])
                    self._slots[answer.slot_id] = host
                    again[index] = _Asked(host, asking=False)
                case AskError():
                    again[index] = _Asked(self._named(answer, units[index]), asking=True)
                case TryAgainError():
                    again[index] = None
                case ClusterDownError() if lost:
                    again[index] = None
                case ResponseError():
                    pass
                case Exception() if lost:
                    again[index] = None
        if any(isinstance(first[index], TryAgainError) for index in again):
            await asyncio.sleep(_SOON)
        failed = {self._holder(units[index]) for index, answer in first.items() if _is_lost(answer)}
        if failed:
            await self._learn(avoid=failed)
        return again

    def _named(self, answer: AskError, unit: Unit) -> Host:
        """Return where an answer points; without a host, at another port of the one that gave it."""
        return Host(answer.host or self._holder(unit).name, answer.port)

    def _holder(self, unit: Unit) -> Host:
        key = _key(unit[0][0])
        if key is None:
            return self._slots[next(self._turns) % _SLOTS]
        return self._slots[key_slot(key if isinstance(key, bytes) else key.encode())]

    def _client(self, host: Host) -> redis.Redis:
        if host not in self._clients:
            self._clients[host] = self._connect(host)
        return self._clients[host]

    async def _known(self) -> None:
        if not self._slots:
            await self._learn(avoid=frozenset())

    async def _learn(self, *, avoid: set[Host] | frozenset[Host]) -> None:
        """Ask the nodes, those to `avoid` last, which of them holds which slots; raise if that has never been known."""
        rounds = self._rounds
        async with self._learning:
            if self._rounds == rounds:  # else somebody has just asked, with whatever success
                self._rounds += 1
                await self._ask(sorted(self._hosts(), key=avoid.__contains__))
        if not self._slots:
            raise ClusterDownError("no node that answers knows the holders of all slots")

    async def _ask(self, hosts: list[Host]) -> None:
        for host in hosts:
            with suppress(*_LOST):
                async with asyncio.timeout(self._patience / len(hosts)):
                    ranges = await _slots(self._client(host))
                if self._take(ranges, host):
                    for gone in self._clients.keys() - self._hosts():
                        await self._clients.pop(gone).aclose()
                    return

    def _hosts(self) -> list[Host]:
        return list(dict.fromkeys((*self._slots, *self._others, *self._seeds)))

    def _take(self, ranges: list[Any], told_by: Host) -> bool:
        """Take the answer to CLUSTER SLOTS for the map, if it names a holder of every slot."""
        slots: list[Host | None] = [None] * _SLOTS
        others = []
        for begin, end, primary, *replicas in ranges:
            slots[begin : end + 1] = [_host(primary, told_by)] * (end + 1 - begin)
            others += [_host(replica, told_by) for replica in replicas]
        holders = [host for host in slots if host is not None]
        if len(holders) != _SLOTS:
            return False
        self._slots, self._others = holders, tuple(others)
        return True


class Pipeline(redis.Redis):
    """Commands that wait to be sent. One without a key goes after the one before it, on the same connection."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._units: list[Unit] = []

    async def __aenter__(self) -> Self:
        """Return the pipeline."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hold nothing: connections are taken when the commands are sent."""

    def execute_command(self, *args: Any, **options: Any) -> Pipeline:  # type: ignore[override]
        """Add a command."""
        if self._units and _key(args) is None:
            self._units[-1].append((args, options))
        else:
            self._units.append([(args, options)])
        return self

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send the commands; return the answers in order, or raise the first error among them."""
        units, self._units = self._units, []
        answers = [answer for unit in await self._cluster.run(units) for answer in unit] if units else []
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers


def _key(args: Sequence[Any]) -> str | bytes | None:
    """Return a command's first key."""
    if args[0] in _KEYLESS:
        return None
    key: str | bytes = args[3 if args[0] in _AFTER_A_COUNT else 1]
    return key


def _is_lost(answer: Any) -> bool:
    if isinstance(answer, ClusterDownError):
        return True
    return isinstance(answer, Exception) and not isinstance(answer, ResponseError)


def _host(told: Sequence[Any], told_by: Host) -> Host:
    """Return a node of CLUSTER SLOTS; one that does not know its own name is where it was asked."""
    name = told[0].decode() if told[0] else told_by.name
    return Host(told_by.name if name == "?" else name, int(told[1]))


async def _slots(client: Any) -> list[Any]:
    """Ask a node which slots are whose; not by redis-py's method, which hides what the nodes say of themselves."""
    ranges: list[Any] = await client.execute_command("CLUSTER", "SLOTS")
    return ranges
