"""The load generator sees wrong answers, and the upstream sees jobs that are not started exactly once."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.native import Upstream, WrongAnswersError, load, upstream
from benchmarks.outcome import WrongAnswerError, duration_of, ended_at, outcome_of
from benchmarks.parts.common import exactly_once

FIRST = 7
HEADERS = {"Authorization": "Bearer t"}
ARGUMENTS = b'{"id":"%010d","ms":0}'


@pytest.fixture
def origin() -> Iterator[Upstream]:
    """An upstream."""
    with upstream() as running:
        yield running


@contextlib.contextmanager
def answering(body: Callable[[int], bytes]) -> Iterator[int]:
    """Run a server that answers its N-th call with `body(FIRST + N)`; give its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        calls = 0

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = body(FIRST + Handler.calls)
            Handler.calls += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(port: int) -> dict[str, float]:
    """Call five times, one after the other."""
    return load(port, "/t/bench/echo", connections=1, calls=5, first=FIRST, limit=10)


def test_right_answers() -> None:
    """Outcomes made in Python are those that the load generator expects."""
    with answering(lambda number: outcome_of(number, 1)) as port:
        assert call(port)["calls"] == 5


@pytest.mark.parametrize(
    "body",
    [
        lambda number: outcome_of(number + (number == FIRST + 3), 1),
        lambda number: outcome_of(number, 1).replace(b"a", b"b"),
        lambda number: outcome_of(number, 1)[:-1],
        lambda number: outcome_of(number, 1) + b" ",
        lambda number: outcome_of(number, 2**63),
        lambda _: b"",
    ],
    ids=["another job's", "a byte of it", "cut short", "too long", "before the job's end", "nothing"],
)
def test_wrong_answers(body: Callable[[int], bytes]) -> None:
    """One byte is enough."""
    with answering(body) as port, pytest.raises(WrongAnswersError, match=r"wrong answer|before the job's end"):
        call(port)


def test_lost_connections() -> None:
    """A connection that is closed without an answer fails the run."""
    with answering(lambda _: 1 / 0) as port, pytest.raises(WrongAnswersError, match="closed"):  # type: ignore[arg-type, return-value]
        call(port)


def test_time_running_out(origin: Upstream) -> None:
    """A call that is never answered fails the run within its limit."""
    with pytest.raises(WrongAnswersError, match="0 of 1 calls"):
        load(origin.port, "/t/bench/job", connections=1, calls=1, first=1, ms=-1, mode="LongPolling", limit=0.5)


def post(origin: Upstream, body: bytes, headers: dict[str, str] = HEADERS) -> tuple[int, bytes]:
    """Start a job."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", origin.port, timeout=10)) as connection:
        connection.request("POST", "/t/bench/echo", body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_jobs_started_twice(origin: Upstream) -> None:
    """A second start of one job fails what is measured around it."""
    post(origin, ARGUMENTS % 1)
    with pytest.raises(WrongAnswersError, match="'twice': 1"), exactly_once(origin, 1):
        post(origin, ARGUMENTS % 1)


def test_jobs_not_started(origin: Upstream) -> None:
    """So does a job that was answered without being started."""
    with pytest.raises(WrongAnswersError, match="2 jobs were asked for"), exactly_once(origin, 2):
        post(origin, ARGUMENTS % 1)


def test_no_credential(origin: Upstream) -> None:
    """Who forgets the caller's bearer is refused: security stays on in what is measured."""
    status, _ = post(origin, ARGUMENTS % 1, {})
    assert (status, origin.counts()["refused"]) == (401, 1)


def test_outcomes_are_the_same_in_both_languages(origin: Upstream) -> None:
    """What the upstream answers is what Python makes of the same numbers; another job's is not taken for it."""
    _, body = post(origin, ARGUMENTS % 42)
    assert body == outcome_of(42, ended_at(42, body))
    with pytest.raises(WrongAnswerError):
        ended_at(43, body)


def test_durations_are_the_same_in_both_languages(origin: Upstream) -> None:
    """Jobs of the load generator run as long as a client in Python says."""
    told = load(
        origin.port, "/t/bench/job", connections=1, calls=1, first=99, ms="50-400", mode="LongPolling", limit=5
    )  # fmt: skip
    assert duration_of(99, 50, 400) <= told["latency_ms"]["max"] < duration_of(99, 50, 400) + 300
