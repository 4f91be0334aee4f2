"""The edge to what is not ours: redis-py, which raises errors of its own, and records that another version wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis.exceptions import RedisError

from gateway.store.codec import Unreadable
from gateway.store.port import StoreDown

T = TypeVar("T")


@contextmanager
def mapped() -> Iterator[None]:
    """Raise `StoreDown` for what redis-py raises of a server that is away, or cannot serve."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreDown(f"{type(error).__name__}: {error}") from error
    except RuntimeError as error:
        if "handler is closed" not in str(error):
            raise
        # uvloop's word for a connection that was cut just before something was sent.
        raise StoreDown("the connection was closed") from error


def readable(decode: Callable[[bytes], T], record: bytes) -> T:
    """Return what `record` says. Raises `StoreDown` for one that only another version can read."""
    try:
        return decode(record)
    except Unreadable as error:
        raise StoreDown(f"a record cannot be read: {error}") from error


def reads(decode: Callable[[bytes], object], record: bytes | None) -> bool:
    """Whether `record` is absent or readable."""
    try:
        return record is None or bool(decode(record))
    except Unreadable:
        return False


def text(value: bytes | str | None) -> str:
    """Return the text of what redis-py says; a few things it decodes whatever it was told."""
    return value.decode() if isinstance(value, bytes) else value or ""
