"""All that is in the store under one prefix, at an instant: to be compared, put back, and aged."""

from __future__ import annotations

from typing import Any

import redis.asyncio

TOLERANCE = 60_000
"""What is told of the time by the clock of a real server drifts from virtual time while a test runs, in ms."""

_READS = {
    "hash": "hgetall",
    "set": "smembers",
    "zset": "zrange",
    "string": "get",
}
_KINDS = {
    "job": "hash",
    "delivery": "hash",
    "key": "hash",
    "followed": "set",
    "deliveries": "set",
    "watch": "set",
    "dead": "zset",
    "replicas": "zset",
    "body": "string",
    "tomb": "string",
    "join": "string",
    "token": "string",
}


def kind_of(key: str) -> str:
    """Return the kind of a key, as `keys.py` names it."""
    parts = key.split(":", 3)
    return parts[2] if len(parts) == 4 else parts[1]


def name_of(key: str) -> str:
    """Return whose the key is: a row, an idempotency key, an incarnation."""
    return key.split(":", 3)[3]


class Picture:
    """The contents, and the times to live in ms, by key."""

    def __init__(self, values: dict[str, Any], left: dict[str, int]) -> None:
        self.values = values
        self.left = left

    def of(self, kind: str) -> dict[str, Any]:
        """Return all values of a kind by the names of their keys."""
        return {name_of(key): value for key, value in self.values.items() if kind_of(key) == kind}

    def left_of(self, kind: str) -> dict[str, int]:
        """Return the times to live of a kind by the names of their keys."""
        return {name_of(key): left for key, left in self.left.items() if kind_of(key) == kind}

    def same(self, other: Picture) -> bool:
        """Whether nothing was written between the two: the contents are equal, and no key lives longer."""
        return self.values == other.values and all(
            abs(left - other.left[key]) < TOLERANCE for key, left in self.left.items()
        )


class Contents:
    """What is under `prefix`, reached with a plain client."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def picture(self) -> Picture:
        """Return all of it."""
        names = [key.decode() async for key in self._client.scan_iter(f"{self._prefix}:*", count=10_000)]
        kinds = [_KINDS[kind_of(name)] for name in names]
        async with self._client.pipeline(transaction=False) as pipe:
            for name, kind in zip(names, kinds, strict=True):
                getattr(pipe, _READS[kind])(name, *((0, -1, False, True) if kind == "zset" else ()))
                pipe.pttl(name)
            answers = await pipe.execute() if names else []
        values = {name: _value(kind, value) for name, kind, value in zip(names, kinds, answers[::2], strict=True)}
        return Picture(values, dict(zip(names, answers[1::2], strict=True)))

    async def age(self, milliseconds: int) -> None:
        """Let so much of every key's time to live pass."""
        left = (await self.picture()).left
        async with self._client.pipeline(transaction=False) as pipe:
            for key, milliseconds_left in left.items():
                if milliseconds_left <= milliseconds:
                    pipe.delete(key)
                else:
                    pipe.pexpire(key, milliseconds_left - milliseconds)
            await pipe.execute()

    async def put_back(self, picture: Picture, age: int) -> None:
        """Replace everything by what was there `age` ms ago."""
        await self.drop()
        async with self._client.pipeline(transaction=False) as pipe:
            for key, value in picture.values.items():
                if picture.left[key] > age:
                    _write(pipe, key, value)
                    pipe.pexpire(key, picture.left[key] - age)
            await pipe.execute()

    async def drop(self, *keys: str) -> None:
        """Drop these keys, or everything."""
        gone = keys or tuple((await self.picture()).values)
        if gone:
            await self._client.delete(*gone)


def _value(kind: str, value: Any) -> Any:
    return {"set": frozenset, "zset": dict}.get(kind, lambda same: same)(value)


def _write(pipe: Any, key: str, value: Any) -> None:
    match _KINDS[kind_of(key)]:
        case "hash":
            pipe.hset(key, mapping=value)
        case "set":
            pipe.sadd(key, *value)
        case "zset":
            pipe.zadd(key, value)
        case _:
            pipe.set(key, value)
