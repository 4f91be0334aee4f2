"""What happens to jobs, as log lines: one a durable change, none for a read that changed nothing."""

from __future__ import annotations

from typing import Protocol

from gateway.core import events as e
from gateway.core.delivery import Delivery
from gateway.core.job import Job

_ROUTINE = (e.StillRunning, e.StartIntended)
_DOUBTFUL = (e.StartAmbiguous, e.Lost, e.VerdictMissed)


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


class JobLog:
    """An observer of jobs and deliveries."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def __call__(self, job: Job, event: e.Event) -> None:
        """Log `event`, which led to `job`."""
        log = self._logger.info
        if isinstance(event, _ROUTINE):
            log = self._logger.debug
        elif isinstance(event, _DOUBTFUL):
            log = self._logger.warning
        log(
            "job",
            what=type(event).__name__,
            job=job.id,
            route=job.route,
            state=job.state.value,
            upstream_mode=job.observed.value if job.observed else None,
            why=job.message or job.progress.trouble,
            upstream_calls=job.progress.attempts,
            # Until it is answered, and where it never is, what was asked for is all that is known.
            **({} if job.observed or not job.asked else {"asked": job.asked.value}),
        )

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
