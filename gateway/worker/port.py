"""What the worker needs of the world besides the store."""

from __future__ import annotations

from typing import Protocol

from gateway.core import events as e
from gateway.core.delivery import Attempt, Delivery
from gateway.core.job import Job, Leg, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding, Policy
from gateway.core.start import StartRequest


class Upstream(Protocol):
    """Where jobs run. All times are milliseconds."""

    async def start(
        self,
        start: StartRequest,
        asked: UpstreamMode | None,
        bearer: str | None,
        *,
        timeout: int,
        max_idle: int,
    ) -> e.Event:
        """Send a start once and say what it came to."""
        ...

    async def reconcile(self, job: Job, binding: Binding, bearer: str | None, *, timeout: int) -> e.Event:
        """Ask what became of a job whose start is in doubt: `Followed` if exactly one is it, else `NoVerdict`."""
        ...

    async def stop(
        self, job: Job, binding: Binding, strategy: StopStrategy, bearer: str | None, *, timeout: int
    ) -> e.Event:
        """Ask for the job to be stopped: `StopSent` or `StopFailed`; `Located` if only its key was found so far."""
        ...

    async def read(
        self,
        leg: Leg,
        bearer: str | None,
        *,
        timeout: int,
        redirects: int = 0,
        failures: int = 0,
        told: bool = False,
    ) -> e.Event:
        """Read a leg once and say what it came to. `told`: something says that it has news; nothing older counts."""
        ...


class Postman(Protocol):
    """Delivers outcomes to callback URLs."""

    async def deliver(self, delivery: Delivery, job: Job, body: bytes, now: int) -> tuple[Attempt, int]:
        """Try once; return the attempt and how long the receiver asked to wait (ms, or 0)."""
        ...


class Policies(Protocol):
    """The routes' policies, as configured now."""

    def policy(self, route: str) -> Policy:
        """Return the policy of a route; the default one for a route that is no longer there."""
        ...


class Observer(Protocol):
    """Told of what happens to jobs, for logs and traces. Must not fail and must not wait."""

    def __call__(self, job: Job, event: e.Event) -> None:
        """Take note of `event`, which led to `job`."""
        ...
