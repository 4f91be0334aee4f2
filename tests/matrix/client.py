"""The test's client: one HTTP exchange at a time, redirects left to whoever converses; what every answer carries."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Mapping

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.core.modes import CallerMode
from tests.support.rig import TOKEN, Rig

_LINK = re.compile(r'<([^>]*)>; rel="([a-z]+)"')
_OF_THE_UPSTREAM = ("Server", "Set-Cookie", "CF-Ray", "CF-Cache-Status")


@dataclasses.dataclass(frozen=True)
class Request:
    """One call of a trigger, before its caller says how it is to be answered."""

    path: str
    body: bytes
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def demanding(self, mode: CallerMode) -> Request:
        """Return the call with its mode demanded by header."""
        return self.with_headers({"Call-Mode": mode.value})

    def demanding_in_path(self, mode: CallerMode) -> Request:
        """Return the call with its mode demanded by the path's prefix."""
        return dataclasses.replace(self, path=f"/-/call/{mode.value}{self.path}")

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """Return the call with `headers` added."""
        return dataclasses.replace(self, headers={**self.headers, **headers})


@dataclasses.dataclass(frozen=True)
class Answer:
    """One complete answer. Times are loop times: of its head, and of its last byte."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    head_at: float
    at: float

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.headers["Job-Id"]

    @property
    def links(self) -> dict[str, str]:
        """The URLs of `Link`, by relation."""
        return {relation: url for url, relation in _LINK.findall(self.headers["Link"])}

    @property
    def retry_after(self) -> int:
        """The seconds of `Retry-After`, which has to be a positive integer."""
        seconds = int(self.headers["Retry-After"])
        assert seconds >= 1
        return seconds


class Client:
    """A caller of a gateway. `signed_only`: it drops its credential on job URLs, as browsers do on a redirect."""

    def __init__(self, running: Rig, session: aiohttp.ClientSession, *, signed_only: bool = False) -> None:
        self.running = running
        self._session = session
        self._signed_only = signed_only

    async def start(self, request: Request, *, method: str = "POST") -> Answer:
        """Call a trigger."""
        headers = {"Authorization": f"Bearer {TOKEN}", **request.headers}
        return await self._exchange(method, self.running.url + request.path, headers, request.body)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read one of a job's URLs."""
        credential = {} if self._signed_only else {"Authorization": f"Bearer {TOKEN}"}
        return await self._exchange("GET", url, {**credential, **(headers or {})})

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        loop = asyncio.get_running_loop()
        async with self._session.request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
        ) as response:
            head_at = loop.time()
            return Answer(response.status, response.headers, await response.read(), head_at, loop.time())


def open_session() -> aiohttp.ClientSession:
    """Return a session that changes nothing of what it receives, and whose connections are not counted."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


def check_about_job(answer: Answer, job_id: str, applied: CallerMode, *, stoppable: bool = False) -> None:
    """See that an answer carries what every answer about a job carries, and nothing of the upstream's own site.

    `stoppable`: there is a way to stop the job, which is linked while it lives. API triggers alone give none.
    """
    assert answer.job_id == job_id
    assert answer.headers["Call-Mode-Applied"] == applied.value
    assert answer.links.keys() - ({"cancel"} if stoppable else set()) == {"monitor", "result", "events"}
    assert all(job_id in url for url in answer.links.values())
    assert answer.headers["Cache-Control"] == "no-store"
    assert not any(name in answer.headers for name in _OF_THE_UPSTREAM)
