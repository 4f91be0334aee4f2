"""The demo as a whole: as a process on the real gateway, and in this process on a gateway that gets things wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from gateway.demo import command
from gateway.demo.pairs import PAIRS
from tests.support.listening import listening
from tests.support.rig import simulated

ROW = re.compile(r"(sync|async|long-poll|forget|callback|stream) .* \d+ +\d+ +(\d+ ms|-) +✓")


@contextlib.asynccontextmanager
async def demo_process(tmp_path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `callmode demo` with its temporary files in `tmp_path`; see that it ends, with all it left there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert list(tmp_path.iterdir()) == []


async def until(process: asyncio.subprocess.Process, text: str) -> str:
    """Read the process's output up to a line with `text`; return it all."""
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(60):
        async for line in process.stdout:
            seen += line.decode()
            if text in seen:
                return seen
    raise AssertionError(f"it ended without {text!r}: {seen}")


async def test_the_demo_is_green(tmp_path):
    """Every pair exact and started once, jobs that survive a lost answer and kill -9, plain text in a pipe, exit 0."""
    async with demo_process(tmp_path) as process:
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    assert len(ROW.findall(text)) == 24 == len(PAIRS), text
    assert "24 of 24 outcomes exact" in text
    assert "24 of 24 jobs started exactly once" in text
    assert "✓ the answer to a start lost: found again" in text
    assert "✓ kill -9 with a job in flight" in text
    assert "✗" not in text
    assert "\x1b" not in text


async def test_serve_leaves_it_running_until_interrupted(tmp_path):
    """The printed gateway answers a call like those printed, and is gone after Ctrl-C."""
    async with demo_process(tmp_path, "--serve") as process:
        text = await until(process, "Ctrl-C ends it")
        url = re.search(r"curl (http://\S+/async) ", text)[1]
        headers = dict(line.split(": ", 1) for line in re.findall(r"-H '(Authorization: [^']*)'", text))
        async with aiohttp.ClientSession(headers=headers) as http:
            async with http.post(url, data='{"n": 1, "duration": 0.1}') as answer:
                assert (answer.status, await answer.read()) == (200, b'{"n":1}')
            assert "POST /async 200 sync succeeded" in await until(process, "POST /async")
            process.send_signal(signal.SIGINT)
            rest = await until(process, "everything it started ends now")
            assert "Traceback" not in rest
            assert await process.wait() == 0
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.post(url, data="{}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_demo_says_so(tmp_path, number):
    """No traceback, no child, no file is left; the exit status is a shell's for an interrupt."""
    async with demo_process(tmp_path) as process:
        await until(process, "jobs started exactly once")
        process.send_signal(number)
        rest = await until(process, "The demo was interrupted")
        assert "Traceback" not in rest
        assert await process.wait() == 130


class WrongStage:
    """A stage whose gateway starts nothing and answers what it is told."""

    secret = b"secret"

    def __init__(self, simulator_url: str, gateway_url: str) -> None:
        self.simulator_url = simulator_url
        self.gateway_url = gateway_url

    async def kill_gateway(self) -> None: ...

    async def restart_gateway(self) -> None: ...


async def _rewrites(request: web.Request) -> web.Response:
    """Give the right output as a JSON library writes it again."""
    given = await request.json()
    return web.json_response(text=given["output_text"].replace("1.10", "1.1"))


async def _truncates(request: web.Request) -> web.StreamResponse:
    """Break off in the body."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


async def _promises(_: web.Request) -> web.Response:
    """Accept everything and say where to ask, in a way that no one understands."""
    return web.Response(status=202, headers={"Location": "http://127.0.0.1:1/", "Link": "none", "Job-Id": "j"})


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (_rewrites, "AsyncRequestReply to sync: the outcome's bytes differ from byte"),
        (_truncates, "AsyncRequestReply to sync: the connection broke"),
        (_promises, "LongPolling to async: the connection broke"),
    ],
)
async def test_a_gateway_that_gets_it_wrong_fails_the_demo(monkeypatch, capsys, handler, reason):
    """Exit 1, no pair is called good, and the reasons are said."""
    monkeypatch.setattr("gateway.demo.conversation._PATIENCE", 1.0)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)

    @contextlib.asynccontextmanager
    async def wrong(**_: int) -> AsyncIterator[WrongStage]:
        async with simulated() as (_simulator, upstream), listening(app) as gateway:
            yield WrongStage(upstream, gateway)

    monkeypatch.setattr(command.stages, "running", wrong)
    assert await command.demo() == 1
    text = capsys.readouterr().out
    assert reason in text
    assert "0 of 24 outcomes exact" in text
    assert "0 of 24 jobs started exactly once" in text
    assert "✗ the answer to a start lost" in text
    assert "✗ kill -9 with a job in flight" in text


async def test_a_stage_that_cannot_be_set_fails_the_demo(monkeypatch, capsys):
    """A process that does not start is said in plain words."""
    monkeypatch.setenv("CALLMODE_KEYRING", "no keyring")
    assert await command.demo() == 1
    assert "The demo failed: the gateway cannot be started" in capsys.readouterr().out
