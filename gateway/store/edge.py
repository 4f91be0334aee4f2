"""The edge to the client library: whatever it raises is one condition to all above, and what it returns is bytes."""

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
    """Raise `StoreDown` for what the client raises of a server that is away, or cannot serve."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreDown(f"{type(error).__name__}: {error}") from error


def readable(decode: Callable[[bytes], T], record: bytes | str) -> T:
    """Return what `record` says. Raises `StoreDown` for one that only another version can read."""
    try:
        return decode(raw(record))
    except Unreadable as error:
        raise StoreDown(f"a record cannot be read: {error}") from error


def reads(decode: Callable[[bytes], object], record: bytes | None) -> bool:
    """Whether `record` is absent or readable."""
    try:
        return record is None or bool(decode(record))
    except Unreadable:
        return False


def raw(value: bytes | str) -> bytes:
    """Return a reply's bytes: the client's types leave open whether it decodes them."""
    assert isinstance(value, bytes), "the client must not decode responses"
    return value


def maybe(value: bytes | str | None) -> bytes | None:
    """Return the bytes of a reply that may be none."""
    return None if value is None else raw(value)


def text(value: bytes | str | None) -> str:
    """Return a reply's text; a few commands the client decodes whatever it was told."""
    return value.decode() if isinstance(value, bytes) else value or ""
