"""A client that speaks to a simulated tenant over real sockets and never touches a Location's bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.simulator import Settings, Simulator

AUTH = {"Authorization": "Bearer t0"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]


@dataclass
class Tenant:
    """A running simulator and a session of one client."""

    base: ClassVar[str] = "/acme/prod/orchestrator_"
    simulator: Simulator
    server: TestServer
    session: aiohttp.ClientSession

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def path(self, slug: str = "job") -> str:
        return f"{self.base}/t/folder/{slug}"

    async def call(self, method: str, target: str, headers: dict | None = None, **kwargs: Any) -> Reply:
        url = target if target.startswith("http") else self.origin + target
        async with self.session.request(
            method,
            URL(url, encoded=True),
            headers=AUTH if headers is None else headers,
            allow_redirects=False,
            **kwargs,
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def start(self, slug: str = "job", /, method: str = "POST", **arguments: Any) -> Reply:
        return await self.call(method, self.path(slug), json=arguments)

    async def get(self, target: str, headers: dict | None = None) -> Reply:
        return await self.call("GET", target, headers)

    async def admin(self, method: str, path: str, **kwargs: Any) -> Any:
        return (await self.call(method, f"/_sim/{path}", {}, **kwargs)).json


@pytest.fixture
async def tenant() -> AsyncIterator[Callable[..., Awaitable[Tenant]]]:
    """Return a function that starts a tenant with the given settings; all are stopped after the test."""
    running: list[Tenant] = []

    async def run(**settings: Any) -> Tenant:
        simulator = Simulator(Settings(**settings))
        server = TestServer(simulator.app(), host="127.0.0.1")
        await server.start_server(access_log=None)
        session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        running.append(Tenant(simulator, server, session))
        return running[-1]

    yield run
    for each in running:
        await each.session.close()
        await each.server.close()
