"""Orchestrator as the worker sees it: triggers and the Jobs API behind one port."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.core import events as e
from gateway.core.job import Job, Leg, LegKind, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding
from gateway.core.start import StartRequest
from gateway.upstream.jobs_api import JobsApi
from gateway.upstream.triggers import Triggers

Asking = Coroutine[Any, Any, e.Event]
"""What is awaited for what came of an action: that of the one which is asked, since each frame between would be held
for as long as a long-poll is, thousands of times."""


class Orchestrator:
    """The worker's `Upstream`: hands each action to the one of the two that it belongs to. Times are milliseconds."""

    def __init__(self, triggers: Triggers, jobs: JobsApi) -> None:
        self._triggers = triggers
        self._jobs = jobs

    @property
    def own_jobs_credential(self) -> bool:
        """Whether the Jobs API is called under a credential of the gateway's, rather than callers' own."""
        return self._jobs.own

    def job_leg(self, key: str, folder: str | None) -> Leg:
        """Return what is read of the job of a key in Orchestrator. Raises ValueError for a key that is no GUID."""
        return self._jobs.job_leg(key, folder)

    def start(
        self,
        start: StartRequest,
        asked: UpstreamMode | None,
        bearer: str | None,
        *,
        timeout: int,
        max_idle: int,
    ) -> Asking:
        """Send a start once and say what it came to."""
        if asked is UpstreamMode.JOBS:
            return self._jobs.start(start, bearer, timeout=timeout, max_idle=max_idle)
        return self._triggers.start(start, asked, bearer, timeout=timeout, max_idle=max_idle)

    def reconcile(self, job: Job, binding: Binding, bearer: str | None, *, timeout: int) -> Asking:
        """Ask what became of a job whose start is in doubt: `Followed` if exactly one is it, else `NoVerdict`."""
        return self._jobs.reconcile(job, binding, bearer, timeout=timeout)

    def stop(self, job: Job, binding: Binding, strategy: StopStrategy, bearer: str | None, *, timeout: int) -> Asking:
        """Ask for the job to be stopped: `StopSent` or `StopFailed`; `Located` if only its key was found so far."""
        return self._jobs.stop(job, binding, strategy, bearer, timeout=timeout)

    def read(
        self,
        leg: Leg,
        bearer: str | None,
        *,
        timeout: int,
        redirects: int = 0,
        failures: int = 0,
        told: bool = False,
    ) -> Asking:
        """Read a leg once and say what it came to. `told`: something says that it has news; nothing older counts."""
        if leg.kind is LegKind.JOB:
            return self._jobs.read(leg, bearer, timeout=timeout, failures=failures, told=told)
        return self._triggers.read(leg, bearer, timeout=timeout, redirects=redirects, failures=failures)

    async def accepts(self, leg: Leg, bearer: str, *, timeout: int) -> bool:
        """Whether the upstream lets `bearer` read `leg`; see `Triggers.accepts`, which alone can tell."""
        return leg.kind is not LegKind.JOB and await self._triggers.accepts(leg, bearer, timeout=timeout)

    async def readable(self, leg: Leg, bearer: str, *, timeout: int) -> bool:
        """Whether the job of `leg`, a leg of the Jobs API, is read with `bearer`: no proof that it is its owner's."""
        return leg.kind is LegKind.JOB and await self._jobs.readable(leg, bearer, timeout=timeout)
