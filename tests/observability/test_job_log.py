"""Jobs and deliveries as log lines."""

from __future__ import annotations

import pytest

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.delivery import Attempt, Delivery
from gateway.core.job import Job, State
from gateway.core.policy import SECOND
from gateway.observability.job_log import JobLog, routine
from tests.core.strategies import BORN, EXAMPLES, in_state


class Lines:
    """A logger that keeps its lines: level, event, fields. Called, it is what writes a job's at level info."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.kept: list[tuple[str, str, dict]] = []
        self.wanted = wanted

    def __call__(self, job: Job, event: e.Event) -> None:
        """Keep a job's line at level info."""
        fields, new, _ = routine(job, event)
        self.kept.append(("info", "job", dict(fields) | new))

    def is_enabled_for(self, level: int) -> bool:
        """Debug is, if lines are wanted at all."""
        return self.wanted or level > 10

    def __getattr__(self, level: str):
        return lambda event, **fields: self.kept.append((level, event, fields))


LEVELS = dict.fromkeys((e.StillRunning, e.StartIntended, e.Redirected), "debug") | dict.fromkeys(
    (e.StartAmbiguous, e.Lost, e.VerdictMissed), "warning"
)


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_every_event_has_a_level(kind: type):
    """Routine is for whoever looks closely, doubt for somebody to look at, all else for the record."""
    lines, job = Lines(), in_state(State.RUNNING)
    JobLog(lines, lines)(job, EXAMPLES[kind])
    ((level, event, fields),) = lines.kept
    assert (level, event, fields["what"]) == (LEVELS.get(kind, "info"), "job", kind.__name__)


def test_a_level_that_nobody_reads():
    """Nothing is written where only warnings are, but the warnings."""
    lines, job = Lines(wanted=False), in_state(State.RUNNING)
    for kind in EXAMPLES:
        JobLog(lines, lines)(job, EXAMPLES[kind])
    assert {level for level, _, _ in lines.kept} == {"warning"}


def test_a_line_says_where_the_job_stands():
    """Id, route, state, modes, calls, and why."""
    lines = Lines()
    job = apply(in_state(State.RUNNING), e.ReadFailed("502"), BORN + SECOND)
    JobLog(lines, lines)(job, e.ReadFailed("502"))
    assert lines.kept == [
        (
            "info",
            "job",
            {
                "what": "ReadFailed", "job": job.id, "route": "add", "state": "running",
                "upstream_mode": "AsyncRequestReply", "why": "502", "upstream_calls": 2,
            },
        )
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "level"), [(204, "info"), (302, "warning"), (503, "warning"), (None, "warning")])
def test_a_delivery(status: int | None, level: str):
    """Each attempt is a line; one that did not deliver is somebody's business."""
    lines = Lines()
    attempt = Attempt(BORN, 12, status, None if status else "TimeoutError", "the receiver's words")
    JobLog(lines, lines).delivered(Delivery("03d", "03j", "https://caller.example/?token=1", BORN, BORN).after(attempt))
    ((told, event, fields),) = lines.kept
    assert (told, event) == (level, "callback")
    assert fields == {
        "delivery": "03d", "job": "03j", "state": "delivered" if status == 204 else "pending", "attempt": 1,
        "status": status, "error": None if status else "TimeoutError", "took_ms": 12,
    }  # fmt: skip
