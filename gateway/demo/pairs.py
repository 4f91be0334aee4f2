"""The pairs: every upstream mode with every caller mode, from the tables of modes, each run through real HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.demo.callers import CALLERS
from gateway.demo.conversation import Conversation, outcome_or_why
from gateway.demo.outcome import Outcome, arguments, not_dispatched, not_the_output
from gateway.demo.receiver import Receiver
from gateway.demo.upstream_side import Seen, not_once

ROUTES: dict[UpstreamMode, str] = {
    UpstreamMode.ASYNC: "/async",
    UpstreamMode.LONG_POLL: "/long-poll",
    UpstreamMode.FORGET: "/forget",
    UpstreamMode.JOBS: "/jobs",
}
"""The routes of demo.yaml, by their upstream mode."""

_SHORTEST = 0.6
_APART = 0.02
"""Seconds between the ends of the jobs: all run at once, and none has to share its end with another."""

_STRIDE = 7
"""Relatively prime to the number of pairs: deals the ends out, so that no mode always has the early ones."""


@dataclass(frozen=True)
class Pair:
    """One conversion."""

    upstream: UpstreamMode
    caller: CallerMode

    @property
    def tag(self) -> str:
        """The name of its job."""
        return f"{self.upstream} to {self.caller}"


PAIRS = tuple(itertools.starmap(Pair, itertools.product(UpstreamMode, CallerMode)))


@dataclass(frozen=True)
class Run:
    """A pair that was run. `heard` is what the caller got, `answered_at` when it had its outcome (loop time).

    `wrong` says what was not as it has to be, None where all was. Without an answer, `answered_at` is None.
    """

    pair: Pair
    heard: str
    hops: int
    wrong: str | None
    answered_at: float | None = None

    def well(self, seen: Mapping[str, Seen]) -> bool:
        """Return whether the outcome was exact, and the job started once."""
        return self.wrong is None and not_once(seen, self.pair.tag) is None

    def delay(self, seen: Mapping[str, Seen]) -> float | None:
        """Return the seconds from the job's end to the answer; None where there is no answer to that end."""
        job = seen.get(self.pair.tag)
        if self.answered_at is None or job is None or job.ended_at is None or self.pair.upstream is UpstreamMode.FORGET:
            return None
        # Both are readings of event loops' clocks, which tick in milliseconds.
        return max(0.0, self.answered_at - job.ended_at)


async def run_pairs(http: aiohttp.ClientSession, gateway_url: str, receiver: Receiver) -> list[Run]:
    """Run every pair, all at once."""
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(
                _run(http, gateway_url, receiver, pair, _SHORTEST + index * _STRIDE % len(PAIRS) * _APART)
            )
            for index, pair in enumerate(PAIRS)
        ]
    return [task.result() for task in running]


async def _run(http: aiohttp.ClientSession, gateway_url: str, receiver: Receiver, pair: Pair, duration: float) -> Run:
    talk = Conversation(http, gateway_url + ROUTES[pair.upstream], arguments(pair.tag, duration))
    outcome = await outcome_or_why(CALLERS[pair.caller].call(talk, receiver))
    if isinstance(outcome, str):
        return Run(pair, talk.heard, talk.hops, outcome)
    answered_at = asyncio.get_running_loop().time()
    return Run(pair, talk.heard, talk.hops, _wrong(pair, outcome, talk.job_id), answered_at)


def _wrong(pair: Pair, outcome: Outcome, job_id: str) -> str | None:
    if pair.upstream is UpstreamMode.FORGET:
        return not_dispatched(outcome, job_id)
    return not_the_output(outcome, pair.tag)
