"""What these tests share: gateways before any upstream, a receiver of callbacks, problem documents, waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from gateway.app.lifecycle import running
from gateway.worker.settings import CallbackSettings
from tests.support.listening import listening
from tests.support.rig import TOKEN, GatewayProcess, config

Found = TypeVar("Found")

PROBLEM = "urn:callmode:problem:"


@dataclass(frozen=True)
class Answer:
    """One response, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def problem(self) -> str | None:
        """The problem's code; None if this is the upstream's own answer, or to a HEAD."""
        if not self.body or self.headers.get("Content-Type") != "application/problem+json":
            return None
        return self.json["type"].removeprefix(PROBLEM)


class Caller:
    """A client with a bearer token, which follows no redirect by itself."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def __call__(self, method: str = "POST", path: str = "/t/folder/async", **kwargs: Any) -> Answer:
        """Call `path` of the gateway, or an absolute URL."""
        url = path if path.startswith("http") else self.url + path
        async with self._session.request(method, url, allow_redirects=False, **kwargs) as response:
            return Answer(response.status, response.headers, await response.read())

    async def start(self, method: str = "POST", path: str = "/t/folder/async", **kwargs: Any) -> Answer:
        """Start a job: the arguments (`json`) go into the query of a GET, as triggers have it."""
        if method == "GET":
            kwargs["params"] = {name: str(value) for name, value in kwargs.pop("json").items()}
        return await self(method, path, **kwargs)


@contextlib.asynccontextmanager
async def calling(url: str, *, token: str | None = TOKEN) -> AsyncIterator[Caller]:
    """Give a client of the gateway at `url`."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"} if token else {},
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=30),
    ) as session:
        yield Caller(url, session)


@contextlib.asynccontextmanager
async def fronting(upstream_url: str, **settings: Any) -> AsyncIterator[Caller]:
    """Run a gateway in this process before `upstream_url`; `settings` go to the rig's `config`."""
    async with running(config(upstream_url, **settings)) as addresses, calling(f"http://{addresses['data']}") as caller:
        yield caller


@contextlib.asynccontextmanager
async def serving(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[GatewayProcess]:
    """Run `callmode serve` as a process until the end of the block, however it ends."""
    process = await GatewayProcess.start("serve", *arguments, "--admin", "off", env=env)
    try:
        await process.logged("listening", port="data")
        yield process
    finally:
        await process.stop()


@dataclass
class Receiver:
    """Takes callbacks: one entry of `deliveries` for each, in order of arrival."""

    url: str = ""
    deliveries: list[Answer] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first delivery."""
    status: int = 204
    """What each delivery is answered with."""
    settings: ClassVar[CallbackSettings] = CallbackSettings(allow=("127.0.0.0/8",), insecure=True)
    """What lets a gateway call it."""

    async def _take(self, request: web.Request) -> web.Response:
        self.deliveries.append(Answer(200, request.headers.copy(), await request.read()))
        self.arrived.set()
        return web.Response(status=self.status)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver of callbacks on loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver._take)
    async with listening(app) as origin:
        receiver.url = f"{origin}/done"
        yield receiver


async def eventually(look: Callable[[], Awaitable[Found]], *, within: float = 15) -> Found:
    """Look again and again at what another process does, until what is seen is true; return it."""
    async with asyncio.timeout(within):
        while not (found := await look()):  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.02)
        return found


def written(directory: Path, text: str) -> str:
    """Write a configuration file; return its path."""
    path = directory / "gateway.yaml"
    path.write_text(text)
    return str(path)


async def exchange(url: str, request: bytes) -> Answer | None:
    """Send raw bytes to the host of `url`; return its first final answer, or None if it closed without one."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await _read_answer(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip().split("\r\n")
    headers = CIMultiDict((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return Answer(int(status_line.split(" ")[1]), headers, body)


def check_problem(answer: Answer, status: int, code: str) -> str:
    """See that an answer is the problem `code`, whole and by RFC 9457; return its detail."""
    assert (answer.status, answer.problem) == (status, code), answer
    document = answer.json
    assert document["status"] == status
    assert document["title"]
    assert isinstance(document["retryable"], bool)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Job-Status" not in answer.headers
    return document["detail"]
