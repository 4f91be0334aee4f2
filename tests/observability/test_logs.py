"""What goes to standard error: one JSON object a line, or a line for people; libraries the same; no secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
import types
from datetime import UTC, datetime, timedelta

import pytest
import structlog

import gateway.observability.lines
from gateway.observability.frequent import Fields, Frequent, Said
from gateway.observability.lines import WHOLE
from gateway.observability.logs import configure
from gateway.observability.settings import LogSettings

SECRET = "dGhlLXNlY3JldA"


@pytest.fixture
def stderr(monkeypatch):
    """A standard error of the test's own, with everything that `configure` changes put back at the end."""
    stream = io.StringIO()
    root, aiohttp_server = logging.getLogger(), logging.getLogger("aiohttp.server")
    handlers, level, server_level = root.handlers[:], root.level, aiohttp_server.level
    before = structlog.get_config()
    # Not `sys.stderr` itself, which pytest takes back between a fixture and its test.
    monkeypatch.setattr("gateway.observability.logs.sys", types.SimpleNamespace(stderr=stream))
    # As `force=True` would, but without closing what belongs to pytest.
    for handler in handlers:
        root.removeHandler(handler)
    yield stream
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    aiohttp_server.setLevel(server_level)
    structlog.configure(**before)


def said(fields: Fields, milliseconds: float, often: bool) -> Said:
    """Say what an access log does."""
    return fields, {"ms": milliseconds}, often


def lines(stream: io.StringIO) -> list[dict]:
    """Return the lines, each of which must be a JSON object."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_json(stderr):
    """With time, level and fields."""
    configure(LogSettings(format="json"))
    structlog.get_logger("x").info("listening", port=8080, path="/t/a\nb")
    (line,) = lines(stderr)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "listening", "level": "info", "port": 8080, "path": "/t/a\nb"}


@pytest.mark.parametrize("worker", [None, 2])
def test_a_line_that_comes_again(stderr, worker: int | None):
    """Is the line that it would be by itself, each with its own time, and as free of secrets."""
    configure(LogSettings(format="json"), worker=worker)
    log = Frequent("request", said)
    fields = (("path", "/é\u2028"), ("status", None), ("said", f"Bearer {SECRET}"), ("tracked", False))
    log(fields, 1.2, False)
    for milliseconds in (1.2, 17.0):
        log(fields, milliseconds, True)
    assert stderr.getvalue().isascii()
    assert SECRET not in stderr.getvalue()
    whole, *again = lines(stderr)
    assert [each.pop("timestamp")[-1] for each in (whole, *again)] == ["Z"] * 3
    assert again == [whole, {**whole, "ms": 17.0}]
    assert whole.get("worker") == worker


def test_a_long_line_that_comes_again(stderr):
    """Is written in one piece where others write as well, as it would be by itself."""
    configure(LogSettings(format="json"), worker=2)
    fields = (("path", "/" + "x" * WHOLE), ("status", 200))
    for _ in range(2):
        Frequent("request", said)(fields, 1.0, True)
    assert all(WHOLE - 256 < len(line) < WHOLE for line in stderr.getvalue().splitlines())
    assert all(line["ms"] == 1 and line["path"].startswith("/x") for line in lines(stderr))


def test_a_line_that_cannot_be_made(stderr):
    """Says so, and costs no other."""
    configure(LogSettings(format="json"))
    log = Frequent("request", said)
    for fields in ((("path", "/a"),), None, (("path", "/b"),)):
        log(fields, 1.0, True)
    first, broken, last = lines(stderr)
    assert (first["path"], broken["defect"], broken["event"], last["path"]) == ("/a", "TypeError", "request", "/b")


async def test_lines_that_are_made_later(stderr, monkeypatch):
    """Have the time at which they were logged, and stand in the order in which everything was."""
    monkeypatch.setattr(gateway.observability.lines, "WITHIN", 60.0)
    configure(LogSettings(format="json"))
    log = Frequent("request", said)
    before = time.time_ns() // 1000
    log((("path", "/a"),), 1.0, True)
    after = time.time_ns() // 1000
    await asyncio.sleep(0.01)
    structlog.get_logger("x").warning("between")
    log((("path", "/b"),), 2.0, True)
    assert not stderr.getvalue()
    await asyncio.sleep(0)
    first, *_ = all_of_them = lines(stderr)
    assert [each.get("path") for each in all_of_them] == ["/a", None, "/b"]
    at = datetime.fromisoformat(first["timestamp"]) - datetime.fromtimestamp(0, UTC)
    assert before <= at // timedelta(microseconds=1) <= after


def test_auto_is_json_where_nobody_looks(stderr):
    """Standard error is no terminal here."""
    configure(LogSettings())
    structlog.get_logger("x").info("listening")
    assert lines(stderr)[0]["event"] == "listening"


def test_the_console(stderr):
    """For people: no JSON, no colours where there is no terminal, and no secrets either."""
    configure(LogSettings(format="console"))
    structlog.get_logger("x").info("listening", port=8080, authorization=SECRET, detail=f"Bearer {SECRET}")
    assert "listening" in stderr.getvalue()
    assert "port=8080" in stderr.getvalue()
    assert not stderr.getvalue().startswith("{")
    assert SECRET not in stderr.getvalue()
    assert "\x1b" not in stderr.getvalue()


@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_levels(stderr, level: str, told: int):
    """Nothing below what was asked for."""
    configure(LogSettings(format="json", level=level))
    log = structlog.get_logger("x")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    assert len(lines(stderr)) == told


def fail() -> None:
    """Raise an error whose text and cause hold a secret."""
    raise RuntimeError(f"Authorization: Bearer {SECRET}") from ValueError(f"redis://:{SECRET}@redis:6379")


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks(stderr, form: str):
    """Are on the line, and searched for secrets."""
    configure(LogSettings(format=form))
    try:
        fail()
    except RuntimeError as error:
        structlog.get_logger("x").error("defect", exc_info=error)
    assert SECRET not in stderr.getvalue()
    assert "in fail" in stderr.getvalue()
    assert "RuntimeError" in stderr.getvalue()
    if form == "json":
        (line,) = lines(stderr)
        assert "[removed]" in line["exception"]


@pytest.mark.parametrize("text", [f"a\nsig={SECRET}", f'"token": "{SECRET}"', f"\u2028sig={SECRET}"])
def test_secrets_behind_escapes(stderr, text: str):
    """A line is searched as it is written, in which they stand behind an escape."""
    configure(LogSettings(format="json"))
    structlog.get_logger("x").info("something", detail=text)
    assert SECRET not in stderr.getvalue()
    assert "[removed]" in stderr.getvalue()


def test_libraries_log_the_same_way(stderr):
    """Their warnings, arguments and tracebacks; not their chatter."""
    configure(LogSettings(format="json"))
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("connecting to %s", f"redis://:{SECRET}@redis")
    try:
        fail()
    except RuntimeError:
        library.exception("failed with Bearer %s", SECRET)
    first, second = lines(stderr)
    assert (first["event"], first["level"]) == ("connecting to redis://[removed]@redis", "warning")
    assert "RuntimeError" in second["exception"]
    assert SECRET not in stderr.getvalue()


def test_what_aiohttp_says_of_malformed_requests_is_not_logged(stderr):
    """It prints the request, whose bytes may be anything."""
    configure(LogSettings(format="json"))
    logging.getLogger("aiohttp.server").error("Error handling request: Bearer %s", SECRET)
    assert stderr.getvalue() == ""


def test_values_that_json_does_not_know(stderr):
    """Are told by their repr, on one line."""
    configure(LogSettings(format="json"))
    structlog.get_logger("x").info("odd", value=object, many={1, 2}, data=b"\xff", pair={("a", 1): ValueError("b")})
    assert len(lines(stderr)) == 1


@pytest.mark.parametrize("value", ["half a pair: \ud800", "über\u2028", 2**70, 1.5, None])
def test_whatever_a_field_holds_is_one_line_of_json(stderr, value):
    """As it was logged."""
    configure(LogSettings(format="json"))
    structlog.get_logger("x").info("listening", value=value)
    (line,) = lines(stderr)
    assert line["value"] == value


def test_the_time_of_a_line(stderr, monkeypatch):
    """RFC 3339 with microseconds, in UTC."""
    configure(LogSettings(format="json"))
    monkeypatch.setattr("gateway.observability.logs.time.time_ns", lambda: 1_700_000_000_000_042_999)
    structlog.get_logger("x").info("listening")
    assert lines(stderr)[0]["timestamp"] == "2023-11-14T22:13:20.000042Z"


@pytest.mark.parametrize("role", [{"worker": 1}, {"parent": True}], ids=["worker", "parent"])
@pytest.mark.parametrize(
    "fields",
    [{"text": "ä\n" * 9000}, {"one": "x" * 5000, "other": '"' * 5000}, {"many": list(range(5000))}],
    ids=["text", "texts", "list"],
)
def test_a_line_among_those_of_others_is_of_one_piece(stderr, role, fields):
    """Its longest values lose their middles, and nothing else does."""
    configure(LogSettings(format="json"), **role)
    structlog.get_logger("x").info("defect", short="stays", **fields)
    (line,) = lines(stderr)
    assert len(stderr.getvalue()) <= 4096
    assert (line["event"], line["short"]) == ("defect", "stays")
    for name, value in fields.items():
        assert line[name][:3] == str(value)[:3]
        assert line[name][-3:] == str(value)[-3:]
        assert " [cut] " in line[name]


def test_a_line_of_many_fields(stderr):
    """Ends, though it cannot be made short."""
    configure(LogSettings(format="json"), worker=1)
    structlog.get_logger("x").info("many", **{f"field {n}": "x" * 10 for n in range(1000)})
    assert len(lines(stderr)[0]) > 1000


def test_a_long_line_of_one_process(stderr):
    """Nobody can tear it, so it stays as it is."""
    configure(LogSettings(format="json"))
    structlog.get_logger("x").info("long", text="x" * 9000)
    assert lines(stderr)[0]["text"] == "x" * 9000


def test_a_secret_in_a_long_line(stderr):
    """Is taken out before the line is cut."""
    configure(LogSettings(format="json"), worker=1)
    structlog.get_logger("x").info("long", text=f"Bearer {SECRET} " * 900)
    assert SECRET not in stderr.getvalue()
    assert "[cut]" in stderr.getvalue()
