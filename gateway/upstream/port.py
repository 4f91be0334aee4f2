"""What the upstream's adapters need: a client that sends one request once, and a way to run things beside requests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.core.exchange import Exchanged, Request


class Client(Protocol):
    """A pool of long-lived connections to the upstream. Nothing is ever sent twice."""

    def exchange(
        self, request: Request, *, timeout: float, max_idle: float | None = None
    ) -> Coroutine[Any, Any, Exchanged]:
        """Send `request` once and return the complete answer, or the failure.

        `timeout`: seconds from the call to the last byte of the answer. `max_idle`: seconds a pooled connection may
        have idled to be used (None: any that is alive). Raises only `asyncio.CancelledError`.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Exchanges under way end as failures."""
        ...


class Spawn(Protocol):
    """Runs something in the background, supervised."""

    def __call__(self, coroutine: Coroutine[Any, Any, None], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run `coroutine`; its failure is told elsewhere."""
        ...
