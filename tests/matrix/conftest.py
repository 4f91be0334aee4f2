"""Gateways for the matrix, each with a receiver of callbacks: over a real store, or in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from gateway.store.redis import RedisStore
from gateway.store.settings import StoreSettings
from tests.matrix import receiver as receivers
from tests.matrix.client import Client, open_session
from tests.matrix.receiver import Receiver, receiving
from tests.support.fake_store import fake_servers
from tests.support.rig import Rig, rig, with_store


@dataclass
class Stage:
    """A running gateway with its simulator, a session of callers, and a receiver of callbacks."""

    running: Rig
    session: aiohttp.ClientSession
    receiver: Receiver

    @property
    def client(self) -> Client:
        """A client that sends its credential with every request."""
        return Client(self.running, self.session)

    @property
    def signed_only(self) -> Client:
        """A client that sends its credential with calls of triggers alone."""
        return Client(self.running, self.session, signed_only=True)

    def ended_at(self, job: str) -> float:
        """Return the loop time at which the job with this argument `id` ended."""
        return self.running.simulator.ended_at[job]

    def upstream_calls(self) -> int:
        """Return how many calls the upstream has had."""
        counters = self.running.simulator.counters
        reads = counters.polls + counters.legs + counters.outputs
        return counters.jobs + reads + counters.job_reads + counters.lists + counters.stops

    def started_once(self, job: str) -> bool:
        """Whether the job with this argument `id` was started, and only once."""
        simulator = self.running.simulator
        return simulator.starts_by_argument[job] == simulator.jobs_by_argument[job] == 1


Staging = Callable[..., contextlib.AbstractAsyncContextManager[Stage]]


@contextlib.asynccontextmanager
async def _staged(**settings: Any) -> AsyncIterator[Stage]:
    async with (
        receiving() as receiver,
        open_session() as session,
        rig(callbacks=receivers.SETTINGS, **settings) as running,
    ):
        yield Stage(running, session, receiver)


@pytest.fixture
def staged(redis_url: str) -> Staging:
    """Return what runs a gateway over a real store; its arguments are those of `rig`."""
    return lambda **settings: _staged(shared=with_store(redis_url), **settings)


@pytest.fixture
def virtual() -> Staging:
    """Return the same in virtual time, for tests marked `looptime`.

    The sockets are real: what one end has sent, the other can read at once, and the loop's clock moves only when there
    is nothing to read. The store is in this process and takes the loop's clock for its own. Its expiry follows the wall
    clock all the same, so that nothing expires in virtual time.
    """

    @contextlib.asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Stage]:
        loop, began = asyncio.get_running_loop(), int(time.time() * 1000)
        store = RedisStore(
            fake_servers(),
            StoreSettings(prefix=f"test-{secrets.token_hex(4)}"),
            now=lambda: began + int(loop.time() * 1000),
        )
        try:
            async with _staged(store=store, **settings) as stage:
                yield stage
        finally:
            await store.close()

    return run
