"""Orchestrator's API triggers, in all three of their call modes.

One adapter serves the three, because what came back decides and not what was asked for: a start is asked in one mode
and judged by its answer, a leg is read by its kind. The rules of both are `core/outcome.py`; here is the I/O.
"""

from __future__ import annotations

from gateway.core import events as e
from gateway.core.exchange import Headers, Request
from gateway.core.job import Leg
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import Origins, StartContext, disallowed, judge_read, judge_start
from gateway.core.start import StartRequest
from gateway.upstream.credentials import Authorized

_READ_HEADERS: Headers = (
    ("Accept", "*/*"),
    # The outcome is kept and handed to callers who may not decode: ask for it plain.
    ("Accept-Encoding", "identity"),
)


class Triggers:
    """Starts jobs and reads their legs."""

    def __init__(self, calls: Authorized, origins: Origins) -> None:
        self._calls = calls
        self._origins = origins

    async def start(
        self,
        start: StartRequest,
        asked: UpstreamMode | None,
        bearer: str | None,
        *,
        timeout: int,
        max_idle: int,
    ) -> e.Event:
        """Send `start`, once, and say what it came to. Times are milliseconds."""
        request = Request(start.method, start.url, start.headers, start.body)
        exchanged = await self._calls.exchange(request, bearer, timeout=timeout / 1000, max_idle=max_idle / 1000)
        return judge_start(exchanged, StartContext(start.url, asked, self._origins, self._calls.own))

    async def read(
        self, leg: Leg, bearer: str | None, *, timeout: int, redirects: int = 0, failures: int = 0
    ) -> e.Event:
        """Read `leg` once and say what it came to. `timeout` is milliseconds; the counts are the record's."""
        if (lost := disallowed(leg, self._origins)) is not None:
            return lost
        exchanged = await self._calls.exchange(Request("GET", leg.url, _READ_HEADERS), bearer, timeout=timeout / 1000)
        return judge_read(exchanged, leg, self._origins, redirects, failures)

    async def accepts(self, leg: Leg, bearer: str, *, timeout: int) -> bool:
        """Whether the upstream lets `bearer` read `leg`: the proof of a token that claims to be a job's owner.

        Only what nobody else is told counts: of a stranger's token, too, a 403 or 404 is an answer like any outcome.
        """
        return isinstance(await self.read(leg, bearer, timeout=timeout), e.StillRunning | e.Redirected)
