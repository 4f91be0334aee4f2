"""Everything that is known to go wrong with API triggers in public, in one table.

    before    the call is refused or lost on its way in: nothing runs
    started   a start's job runs, but the caller is told something else, at once
    answered  the call is carried through, a long poll's hold included, and its answer is spoilt on its way out

On a read there is nothing to start, and `before` and `started` come to the same.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from gateway.simulator import answers
from gateway.simulator.answers import Answer
from gateway.simulator.wire import Cut, Script, head


class Point(enum.StrEnum):
    """The kinds of call that a fault can happen to."""

    START = "start"
    """A call to a trigger, the first leg of a long poll included, or to `StartJobs`."""
    STATUS = "status"
    """A read of an AsyncRequestReply job's status URI."""
    LEG = "leg"
    """A read of a LongPolling job's status URI."""
    OUTPUT = "output"
    """A read of an output URI."""
    LIST = "list"
    """A list of jobs."""
    JOB = "job"
    """A read of one job by its id or key."""
    STOP = "stop"
    """A call to `StopJobs`."""
    TOKEN = "token"  # noqa: S105 - a kind of call
    """A request for a token."""


class Stage(enum.Enum):
    """How far a call gets before it goes wrong; see the module's text."""

    BEFORE = "before"
    STARTED = "started"
    ANSWERED = "answered"


Spoiler = Callable[[Answer, str], Answer | Script | None]
"""From the true answer and the foreign origin, what is sent instead; None where the answer offers nothing to spoil."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, as it is named in arguments, settings and the admin endpoint."""

    name: str
    meaning: str
    stage: Stage
    spoil: Spoiler


_EDGE_STATUSES = (502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527)
_REDIRECTS = (301, 302, 307, 308)


def _faults() -> list[Fault]:
    """Return the table."""
    before, started, answered = Stage.BEFORE, Stage.STARTED, Stage.ANSWERED
    retry_after = ("Retry-After", "1")
    return [
        Fault(
            "401", "the token is not accepted", before, _instead(answers.error, 401, "You are not authenticated.", 0)
        ),
        Fault("403", "the token lacks the scope", before, _instead(answers.error, 403, "You are not authorized.", 0)),
        Fault(
            "404", "there is no such trigger, job or output", before, _instead(answers.error, 404, "Not found.", 1623)
        ),
        Fault(
            "429",
            "rate limited, in JSON with Retry-After",
            before,
            _instead(answers.error, 429, "Too many requests.", 0, retry_after),
        ),
        Fault("429-html", "rate limited by the edge, in HTML", before, _instead(answers.edge_page, 429, retry_after)),
        Fault("500-cold", "a cold start", before, _instead(answers.error, 500, "An error has occurred.", 0)),
        *(
            Fault(f"{status}-before", f"the edge's HTML {status}", before, _instead(answers.edge_page, status))
            for status in _EDGE_STATUSES
        ),
        *(
            Fault(f"{status}-after", f"the edge's HTML {status}", started, _instead(answers.edge_page, status))
            for status in _EDGE_STATUSES
        ),
        Fault("reset-before", "RST without an answer", before, _script(b"", Cut.RESET)),
        Fault("reset-after", "RST without an answer", started, _script(b"", Cut.RESET)),
        Fault("close-before", "FIN without an answer", before, _script(b"", Cut.CLOSE)),
        Fault("close-after", "FIN without an answer", started, _script(b"", Cut.CLOSE)),
        Fault("stall-before", "silence, then RST", before, _script(b"", Cut.STALL)),
        Fault("stall", "silence, then RST", started, _script(b"", Cut.STALL)),
        Fault("not-http", "bytes that are not HTTP", started, _script(b"\x15\x03\x01\x00\x02\x02P", Cut.CLOSE)),
        Fault("reset-in-head", "RST in the middle of the head", answered, _cut_head),
        Fault("reset-in-body", "RST in the middle of the body", answered, _cut_body(Cut.RESET)),
        Fault("stall-in-body", "silence in the middle of the body", answered, _cut_body(Cut.STALL)),
        Fault("truncated", "FIN short of Content-Length", answered, _cut_body(Cut.CLOSE)),
        Fault("truncated-chunked", "FIN before the last chunk", answered, _cut_chunks),
        Fault("truncated-close", "half a body that only the connection's end ends", answered, _cut_unframed),
        Fault("empty", "200 with an empty body in an answer's place", answered, _empty),
        Fault("no-location", "the Location is missing", answered, _no_location),
        Fault("foreign-location", "the Location names another host", answered, _foreign_location),
        *(
            Fault(f"{status}", f"{status} in place of the status with a Location", answered, _other_redirect(status))
            for status in _REDIRECTS
        ),
    ]


def _instead(make: Callable[..., Answer], *arguments: object) -> Spoiler:
    """Return a spoiler that makes a fresh answer, whatever the true one is."""
    return lambda _answer, _origin: make(*arguments)


def _script(data: bytes, cut: Cut) -> Spoiler:
    return lambda _answer, _origin: (data, cut)


def _cut_head(answer: Answer, _: str) -> Script:
    whole = head(answer, ("Content-Length", str(len(answer.body))))
    return whole[: len(whole) // 2], Cut.RESET


def _cut_body(cut: Cut) -> Spoiler:
    def spoil(answer: Answer, _: str) -> Script | None:
        if len(answer.body) < 2:
            return None
        return head(answer, ("Content-Length", str(len(answer.body)))) + _half(answer.body), cut

    return spoil


def _cut_chunks(answer: Answer, _: str) -> Script | None:
    if len(answer.body) < 2:
        return None
    half = _half(answer.body)
    return head(answer, ("Transfer-Encoding", "chunked")) + b"%x\r\n%b\r\n" % (len(half), half), Cut.CLOSE


def _cut_unframed(answer: Answer, _: str) -> Script | None:
    if len(answer.body) < 2:
        return None
    return head(answer, ("Connection", "close")) + _half(answer.body), Cut.CLOSE


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _empty(answer: Answer, _: str) -> Answer | None:
    return Answer(200) if answer.body else None


def _no_location(answer: Answer, _: str) -> Answer | None:
    return None if answer.location is None else answer.with_location(None)


def _foreign_location(answer: Answer, origin: str) -> Answer | None:
    location = answer.location
    if location is None:
        return None
    path = location if location.startswith("/") else "/" + location.partition("://")[2].partition("/")[2]
    return answer.with_location(origin + path)


def _other_redirect(status: int) -> Spoiler:
    def spoil(answer: Answer, _: str) -> Answer | None:
        return None if answer.location is None else Answer(status, answer.body, answer.headers)

    return spoil


FAULTS = {fault.name: fault for fault in _faults()}
"""Every fault, by name."""


def read_fault(text: str) -> tuple[Fault, Point | None]:
    """Return the fault and the point in `name` or `name@point`. Raises ValueError, naming what is known."""
    name, at, point = text.partition("@")
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULTS)}")
    if at and point not in set(Point):
        raise ValueError(f"a fault happens on {', '.join(Point)}, not on {point!r}")
    return FAULTS[name], Point(point) if at else None
