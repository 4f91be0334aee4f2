"""Replies as HTTP responses: one place where the headers that every answer about a job carries are added."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from gateway.caller.links import JobUrls
from gateway.core import problem_details
from gateway.core.errors import Problem
from gateway.core.exchange import BODILESS, Headers
from gateway.core.job import Job, OutcomeHead

NO_STORE = ("Cache-Control", "no-store")
UNTYPED: web.ResponseKey[bool] = web.ResponseKey("untyped", bool)
"""Set on a response whose Content-Type nobody gave; the server would make one up (RFC 9110 8.3 leaves it open)."""

_UNAVAILABLE = 503
"""It passes: a store comes back, another replica takes over (RFC 9110 15.6.4)."""


def about_job(job_id: str, urls: JobUrls, applied: str | None = None) -> Headers:
    """Return the fields of every answer about a job. `applied`: the call mode, where one was applied."""
    mode = () if applied is None else (("Call-Mode-Applied", applied),)
    return (("Job-Id", job_id), *mode, ("Link", urls.link_header), NO_STORE)


def for_operator(job_id: str) -> Headers:
    """Return the fields of an answer to an operator: no link to what is the owner's."""
    return (("Job-Id", job_id), NO_STORE)


def response(status: int, headers: Headers, body: bytes) -> web.Response:
    """Return a response; bodies of statuses that have none are left out (RFC 9110 6.4.1)."""
    fields = CIMultiDict((name, _writable(value)) for name, value in headers)
    answer = web.Response(status=status, headers=fields, body=None if status in BODILESS else body)
    answer[UNTYPED] = "Content-Type" not in fields
    return answer


def _writable(value: str) -> str:
    """Return a field of the upstream as aiohttp will write it: the same bytes, if they are UTF-8."""
    return value if value.isascii() else value.encode("latin-1", "replace").decode("utf-8", "replace")


def outcome(job: Job, head: OutcomeHead, body: bytes, extra: Headers) -> web.Response:
    """Return a job's outcome: status, headers and bytes as the upstream gave them, and how it ended."""
    return response(head.status, (*head.headers, *extra, ("Job-Status", job.state.value)), body)


def problem(error: Problem, extra: Headers = (), monitor: str | None = None) -> web.Response:
    """Return a problem of the gateway's own. It never carries `Job-Status`."""
    headers = (("Content-Type", problem_details.MEDIA_TYPE), *error.headers, *extra)
    if not any(name == "Cache-Control" for name, _ in headers):
        headers = (*headers, NO_STORE)
    if error.status == _UNAVAILABLE and not any(name == "Retry-After" for name, _ in headers):
        headers = (*headers, ("Retry-After", "1"))
    return response(error.status, headers, problem_details.document(error, monitor))
