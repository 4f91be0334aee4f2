"""Orchestrator's API triggers, in all three of their call modes.

One adapter serves the three, because what came back decides and not what was asked for: a start is asked in one mode
and judged by its answer, a leg is read by its kind. The rules of both are `core/outcome.py`; here is the I/O.
"""

from __future__ import annotations

from gateway.core import events as e
from gateway.core.exchange import Headers, Request
from gateway.core.job import Leg
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import LOCATION_REFUSED, Origins, StartContext, judge_read, judge_start
from gateway.core.start import StartRequest
from gateway.upstream.port import Client

_READ_HEADERS: Headers = (
    ("Accept", "*/*"),
    # The outcome is kept and handed to callers who may not decode: ask for it plain.
    ("Accept-Encoding", "identity"),
)


class Triggers:
    """Starts jobs and reads their legs. `own_bearer` is the gateway's credential; None: each job brings its own."""

    def __init__(self, client: Client, origins: Origins, own_bearer: str | None = None) -> None:
        self._client = client
        self._origins = origins
        self._own_bearer = own_bearer

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
        headers = (*start.headers, *self._authorization(bearer))
        request = Request(start.method, start.url, headers, start.body)
        exchanged = await self._client.exchange(request, timeout=timeout / 1000, max_idle=max_idle / 1000)
        return judge_start(exchanged, StartContext(start.url, asked, self._origins, self._own_bearer is not None))

    async def read(
        self, leg: Leg, bearer: str | None, *, timeout: int, redirects: int = 0, failures: int = 0
    ) -> e.Event:
        """Read `leg` once and say what it came to. `timeout` is milliseconds; the counts are the record's."""
        if not self._origins.permits(leg.url):
            # The configuration has changed since the leg was saved; the credential does not leave for there.
            return e.Lost(
                f"{self._origins.setting} no longer allows the host that the job is followed on", LOCATION_REFUSED
            )
        request = Request("GET", leg.url, (*_READ_HEADERS, *self._authorization(bearer)))
        exchanged = await self._client.exchange(request, timeout=timeout / 1000)
        return judge_read(exchanged, leg, self._origins, redirects, failures)

    async def accepts(self, leg: Leg, bearer: str, *, timeout: int) -> bool:
        """Whether the upstream lets `bearer` read `leg`: the proof of a token that claims to be a job's owner.

        Only what nobody else is told counts: of a stranger's token, too, a 403 or 404 is an answer like any outcome.
        """
        return isinstance(await self.read(leg, bearer, timeout=timeout), e.StillRunning | e.Redirected)

    def _authorization(self, bearer: str | None) -> Headers:
        token = self._own_bearer or bearer
        return () if token is None else (("Authorization", f"Bearer {token}"),)
