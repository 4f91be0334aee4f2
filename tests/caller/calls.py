"""Calls as the renderers' tests make them, and steps told in a word or two, so that tables of them can be read."""

from __future__ import annotations

import msgspec

from gateway.caller.links import JobUrls
from gateway.caller.port import Call, GiveUp, OutcomeReply, ProblemReply, Reply, Step, Stream, Wait
from gateway.core.job import Job
from gateway.core.modes import CallerMode
from gateway.core.policy import MINUTE, Policy
from tests.core.strategies import BORN

ORIGIN = "https://gate.example"
NOW = BORN + 1_000
"""When the calls here arrive: all jobs of `in_state` have reached their state by then."""


def urls(job: Job) -> JobUrls:
    """Return the job's unsigned URLs."""
    return JobUrls(ORIGIN, job.id)


def policy(**changes: object) -> Policy:
    """Return the default policy with changes."""
    return msgspec.structs.replace(Policy(), **changes)


def call(mode: CallerMode | None = CallerMode.SYNC, rules: Policy | None = None, **fields: object) -> Call:
    """Return a call that arrives at `NOW` and would wait for a minute."""
    given = {"policy": rules or Policy(), "urls": urls, "arrived": NOW, "mode": mode, "until": NOW + MINUTE}
    return Call(**(given | fields))


def told(step: Step) -> str:
    """Say a step in a word or two: `wait 2000` (from `NOW`), `202`, `problem wait-timeout`, `outcome`, `stream`."""
    match step:
        case Wait(until):
            return f"wait {until - NOW}"
        case Reply(status):
            return str(status)
        case ProblemReply(problem):
            return f"problem {problem.code}"
        case OutcomeReply():
            return "outcome"
        case Stream():
            return "stream"
        case GiveUp():
            return "give up"
