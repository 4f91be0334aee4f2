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
        """Return what the verdict does to `job`; None if it is about another doubt, or about none."""
        if job.state is not State.UNKNOWN or job.changed != self.since:
            return None
        if self.fate is Fate.RUNNING and self.leg is not None:
            return e.Followed(UpstreamMode.JOBS, self.leg, self.key)
        if self.fate is Fate.ENDED and self.outcome is not None:
            return e.Ended(self.outcome)
        return e.StartRefused(problem_outcome(StartNeverRan()), frees_key=True)
