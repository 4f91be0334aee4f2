"""A verdict: what a person says became of a job whose start is in doubt."""

from __future__ import annotations

import enum

import msgspec

from gateway.core import events as e
from gateway.core.errors import StartNeverRan
from gateway.core.job import Job, Leg, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import problem_outcome


class Fate(enum.StrEnum):
    """What can have become of it."""

    NEVER_RAN = "never-ran"
    """Nothing was started; the caller may send it again."""
    RUNNING = "running"
    """It runs, or ran, in Orchestrator under a key that is known: it is followed there."""
    ENDED = "ended"
    """It has ended, and this is how."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the job that has been `unknown` since `since` (its `changed`, ms).

    `leg` and `key` come with `running`, `outcome` with `ended`.
    """

    fate: Fate
    since: int
    leg: Leg | None = None
    key: str | None = None
    outcome: Outcome | None = None

    def event(self, job: Job) -> e.Event | None:
        """Return what the verdict does to `job`; None if it is about another doubt, about none, or incomplete."""
        if job.state is not State.UNKNOWN or job.changed != self.since:
            return None
        match self:
            case Verdict(fate=Fate.NEVER_RAN):
                return e.StartRefused(problem_outcome(StartNeverRan()), frees_key=True)
            case Verdict(fate=Fate.RUNNING, leg=Leg() as leg):
                return e.Followed(UpstreamMode.JOBS, leg, self.key)
            case Verdict(fate=Fate.ENDED, outcome=Outcome() as outcome):
                return e.Ended(outcome)
            case _:
                return None
