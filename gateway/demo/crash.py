"""The proof that a job outlives its gateway: `kill -9` while it runs, a restart, and the poll URI gives the outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from gateway.core.modes import UpstreamMode
from gateway.demo.callers import poll
from gateway.demo.conversation import Conversation, outcome_or_why
from gateway.demo.outcome import arguments, not_the_output
from gateway.demo.pairs import ROUTES
from gateway.demo.stage import Stage
from gateway.demo.upstream_side import not_once, seen_upstream

_TAG = "killed"
_DURATION = 2.0


@dataclass(frozen=True)
class Crash:
    """How it went: how long (seconds) the gateway was gone, and what was wrong, if anything."""

    gone: float
    wrong: str | None


async def crash(http: aiohttp.ClientSession, stage: Stage) -> Crash:
    """Kill the gateway with a job in flight, restart it, and ask for the outcome. Raises DemoError if it stays down."""
    talk = Conversation(http, stage.gateway_url + ROUTES[UpstreamMode.ASYNC], arguments(_TAG, _DURATION))
    clock = asyncio.get_running_loop().time
    accepted = await outcome_or_why(talk.start({"Prefer": "respond-async"}))
    if isinstance(accepted, str):
        return Crash(0.0, accepted)
    await stage.kill_gateway()
    killed_at = clock()
    await stage.restart_gateway()
    gone = clock() - killed_at
    outcome = await outcome_or_why(poll(talk, accepted))
    if isinstance(outcome, str):
        return Crash(gone, outcome)
    seen = await seen_upstream(http, stage.simulator_url)
    return Crash(gone, not_the_output(outcome, _TAG) or not_once(seen, _TAG))
