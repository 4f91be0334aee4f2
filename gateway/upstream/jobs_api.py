"""Orchestrator's Jobs API as an upstream: starting by it, reading jobs, finding those in doubt, stopping them.

The rules are `core/jobs_api.py`; here is the I/O. Every call names the folder, in which alone a key means something.
"""

from __future__ import annotations

import asyncio

import msgspec

from gateway.core import events as e
from gateway.core.exchange import Failure, Request
from gateway.core.job import Job, Leg, StopStrategy
from gateway.core.jobs_api import (
    Attached,
    folder_headers,
    folder_of,
    job_in,
    job_leg,
    judge_job,
    judge_jobs_start,
    key_in,
    place,
    stop_url,
)
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import Origins, StartContext, disallowed, retry_after
from gateway.core.policy import Binding
from gateway.core.start import StartRequest
from gateway.upstream.attachments import Attachments
from gateway.upstream.credentials import Authorized
from gateway.upstream.group_reads import GroupReads
from gateway.upstream.listing import READ_HEADERS, Listing, Place, Trouble
from gateway.upstream.search import Search

_NONE_YET = "Orchestrator lists no job of this start so far"


class JobsApi:
    """The Jobs API, under its own credential, the upstream's, or the callers'. Times are milliseconds."""

    def __init__(
        self,
        calls: Authorized,
        origins: Origins,
        listing: Listing,
        search: Search,
        attachments: Attachments,
        group_reads: GroupReads | None = None,
    ) -> None:
        self._calls = calls
        self._origins = origins
        self._base = origins.upstream_url
        self._listing = listing
        self._search = search
        self._attachments = attachments
        self._group_reads = group_reads

    @property
    def own(self) -> bool:
        """Whether it is called under a credential of the gateway's, rather than callers' own."""
        return self._calls.own

    def job_leg(self, key: str, folder: str | None) -> Leg:
        """Return what is read of the job of a key in Orchestrator. Raises ValueError for a key that is no GUID."""
        return job_leg(self._base, key, folder)

    async def start(self, start: StartRequest, bearer: str | None, *, timeout: int, max_idle: int) -> e.Event:
        """Send a `StartJobs`, once, and say what it came to."""
        request = Request(start.method, start.url, start.headers, start.body)
        exchanged = await self._calls.exchange(request, bearer, timeout=timeout / 1000, max_idle=max_idle / 1000)
        context = StartContext(start.url, UpstreamMode.JOBS, self._origins, self._calls.own)
        return judge_jobs_start(exchanged, context, folder_of(start.headers))

    async def read(
        self, leg: Leg, bearer: str | None, *, timeout: int, failures: int = 0, told: bool = False
    ) -> e.Event:
        """Read a job, and its output if that lies elsewhere, and say what it came to.

        That it runs may be known from a list; not where something has `told` that there is news, nor after `failures`.
        """
        if (lost := disallowed(leg, self._origins)) is not None:
            return lost
        ends = asyncio.get_running_loop().time() + timeout / 1000
        where, key = Place(leg.folder, None if self.own else bearer), key_in(leg)
        if (grouped := self._group_reads) is None or key is None:
            return await self._read(leg, bearer, ends=ends, failures=failures)
        # Half of the time is enough for a list: what is left is for reading by itself.
        if not told and not failures and (ago := await grouped.ran(where, key, timeout=timeout / 2000)) is not None:
            return e.StillRunning(ago=round(ago * 1000))
        event = await self._read(leg, bearer, ends=ends, failures=failures)
        if isinstance(event, e.Ended):
            grouped.forget(where, key)
        return event

    async def _read(self, leg: Leg, bearer: str | None, *, ends: float, failures: int) -> e.Event:
        """Read a job by itself. `ends`: when, in the loop's time, it may take no longer."""
        left = ends - asyncio.get_running_loop().time()
        request = Request("GET", leg.url, (*READ_HEADERS, *folder_headers(leg.folder)))
        judged = judge_job(await self._calls.exchange(request, bearer, timeout=left), leg, failures)
        if isinstance(judged, Attached):
            left = ends - asyncio.get_running_loop().time()
            return await self._attachments.outcome(judged.key, leg, bearer, timeout=left, failures=failures)
        return judged

    async def readable(self, leg: Leg, bearer: str, *, timeout: int) -> bool:
        """Whether `bearer` reads the job of `leg`; never where it would not be used."""
        if self.own or disallowed(leg, self._origins) is not None:
            return False
        request = Request("GET", leg.url, (*READ_HEADERS, *folder_headers(leg.folder)))
        exchanged = await self._calls.exchange(request, bearer, timeout=timeout / 1000)
        return not isinstance(exchanged, Failure) and exchanged.status == 200 and job_in(exchanged) is not None

    async def reconcile(self, job: Job, binding: Binding, bearer: str | None, *, timeout: int) -> e.Event:
        """Ask what became of a job whose start is in doubt: `Followed` if exactly one is it, else `NoVerdict`."""
        if job.upstream_key is not None:
            return await self._known(job, job.upstream_key, binding, bearer, timeout)
        key = await self._find(job, binding, bearer, timeout)
        if isinstance(key, Trouble):
            return e.NoVerdict(key.why, key.hint)
        return self._followed(job, key, binding)

    async def stop(
        self, job: Job, binding: Binding, strategy: StopStrategy, bearer: str | None, *, timeout: int
    ) -> e.Event:
        """Ask for the job to be stopped: `StopSent` or `StopFailed`; `Located` if only its key was found so far."""
        if job.upstream_key is None:
            key = await self._find(job, binding, bearer, timeout)
            return e.StopFailed(key.why, key.hint) if isinstance(key, Trouble) else e.Located(key)
        where = Place(place(job, binding)[0], bearer)
        ends = asyncio.get_running_loop().time() + timeout / 1000
        document = await self._listing.one(where, job.upstream_key, timeout=timeout / 1000)
        if isinstance(document, Trouble):
            return e.StopFailed(document.why, document.hint)
        if document is None or document.id is None:
            return e.StopFailed("Orchestrator knows no job of this key")
        if document.ended is not None:
            # There is nothing left to stop, and asking for it is an error; how it ended, the next read tells.
            return e.StopSent(strategy)
        return await self._stop(where, document.id, strategy, ends - asyncio.get_running_loop().time())

    async def _stop(self, where: Place, job: int, strategy: StopStrategy, timeout: float) -> e.Event:
        body = msgspec.json.encode({"strategy": strategy.value, "jobIds": [job]})
        headers = (*READ_HEADERS, ("Content-Type", "application/json"), *folder_headers(where.folder))
        request = Request("POST", stop_url(self._base), headers, body)
        exchanged = await self._calls.exchange(request, where.bearer, timeout=timeout)
        if isinstance(exchanged, Failure):
            return e.StopFailed(f"the Jobs API was not reached with the request to stop ({exchanged.reason.value})")
        if exchanged.status < 300:
            return e.StopSent(strategy)
        return e.StopFailed(
            f"the Jobs API answered the request to stop with {exchanged.status}", retry_after(exchanged)
        )

    async def _known(self, job: Job, key: str, binding: Binding, bearer: str | None, timeout: int) -> e.Event:
        """Follow a job whose key is known, if Orchestrator still knows it too: else it would be lost at once again."""
        where = Place(place(job, binding)[0], bearer)
        document = await self._listing.one(where, key, timeout=timeout / 1000)
        if isinstance(document, Trouble):
            return e.NoVerdict(document.why, document.hint)
        if document is None:
            return e.NoVerdict("Orchestrator knows no job of this key")
        return self._followed(job, key, binding)

    async def _find(self, job: Job, binding: Binding, bearer: str | None, timeout: int) -> str | Trouble:
        """Return the key of the one job that the start made; where it may have made several, of the first."""
        found = await self._search.find(job, binding, bearer, timeout=timeout / 1000)
        if isinstance(found, Trouble):
            return found
        if not found.keys:
            return Trouble(_NONE_YET)
        if len(found.keys) > 1 and not binding.repeated:
            return Trouble(f"Orchestrator has {len(found.keys)} jobs of this start: {', '.join(sorted(found.keys))}")
        return found.keys[0]

    def _followed(self, job: Job, key: str, binding: Binding) -> e.Event:
        return e.Followed(UpstreamMode.JOBS, self.job_leg(key, place(job, binding)[0]), key)
