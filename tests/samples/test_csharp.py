"""The page's C# samples, compiled and run by mono: 302 redirects, the only ones that they know as such."""

from __future__ import annotations

import asyncio

import pytest

from tests.clients.tools import compile_csharp, run
from tests.samples.page import HERE, OUTPUT_TEXT, TRIGGERS, check_one_job, filled, gateway

SOURCES = HERE / "csharp"
SAMPLES = ("AsyncPolling", "FireAndForget", "Sync")


@pytest.fixture
def printed(tmp_path):
    """Return what runs a sample and gives what it printed.

    The samples hold their URL as a constant, so they are compiled for each one: a fifth of a second.
    """

    async def text(sample: str, url: str) -> str:
        sources = [tmp_path / f"{name}.cs" for name in SAMPLES]
        for source in sources:
            source.write_text(filled(SOURCES / source.name, url))
        command = await asyncio.to_thread(compile_csharp, [*sources, SOURCES / "Program.cs"], tmp_path / "samples.exe")
        ran = await run(*command, sample)
        assert ran.status == 0, ran.stderr.decode()
        return ran.stdout.decode()

    return text


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_async_polling(redis_url, printed, slug):
    """202, then polls each second until a 302 names the output, which the sample returns."""
    async with gateway(redis_url, redirect_status=302) as (running, tap):
        assert await printed("AsyncPolling", f"{tap.url}/t/folder/{slug}") == OUTPUT_TEXT + "\n"
        assert sum("/poll?" in request.target for request in tap.requests) > 1
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_fire_and_forget(redis_url, printed, slug):
    """200 as soon as the job is started, which .NET calls OK."""
    async with gateway(redis_url, redirect_status=302) as (running, tap):
        assert await printed("FireAndForget", f"{tap.url}/t/folder/{slug}") == "OK\n"
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_sync(redis_url, printed, slug):
    """One blocking call, for a job shorter than the gateway's hold."""
    async with gateway(redis_url, redirect_status=302) as (running, tap):
        assert await printed("Sync", f"{tap.url}/t/folder/{slug}") == OUTPUT_TEXT + "\n"
        assert len(tap.requests) == 1
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_sync_over_several_hops(redis_url, printed, slug):
    """The sample's own loop follows a job that outlasts the hold."""
    async with gateway(redis_url, redirect_status=302, hold=100) as (running, tap):
        assert await printed("Sync", f"{tap.url}/t/folder/{slug}") == OUTPUT_TEXT + "\n"
        assert len(tap.hops) >= 2
        check_one_job(running.simulator, slug)


async def test_sync_takes_a_303_for_the_end(redis_url, printed):
    """Why `redirect_status` exists: with Orchestrator's own status the sample stops at the first redirect, empty."""
    async with gateway(redis_url, redirect_status=303, hold=100) as (_, tap):
        assert await printed("Sync", f"{tap.url}/t/folder/async-invoice") == "\n"
        assert not tap.hops
