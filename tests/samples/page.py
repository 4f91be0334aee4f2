"""A sample made ready to run, the gateway that it calls, and the job that has to come of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.simulator import Settings, Simulator
from tests.clients.tap import Tap, tapped
from tests.support.rig import TOKEN, Rig, policy, rig, with_store

HERE = Path(__file__).parent

URL = "https://cloud.uipath.com/{organizationName}/{tenantName}/orchestrator_/t/<INVOKE_URL>"
ACCESS_TOKEN = "<PERSONAL_ACCESS_TOKEN>"

OUTPUT = {"argument1": 123, "argument2": "my string"}
"""The arguments of every sample; the simulator's job gives them back as its output."""

OUTPUT_TEXT = json.dumps(OUTPUT, separators=(",", ":"))
"""The same, as `JSON.stringify` prints it and as the simulator sends it."""

TRIGGERS = {
    "async-invoice": "AsyncRequestReply",
    "longpoll-invoice": "AsyncRequestReply",
    "fixed-longpoll-invoice": "LongPolling",
}
"""The triggers by slug, with the mode that each answers the gateway in: it asks for polling, which the last ignores."""

SIMULATOR = Settings(duration=0.6, leg=0.2)
"""Jobs of 0.6 s; a trigger that insists on long-polling redirects the gateway twice or thrice meanwhile."""


def filled(sample: Path, url: str, **names: str) -> str:
    """Return a sample with the caller's URL and token in their places, and `names` replaced by what they stand for.

    Raises ValueError where the sample has no such place: then it is not the page's any more.
    """
    text = sample.read_text()
    for place, value in {URL: url, ACCESS_TOKEN: TOKEN, **names}.items():
        if place not in text:
            raise ValueError(f"{sample.name} has no {place}")
        text = text.replace(place, value)
    return text


@asynccontextmanager
async def gateway(redis_url: str, **decisions: Any) -> AsyncIterator[tuple[Rig, Tap]]:
    """Run a gateway whose policy has these `decisions`, in front of `SIMULATOR`; callers go through the tap."""
    async with (
        rig(shared=with_store(redis_url), simulator=SIMULATOR, policy=policy(**decisions)) as running,
        tapped(running.url) as tap,
    ):
        yield running, tap


def check_one_job(simulator: Simulator, slug: str) -> None:
    """The trigger was started once, with the sample's arguments, and spoke the mode that it has."""
    (job,) = simulator.jobs.values()
    assert simulator.counters.starts == 1
    assert (job.slug, job.mode, job.arguments.own) == (slug, TRIGGERS[slug], OUTPUT)
