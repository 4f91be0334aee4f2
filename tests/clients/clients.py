"""The clients under test: how each is told to send one request, and what it is known to do with redirects.

Each follows redirects by its own rules, and returns what it ended with.
"""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.clients.tools import compile_csharp, compile_java, run, tool
from tests.support.rig import TOKEN

PROGRAMS = Path(__file__).parent / "programs"
AUTHORIZATION = f"Bearer {TOKEN}"
JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """What a client ended with, after all the redirects that it followed."""

    status: int
    body: bytes


class Client(ABC):
    """One HTTP client.

    `limit`: redirects that it follows before it fails, or silently stops. `drops_authorization`: whether it leaves
    the bearer out when it follows one. `repeats_post`: whether it follows a 303 with another POST.
    """

    name: str
    limit: int
    drops_authorization = False
    repeats_post = False

    def prepare(self, directory: Path) -> None:  # noqa: B027 - Python's own clients need nothing
        """Find or compile what `send` runs. Skips the test where it is absent, or fails it in CI."""

    @abstractmethod
    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """Send a request with the caller's bearer, `body` labelled JSON, and follow where it leads."""


class Curl(Client):
    """`curl -L`, which goes on with GET after a 303."""

    name, limit = "curl", 50

    def prepare(self, directory: Path) -> None:
        """Take the one on PATH."""
        self._curl = tool("curl")

    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """`--data` makes it a POST."""
        fields = ("-H", f"Authorization: {AUTHORIZATION}", "-H", f"Content-Type: {JSON}")
        data = () if body is None else ("--data", body)
        ran = await run(self._curl, "-sSL", *self._method(method), *fields, *data, "-w", "%{stderr}%{http_code}", url)
        assert ran.status == 0, ran.stderr
        return Answer(int(ran.stderr), ran.stdout)

    def _method(self, method: str) -> tuple[str, ...]:
        return ()


class CurlWithMethod(Curl):
    """`curl -L -X POST`, as browsers and vendors copy it: the method is kept for every hop, and the body with it."""

    name, repeats_post = "curl -X", True

    def _method(self, method: str) -> tuple[str, ...]:
        return ("-X", method)


class Wget(Client):
    """`wget`, told to keep the body of an error."""

    name, limit = "wget", 20

    def prepare(self, directory: Path) -> None:
        """Take the one on PATH."""
        self._wget = tool("wget")

    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """`--post-data` makes it a POST; the statuses stand in what it tells of the server's answers."""
        fields = (f"--header=Authorization: {AUTHORIZATION}", f"--header=Content-Type: {JSON}")
        data = () if body is None else (f"--post-data={body}",)
        ran = await run(self._wget, "-nv", "-S", "-O-", "--tries=1", "--content-on-error", *fields, *data, url)
        return Answer(int(re.findall(rb"^ +HTTP/1\.1 (\d{3})", ran.stderr, re.MULTILINE)[-1]), ran.stdout)


class Urllib(Client):
    """Python's own `urllib.request`."""

    name, limit = "urllib", 10

    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """In a thread, since it blocks."""
        data = None if body is None else body.encode()
        headers = {"Authorization": AUTHORIZATION, "Content-Type": JSON}
        request = urllib.request.Request(url, data, headers, method=method)
        return await asyncio.to_thread(self._open, request)

    def _open(self, request: urllib.request.Request) -> Answer:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read())


class Aiohttp(Client):
    """aiohttp's client with its own defaults."""

    name, limit = "aiohttp", 9

    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """A session of its own for each request."""
        headers = {"Authorization": AUTHORIZATION, "Content-Type": JSON}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=headers) as response,
        ):
            return Answer(response.status, await response.read())


class Program(Client):
    """A program of ours around a client: METHOD URL [BODY], TOKEN in the environment."""

    _command: list[str]

    async def send(self, method: str, url: str, body: str | None = None) -> Answer:
        """Body on standard output, status on standard error."""
        ran = await run(*self._command, method, url, *(() if body is None else (body,)), env={"TOKEN": TOKEN})
        assert ran.status == 0, ran.stderr.decode()
        # node 18 warns on standard error that fetch is experimental: the status comes last.
        return Answer(int(ran.stderr[-3:]), ran.stdout)


class NodeFetch(Program):
    """node's `fetch`, which is undici."""

    name, limit = "node fetch", 20

    def prepare(self, directory: Path) -> None:
        """Nothing to compile."""
        self._command = [tool("node", "nodejs"), str(PROGRAMS / "fetch.mjs")]


class MonoHttpClient(Program):
    """.NET's HttpClient as mono has it: at its limit it returns the last redirect as if it were the answer."""

    name, limit, drops_authorization = "mono HttpClient", 50, True

    def prepare(self, directory: Path) -> None:
        """Compile it."""
        self._command = compile_csharp([PROGRAMS / "MonoHttpClient.cs"], directory / "client.exe")


class Java(Program):
    """A Java program; the JDK is too big to ask of a machine that has none, CI's included."""

    source: str

    def prepare(self, directory: Path) -> None:
        """Compile it."""
        command = compile_java(PROGRAMS / self.source, directory)
        if command is None:
            pytest.skip("no JDK on PATH")
        self._command = command


class JavaHttpClient(Java):
    """`java.net.http`: at its limit it returns the last redirect as if it were the answer."""

    name, limit, source = "java.net.http", 4, "JavaHttpClient.java"


class UrlConnection(Java):
    """`HttpURLConnection`."""

    name, limit, drops_authorization, source = "HttpURLConnection", 19, True, "UrlConnection.java"


CLIENTS: tuple[Client, ...] = (
    Curl(),
    CurlWithMethod(),
    Wget(),
    Urllib(),
    Aiohttp(),
    NodeFetch(),
    MonoHttpClient(),
    JavaHttpClient(),
    UrlConnection(),
)
