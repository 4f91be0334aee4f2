"""What a handler knows of its request that the access log should say: one line a request, written by a middleware."""

from __future__ import annotations

from aiohttp import web

from gateway.core.job import Job

_NOTES: web.RequestKey[dict[str, object]] = web.RequestKey("notes", dict)


def note(request: web.Request, *, job: Job | None = None, **fields: object) -> None:
    """Add to the request's log line."""
    notes = noted(request)
    notes.update(fields)
    if job is not None:
        notes.update(
            job=job.id,
            route=job.route,
            upstream_mode=job.observed.value if job.observed else None,
            state=job.state.value,
            job_ms=job.finished - job.created if job.finished else None,
            upstream_calls=job.progress.attempts,
        )
    request[_NOTES] = notes


def noted(request: web.Request) -> dict[str, object]:
    """Return what was added."""
    return request.get(_NOTES) or {}
