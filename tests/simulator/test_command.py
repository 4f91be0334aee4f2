"""`callmode simulate`: its options reach the tenant."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys

import aiohttp
import pytest

FORM = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "a:b"}


@contextlib.asynccontextmanager
async def simulate(*options: str):
    """Run the command on a free port and give its origin; it ends well when it is told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "simulate", "--listen", "127.0.0.1:0", *options, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = (await process.stderr.readline()).decode()
        yield re.search(r"http://[^/]+", line)[0]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_clients_and_webhooks():
    """OAuth clients get tokens, which alone are good then; webhooks are registered and signed."""
    options = (
        "--client",
        "me:a:b",
        "--token-lifetime",
        "60",
        "--webhook",
        "http://127.0.0.1:1/",
        "--webhook-secret",
        "s",
    )
    async with simulate(*options) as origin, aiohttp.ClientSession() as session:
        async with session.post(f"{origin}/acme/identity_/connect/token", data=FORM) as response:
            token = await response.json()
        assert token["expires_in"] == 60
        for bearer, status in (("made-up", 401), (token["access_token"], 202)):
            headers = {"Authorization": f"Bearer {bearer}"}
            async with session.post(f"{origin}/t/folder/job", json={}, headers=headers) as response:
                assert response.status == status
        async with session.get(f"{origin}/_sim/webhooks") as response:
            (webhook,) = await response.json()
        assert (webhook["url"], webhook["signed"]) == ("http://127.0.0.1:1/", True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--client", "nonsense"), "ID:SECRET"),
        (("--client", ":secret"), "ID:SECRET"),
        (("--webhook", "nonsense"), "http"),
    ],
)
async def test_options_that_make_no_sense(options, words):
    """One line says what is wrong, and the command fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "simulate", *options, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert (process.returncode, len(said.splitlines())) == (1, 1)
    assert words in said.decode()
