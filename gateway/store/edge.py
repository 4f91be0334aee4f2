"""The edge to the client library: whatever it raises is one condition to all above."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from gateway.store.port import StoreDown


@contextmanager
def mapped() -> Iterator[None]:
    """Raise `StoreDown` for what the client raises of a server that is away, or cannot serve."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreDown(f"{type(error).__name__}: {error}") from error
