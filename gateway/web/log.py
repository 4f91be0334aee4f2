"""The access log: one line a request, with what its handler knows of it."""

from __future__ import annotations

from gateway.core.job import Job
from gateway.observability.frequent import Frequent
from gateway.web.request import Request


def note(request: Request, *, job: Job | None = None, **fields: object) -> None:
    """Add to the request's log line."""
    if request.notes is None:
        request.notes = fields
    else:
        request.notes.update(fields)
    if job is not None:
        request.notes.update(
            job=job.id,
            route=job.route,
            upstream_mode=str(job.observed) if job.observed else None,
            state=str(job.state),
            job_ms=job.finished - job.created if job.finished else None,
            upstream_calls=job.progress.attempts,
        )


def log_access(log: Frequent, request: Request, status: int | None, seconds: float) -> None:
    """Write the line, without the query, which may hold anything. `status`: None if the caller went unanswered."""
    path, notes = request.path, request.notes or {}
    fields = (("method", request.method), ("path", path if path.isprintable() else ascii(path)), ("status", status))
    if "job" in notes:
        log({**dict(fields), "ms": round(seconds * 1000, 1), **notes})
    else:
        log.again((*fields, *notes.items()), seconds * 1000)
