"""The page's JavaScript samples, run by node: 303 redirects, which `fetch` follows by itself."""

from __future__ import annotations

import re

import pytest

from tests.clients.tools import run, tool
from tests.samples.page import HERE, OUTPUT_TEXT, TRIGGERS, check_one_job, filled, gateway

SLEEP_DURATION = "150"
"""Milliseconds; the sample looks 20 times, which is five times as long as a job runs."""


@pytest.fixture
def printed(tmp_path):
    """Return what runs a sample and gives the lines it printed."""
    node = tool("node", "nodejs")

    async def lines(sample: str, url: str, **names: str) -> list[str]:
        program = tmp_path / f"{sample}.mjs"
        program.write_text(filled(HERE / "javascript" / program.name, url, **names))
        ran = await run(node, str(program))
        assert ran.status == 0, ran.stderr.decode()
        return ran.stdout.decode().splitlines()

    return lines


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_async_polling(redis_url, printed, slug):
    """202 with an absolute Location, then 200 until `fetch` is redirected to the output."""
    async with gateway(redis_url) as (running, tap):
        accepted, answered = await printed("async_polling", f"{tap.url}/t/folder/{slug}", SLEEP_DURATION=SLEEP_DURATION)
        location = accepted.removeprefix("Got 202, with location: ")
        assert re.fullmatch(re.escape(tap.url) + r"/-/jobs/[^/?]+/poll\?sig=\S+", location)
        assert answered == f"Got 200, with body: {OUTPUT_TEXT}"
        assert [request.target for request in tap.requests].count(location.removeprefix(tap.url)) > 1
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_fire_and_forget(redis_url, printed, slug):
    """200 as soon as the job is started."""
    async with gateway(redis_url) as (running, tap):
        assert await printed("fire_and_forget", f"{tap.url}/t/folder/{slug}") == ["Got 200"]
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_long_polling(redis_url, printed, slug):
    """One blocking call, for a job shorter than the gateway's hold."""
    async with gateway(redis_url) as (running, tap):
        assert await printed("long_polling", f"{tap.url}/t/folder/{slug}") == [f"Got 200 with body {OUTPUT_TEXT}"]
        assert len(tap.requests) == 1
        check_one_job(running.simulator, slug)


@pytest.mark.parametrize("slug", TRIGGERS)
async def test_long_polling_over_several_hops(redis_url, printed, slug):
    """The same output where the job outlasts the hold, redirect after redirect."""
    async with gateway(redis_url, hold=100) as (running, tap):
        assert await printed("long_polling", f"{tap.url}/t/folder/{slug}") == [f"Got 200 with body {OUTPUT_TEXT}"]
        assert len(tap.hops) >= 2
        check_one_job(running.simulator, slug)
