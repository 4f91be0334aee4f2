"""Lists and single documents of the Jobs API, for those who look for something in them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from gateway.core.exchange import Answer, Failure, Request
from gateway.core.jobs_api import JobDocument, folder_headers, job_in, job_leg, jobs_in, list_url
from gateway.core.outcome import retry_after
from gateway.upstream.budget import Budget
from gateway.upstream.credentials import Authorized

_TIMEOUT = 30.0
"""Seconds for one call."""
_PAGE = 1000
"""The largest that Orchestrator gives."""
_PAGES = 5
"""A filter that matches more than this is none that could find one job."""

READ_HEADERS = (("Accept", "application/json"), ("Accept-Encoding", "identity"))


class Place(msgspec.Struct, frozen=True):
    """A folder as one credential sees it."""

    folder: str | None
    bearer: str | None
    """The caller's; of no effect where the gateway has its own."""


class Trouble(msgspec.Struct, frozen=True):
    """No answer that says anything of jobs. `hint`: milliseconds that Orchestrator, or a budget, asks to wait."""

    why: str
    hint: int = 0


class Listing:
    """Asks Orchestrator below `base`, a page of `page` jobs at a time."""

    def __init__(self, calls: Authorized, base: str, page: int = _PAGE) -> None:
        self._calls = calls
        self._base = base
        self._page = page

    async def matching(self, where: Place, condition: str, budget: Budget) -> list[JobDocument] | Trouble:
        """Return the jobs of a folder that an OData filter matches, without their arguments."""
        jobs: list[JobDocument] = []
        for page in range(_PAGES):
            found = await self._listed(where, self._list_url(condition, page * self._page), budget, _TIMEOUT)
            if isinstance(found, Trouble):
                return found
            jobs += found
            if len(found) < self._page:
                return jobs
        return Trouble("Orchestrator lists too many jobs of that time")

    async def states(
        self, where: Place, keys: Sequence[str], budget: Budget, *, timeout: float
    ) -> list[JobDocument] | Trouble:
        """Return keys and states of those of these jobs that there are. `timeout` is seconds.

        The filter is that of UiPath's own SDK, which puts 50 keys into one; its quotes and commas need no escapes
        (RFC 3986 3.4), and so it stays short enough for servers that take 2,048 characters of a query.
        """
        quoted = ",".join(f"'{key}'" for key in keys)
        url = f"{list_url(self._base)}?$filter=Key%20in%20({quoted})&$select=Key,State&$top={len(keys)}"
        return await self._listed(where, url, budget, timeout)

    async def _listed(self, where: Place, url: str, budget: Budget, timeout: float) -> list[JobDocument] | Trouble:
        if wait := budget.take():
            return Trouble("the calls that may list jobs (calls_per_minute) are used up for now", wait)
        answer = await self._get(where, url, timeout)
        if isinstance(answer, Trouble):
            return answer
        if answer.status == 429:
            budget.close(retry_after(answer))
        found = jobs_in(answer) if answer.status == 200 else None
        return _unusable(answer) if found is None else found

    async def one(self, where: Place, key: str, *, timeout: float = _TIMEOUT) -> JobDocument | Trouble | None:
        """Return the job of a key, with its arguments; None if Orchestrator has none. `timeout` is seconds."""
        answer = await self._get(where, job_leg(self._base, key, where.folder).url, timeout)
        if isinstance(answer, Trouble):
            return answer
        if answer.status == 404:
            return None
        job = job_in(answer) if answer.status == 200 else None
        return _unusable(answer) if job is None else job

    async def _get(self, where: Place, url: str, timeout: float) -> Answer | Trouble:
        request = Request("GET", url, (*READ_HEADERS, *folder_headers(where.folder)))
        exchanged = await self._calls.exchange(request, where.bearer, timeout=timeout)
        if isinstance(exchanged, Failure):
            return Trouble(f"the Jobs API was not reached ({exchanged.reason.value})")
        return exchanged

    def _list_url(self, condition: str, skip: int) -> str:
        options = f"$filter={quote(condition, safe='')}&$select=Id,Key,State,Reference&$orderby=Id&$top={self._page}"
        return f"{list_url(self._base)}?{options}&$skip={skip}"


def _unusable(answer: Answer) -> Trouble:
    return Trouble(f"the Jobs API answered {answer.status} and nothing of jobs", retry_after(answer))
