"""The error tree: what each problem tells its caller, and that the drawing on top of the file is the tree."""

from __future__ import annotations

import re

import pytest

from gateway.core import errors
from gateway.core.errors import (
    PROBLEMS,
    CallerProblem,
    GatewayProblem,
    JobProblem,
    Problem,
    StoreUnavailable,
    UpstreamAmbiguous,
    UpstreamProblem,
    UpstreamUnreachable,
)

BRANCHES = {CallerProblem: "caller", JobProblem: "job", UpstreamProblem: "upstream", GatewayProblem: "gateway"}
DRAWN = re.compile(r"[├└]── (?P<name>[A-Z]\w+) +(?P<status>[45]\d\d)  (?P<code>[a-z-]+)(?P<note>.*)")
RETRYABLE = {"upstream-unreachable", "start-never-ran", "store-unavailable", "draining", "result-not-ready"}


def drawn() -> list[tuple[str, int, str]]:
    """Return the leaves of the drawing as (class, status, code)."""
    return [(m["name"], int(m["status"]), m["code"]) for m in DRAWN.finditer(errors.__doc__ or "")]


def test_the_drawing_is_the_tree():
    """Every leaf is drawn once, with its status and code, and nothing else is."""
    assert sorted(drawn()) == sorted((kind.__name__, kind.status, kind.code) for kind in PROBLEMS.values())


@pytest.mark.parametrize(("branch", "fault"), BRANCHES.items())
def test_a_branch_says_whose_fault_it_is(branch, fault):
    """Who has to act follows from the branch alone."""
    assert {kind.fault for kind in PROBLEMS.values() if issubclass(kind, branch)} == {fault}


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_complete(kind):
    """Status, code and title fit RFC 9457, and an error without a detail says its title."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert kind.title
    assert not kind.title.endswith(".")
    assert kind().detail == str(kind()) == kind.title
    assert kind("more").detail == "more"


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=PROBLEMS)
def test_the_status_fits_whose_fault_it_is(kind):
    """4xx is the caller's doing; a canceled job is a conflict; everything else is 5xx."""
    expected = 4 if issubclass(kind, CallerProblem) or kind.code == "job-canceled" else 5
    assert kind.status // 100 == expected


def test_only_what_certainly_started_nothing_may_be_sent_again():
    """`retryable` is a promise: the same request once more is safe, and may help."""
    assert {code for code, kind in PROBLEMS.items() if kind.retryable} == RETRYABLE


def test_the_two_that_matter_most():
    """Both are 502; one may be sent again and the other must not."""
    assert (UpstreamUnreachable.status, UpstreamUnreachable.retryable) == (502, True)
    assert (UpstreamAmbiguous.status, UpstreamAmbiguous.retryable) == (502, False)
    assert (StoreUnavailable.status, StoreUnavailable.retryable) == (503, True)


def test_codes_are_unique():
    """Two classes with one code would hide each other in the look-up."""
    leaves = [kind for branch in BRANCHES for kind in branch.__subclasses__()]
    assert len({kind.code for kind in leaves}) == len(leaves) == len(PROBLEMS)


def test_a_problem_names_its_job_and_headers():
    """The responder finds both on the error itself."""
    problem = Problem("gone", job_id="j1", headers=(("Retry-After", "2"),))
    assert (problem.job_id, problem.headers) == ("j1", (("Retry-After", "2"),))
