"""The access log: one line a request, with what its handler knows of it."""

from __future__ import annotations

from gateway.core.job import Job
from gateway.observability.frequent import Said
from gateway.web.request import Request

_NEW = ("job", "job_ms", "upstream_calls")
"""What no two jobs' lines have in common."""


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


def access(request: Request, status: int | None, seconds: float) -> Said:
    """Say what there is to say, without the query, which may hold anything. `status`: None if it went unanswered."""
    path, notes = request.path, request.notes or {}
    fields = (("method", request.method), ("path", path if path.isprintable() else ascii(path)), ("status", status))
    new: dict[str, object] = {"ms": round(seconds * 1000, 1)}
    job = notes.get("job")
    if job is not None:
        new |= {name: notes.pop(name) for name in _NEW}
    return (*fields, *notes.items()), new, job is None or str(job) not in path
