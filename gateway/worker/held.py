"""How many connections of this replica wait upstream for jobs to end: what `auto` has a budget of.

Each replica has a budget of its own, and so needs to ask nobody: what the tenant bears is divided by whoever sets it.
Jobs of routes that always long-poll count too, but are not held back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from gateway.core.choosing import holds
from gateway.core.job import Job
from gateway.core.modes import UpstreamMode

_NOT_COUNTED = nullcontext()


class Held:
    """Counts them: from the choice to long-poll on, until the job has ended or is followed elsewhere."""

    def __init__(self, budget: int = 0) -> None:
        self.budget = budget
        self._jobs: set[str] = set()
        self._chosen = 0

    def __len__(self) -> int:
        return len(self._jobs) + self._chosen

    def chosen(self, mode: UpstreamMode | None) -> AbstractContextManager[None]:
        """Count one that was chosen and whose job is not followed yet."""
        return self._choosing() if mode is UpstreamMode.LONG_POLL else _NOT_COUNTED

    @contextmanager
    def _choosing(self) -> Iterator[None]:
        self._chosen += 1
        try:
            yield
        finally:
            self._chosen -= 1

    def note(self, job: Job) -> None:
        """Take note of a followed job's newest record."""
        if holds(job):
            self._jobs.add(job.id)
        else:
            self._jobs.discard(job.id)

    def drop(self, job_id: str) -> None:
        """Forget a job that is followed here no longer."""
        self._jobs.discard(job_id)
