"""The proof that a lost answer is no lost job: the start ran, its answer became a 502, and the caller gets the outcome.

The caller blocks all the while and is not told of any of it; nothing is started a second time.
"""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from gateway.core.modes import UpstreamMode
from gateway.demo.conversation import Conversation, outcome_or_why
from gateway.demo.outcome import arguments, not_the_output
from gateway.demo.pairs import ROUTES
from gateway.demo.stage import Stage
from gateway.demo.upstream_side import not_once, seen_upstream, spoilt_answers

_TAG = "in doubt"
_DURATION = 1.0
_LOST = {"fault": "502-after"}
"""What the simulator does to the start: the job runs, and the answer is a load balancer's page."""


@dataclass(frozen=True)
class Doubt:
    """How it went: what was wrong, if anything."""

    wrong: str | None


async def doubt(http: aiohttp.ClientSession, stage: Stage) -> Doubt:
    """Have the answer to a start spoilt, and see what its blocked caller gets. Raises DemoError without a simulator."""
    talk = Conversation(http, stage.gateway_url + ROUTES[UpstreamMode.JOBS], arguments(_TAG, _DURATION))
    spoilt_before = await spoilt_answers(http, stage.simulator_url)
    outcome = await outcome_or_why(talk.start(extra=_LOST))
    if isinstance(outcome, str):
        return Doubt(outcome)
    spoilt = await spoilt_answers(http, stage.simulator_url) - spoilt_before
    seen = await seen_upstream(http, stage.simulator_url)
    return Doubt(not_the_output(outcome, _TAG) or not_once(seen, _TAG) or _not_in_doubt(spoilt))


def _not_in_doubt(spoilt: int) -> str | None:
    """Return why nothing was proved: the answer came through."""
    return None if spoilt == 1 else f"{spoilt} answers of the upstream were spoilt instead of 1"
