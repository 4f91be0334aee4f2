"""The edge to records that another version wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.store.codec import Unreadable
from gateway.store.port import StoreDown

T = TypeVar("T")


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
