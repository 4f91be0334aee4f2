"""Problem details (RFC 9457): a problem as JSON."""

from __future__ import annotations

import msgspec

from gateway.core.errors import PROBLEM_TYPE, PROBLEMS, InternalError, Problem

MEDIA_TYPE = "application/problem+json"


def document(problem: Problem, monitor: str | None = None) -> bytes:
    """Return the problem document. `monitor`: the URL where the job concerned can be seen."""
    members: dict[str, object] = {
        "type": PROBLEM_TYPE + problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "retryable": problem.retryable,
    }
    if problem.job_id is not None:
        members["jobId"] = problem.job_id
    if monitor is not None:
        members["monitor"] = monitor
    return msgspec.json.encode(members)


def recorded(code: str | None, detail: str | None, job_id: str) -> Problem:
    """Return the problem that a record names by its code."""
    kind = PROBLEMS.get(code or "", InternalError)
    return kind(detail or "", job_id=job_id)
