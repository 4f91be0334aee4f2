"""The upstream client's port: send one request once, and say exactly what came of it."""

from __future__ import annotations

from typing import Protocol

from gateway.core.exchange import Exchanged, Request


class Client(Protocol):
    """A pool of long-lived connections to the upstream. Nothing is ever sent twice."""

    async def exchange(self, request: Request, *, timeout: float, max_idle: float | None = None) -> Exchanged:
        """Send `request` once and return the complete answer, or the failure.

        `timeout`: seconds from the call to the last byte of the answer. `max_idle`: seconds a pooled connection may
        have idled to be used (None: any that is alive). Raises only `asyncio.CancelledError`.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Exchanges under way end as failures."""
        ...
