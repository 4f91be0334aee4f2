"""Problem documents."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.errors import PROBLEMS, InternalError, KeyReused, Problem, UpstreamUnreachable
from gateway.core.problem_details import document, recorded


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=PROBLEMS)
def test_every_problem_has_a_document(kind: type[Problem]):
    """RFC 9457's members, and whether sending it again is safe and may help."""
    view = msgspec.json.decode(document(kind("why")))
    assert view == {
        "type": f"urn:callmode:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "why",
        "retryable": kind.retryable,
    }


def test_a_problem_of_a_job_names_it():
    """With where it can be seen."""
    view = msgspec.json.decode(document(KeyReused(job_id="03abc"), "https://gate.example/-/jobs/03abc"))
    assert (view["jobId"], view["monitor"]) == ("03abc", "https://gate.example/-/jobs/03abc")
    assert view["detail"] == KeyReused.title


def test_a_recorded_problem():
    """A record names its problem by code; one that this version does not know is told as the gateway's failure."""
    problem = recorded("upstream-unreachable", "refused", "03abc")
    assert type(problem) is UpstreamUnreachable
    assert (problem.detail, problem.job_id) == ("refused", "03abc")
    for code in ("from-the-future", None):
        assert type(recorded(code, None, "03abc")) is InternalError
