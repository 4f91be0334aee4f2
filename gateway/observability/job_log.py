"""What happens to jobs, as log lines: one a durable change, none for a read that brought nothing or only a URI."""

from __future__ import annotations

import logging
from typing import Protocol

from gateway.core import events as e
from gateway.core.delivery import Delivery
from gateway.core.job import Job
from gateway.observability.frequent import Frequent, Said

_ROUTINE = (e.StillRunning, e.StartIntended, e.Redirected)
_DOUBTFUL = (e.StartAmbiguous, e.Lost, e.VerdictMissed)
_NEW = ("job", "upstream_calls")
"""What no two jobs' lines have in common."""


class Logger(Protocol):
    """As much of a structlog logger as is used."""

    def info(self, event: str, **fields: object) -> object:
        """Log for the record."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Log for somebody to look at."""
        ...

    def debug(self, event: str, **fields: object) -> object:
        """Log for whoever looks closely."""
        ...

    def is_enabled_for(self, level: int) -> bool:
        """Whether anybody reads what is logged at `level`, a number of the standard library's `logging`."""
        ...


class JobLog:
    """An observer of jobs and deliveries. `frequent` writes a job's line at level info, `logger` all others."""

    def __init__(self, logger: Logger, frequent: Frequent[Job, e.Event]) -> None:
        self._logger = logger
        self._frequent = frequent
        self._closely = logger.is_enabled_for(logging.DEBUG)

    def __call__(self, job: Job, event: e.Event) -> None:
        """Log `event`, which led to `job`."""
        if isinstance(event, _ROUTINE):
            if self._closely:
                self._logger.debug("job", **_fields(job, event))
        elif isinstance(event, _DOUBTFUL):
            self._logger.warning("job", **_fields(job, event))
        elif self._frequent.wanted:
            self._frequent(job, event)

    def delivered(self, delivery: Delivery) -> None:
        """Log an attempt at a delivery."""
        last = delivery.attempts[-1]
        log = self._logger.info if last.status is not None and last.status < 300 else self._logger.warning
        log(
            "callback",
            delivery=delivery.id,
            job=delivery.job_id,
            state=delivery.state.value,
            attempt=delivery.made,
            status=last.status,
            error=last.error,
            took_ms=last.took,
        )


def routine(job: Job, event: e.Event) -> Said:
    """Say of a job what `JobLog` does."""
    fields = _fields(job, event)
    new = {name: fields.pop(name) for name in _NEW}
    return tuple(fields.items()), new, not fields["why"]


def _fields(job: Job, event: e.Event) -> dict[str, object]:
    fields: dict[str, object] = {
        "what": type(event).__name__,
        "job": job.id,
        "route": job.route,
        "state": str(job.state),
        "upstream_mode": None if job.observed is None else str(job.observed),
        "why": job.message or job.progress.trouble,
        "upstream_calls": job.progress.attempts,
    }
    if job.observed is None and job.asked is not None:
        # Until it is answered, and where it never is, what was asked for is all that is known.
        fields["asked"] = str(job.asked)
    return fields
