"""Replies as HTTP responses: what every answer about a job carries, and what never."""

from __future__ import annotations

import json

import pytest

from gateway.caller.links import JobUrls
from gateway.core.errors import JobExpired, MethodNotAllowed, StoreUnavailable
from gateway.core.job import OutcomeHead, State
from gateway.web import replies
from tests.core.strategies import in_state

URLS = JobUrls("https://gate.example", "03abc", "s.k.m")
JOB = in_state(State.SUCCEEDED)


def test_every_answer_about_a_job():
    """Its id, its links, the mode where one was applied, and nothing for caches."""
    fields = dict(replies.about_job("03abc", URLS, "sync"))
    assert fields == {
        "Job-Id": "03abc", "Call-Mode-Applied": "sync", "Link": URLS.link_header, "Cache-Control": "no-store",
    }  # fmt: skip
    assert "Call-Mode-Applied" not in dict(replies.about_job("03abc", URLS))


@pytest.mark.parametrize("body", [b"", b'{"a": 1}', b"\x00\xff", b"x" * 400_000])
def test_an_outcome_is_exact(body: bytes):
    """Status, fields and bytes of the upstream, and how it ended."""
    head = OutcomeHead(203, (("Content-Type", "text/x"), ("X-A", "1"), ("x-a", "2")))
    response = replies.outcome(JOB, head, body, (("Job-Id", "03abc"),))
    assert (response.status, response.body) == (203, body)
    assert response.fields == (*head.headers, ("Job-Id", "03abc"), ("Job-Status", "succeeded"))


@pytest.mark.parametrize("status", [204, 205, 304])
def test_statuses_without_a_body(status: int):
    """Have none, whatever the upstream sent (RFC 9110 6.4.1)."""
    assert replies.response(status, (), b"{}").body == b""


def test_a_problem():
    """A document that names the job and its monitor; never a `Job-Status`, never cached."""
    response = replies.problem(JobExpired("gone", job_id="03abc"), (("Job-Id", "03abc"),), URLS.monitor)
    assert (response.status, response.values("Content-Type")) == (410, ["application/problem+json"])
    assert response.values("Cache-Control") == ["no-store"]
    assert response.values("Job-Status") == []
    view = json.loads(response.body)
    assert (view["detail"], view["jobId"], view["monitor"]) == ("gone", "03abc", URLS.monitor)


def test_what_passes_says_when_to_come_back():
    """503 has a Retry-After, once, whoever says it; other problems have none by themselves."""
    assert replies.problem(StoreUnavailable()).values("Retry-After") == ["1"]
    assert replies.problem(StoreUnavailable(), (("Retry-After", "7"),)).values("Retry-After") == ["7"]
    assert replies.problem(JobExpired()).values("Retry-After") == []


def test_a_problems_own_fields():
    """Go along; and what is said of caches is said once."""
    response = replies.problem(MethodNotAllowed(headers=(("Allow", "GET"),)))
    assert response.values("Allow") == ["GET"]
    fields = replies.about_job("03abc", URLS)
    assert replies.problem(StoreUnavailable(), fields).values("Cache-Control") == ["no-store"]
