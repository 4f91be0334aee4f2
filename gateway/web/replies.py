"""Replies as HTTP answers: one place where the headers that every answer about a job carries are added."""

from __future__ import annotations

from gateway.caller.links import JobUrls
from gateway.core import problem_details
from gateway.core.errors import BadRequest, HeadTooSlow, Problem
from gateway.core.exchange import BODILESS, Headers
from gateway.core.job import Job, OutcomeHead
from gateway.web.response import Response

NO_STORE = ("Cache-Control", "no-store")
_CLOSE = ("Connection", "close")

_UNAVAILABLE = 503
"""It passes: a store comes back, another replica takes over (RFC 9110 15.6.4)."""


def about_job(job_id: str, urls: JobUrls, applied: str | None = None) -> Headers:
    """Return the fields of every answer about a job. `applied`: the call mode, where one was applied."""
    mode = () if applied is None else (("Call-Mode-Applied", applied),)
    return (("Job-Id", job_id), *mode, ("Link", urls.link_header), NO_STORE)


def for_operator(job_id: str) -> Headers:
    """Return the fields of an answer to an operator: no link to what is the owner's."""
    return (("Job-Id", job_id), NO_STORE)


def response(status: int, headers: Headers, body: bytes) -> Response:
    """Return a response; bodies of statuses that have none are left out (RFC 9110 6.4.1)."""
    return Response(status, headers, b"" if status in BODILESS else body)


def outcome(job: Job, head: OutcomeHead, body: bytes, extra: Headers) -> Response:
    """Return a job's outcome: status, headers and bytes as the upstream gave them, and how it ended."""
    return response(head.status, (*head.headers, *extra, ("Job-Status", job.state.value)), body)


def problem(error: Problem, extra: Headers = (), monitor: str | None = None) -> Response:
    """Return a problem of the gateway's own. It never carries `Job-Status`."""
    headers = (("Content-Type", problem_details.MEDIA_TYPE), *error.headers, *extra)
    if not any(name == "Cache-Control" for name, _ in headers):
        headers = (*headers, NO_STORE)
    if error.status == _UNAVAILABLE and not any(name == "Retry-After" for name, _ in headers):
        headers = (*headers, ("Retry-After", "1"))
    fields = tuple(field for field in headers if field != _CLOSE)
    return Response(error.status, fields, problem_details.document(error, monitor), close=_CLOSE in headers)


def unreadable() -> Response:
    """Return the answer to what is no request: not what HTTP/1.1 asks for, or beyond what is read of it."""
    what = "this is no HTTP/1.1 request, or a line of its head is too long"
    return problem(BadRequest(what, headers=(_CLOSE,)))


def head_too_slow() -> Response:
    """Return the answer to who began a head and does not come to its end (RFC 9110 15.5.9)."""
    return problem(HeadTooSlow(headers=(_CLOSE,)))
