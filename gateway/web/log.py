"""What a handler knows of its request that the access log should say: one line a request, written by a middleware."""

from __future__ import annotations

from aiohttp import web

from gateway.core.job import Job

_FIELDS = "callmode.log"


def note(request: web.Request, *, job: Job | None = None, **fields: object) -> None:
    """Add to the request's log line."""
    known: dict[str, object] = request.setdefault(_FIELDS, {})
    known.update(fields)
    if job is not None:
        known.update(
            job=job.id,
            route=job.route,
            upstream_mode=job.observed.value if job.observed else None,
            state=job.state.value,
            upstream_ms=(job.finished or 0) - job.created if job.finished else None,
            upstream_calls=job.progress.attempts,
        )


def noted(request: web.Request) -> dict[str, object]:
    """Return what was added."""
    return dict(request.get(_FIELDS, {}))
