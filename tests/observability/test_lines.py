"""When lines are written, and what is logged all the time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

import gateway.observability.lines
from gateway.observability.frequent import Frequent
from gateway.observability.lines import Lines


class Stream(io.StringIO):
    """A stream that counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.wrote = asyncio.Event()

    @property
    def writes(self) -> int:
        """How often."""
        return len(self.written)

    def write(self, text: str) -> int:
        """Count."""
        self.written.append(text)
        self.wrote.set()
        return super().write(text)


def test_without_a_loop_a_line_is_written_at_once():
    """Nobody would write it later."""
    stream = Stream()
    lines = Lines(stream)("any name")
    lines.msg("one")
    lines.info("two")
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\n", 2)


async def test_the_lines_of_a_turn_are_one_write():
    """In their order; those of the next turn are the next."""
    stream = Stream()
    lines = Lines(stream)
    for line in ("one", "two", "three"):
        lines.msg(line)
    assert stream.writes == 0
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\nthree\n", 1)
    lines.error("four")
    await asyncio.sleep(0)
    assert (stream.getvalue()[-5:], stream.writes) == ("four\n", 2)


async def test_lines_that_can_wait(monkeypatch):
    """Are made and written with the first that cannot, in their order."""
    monkeypatch.setattr(gateway.observability.lines, "WITHIN", 60.0)
    stream, made = Stream(), []
    lines = Lines(stream)

    def late(line: str) -> str:
        made.append(line)
        return line

    for line in ("one", "two"):
        lines.later(late, line)
        await asyncio.sleep(0)
    assert made == []
    lines.msg("three")
    lines.later(late, "four")
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\nthree\nfour\n", 1)
    lines.later(late, "five")
    await asyncio.sleep(0)
    assert made == ["one", "two", "four"]


async def test_lines_that_can_wait_do_not_wait_long():
    """Nothing else need be logged, and each time anew."""
    stream = Stream()
    lines = Lines(stream)
    for line in ("one", "two"):
        stream.wrote.clear()
        lines.later(str, line)
        await asyncio.wait_for(stream.wrote.wait(), 10)
    assert stream.getvalue() == "one\ntwo\n"


def test_without_a_loop_nothing_waits():
    """Nobody would write it later."""
    stream = Stream()
    Lines(stream).later(str, "one")
    assert stream.getvalue() == "one\n"


async def test_among_others_a_write_is_one_that_a_pipe_takes_whole():
    """Else lines of several processes would be torn; a line that is too long by itself cannot be helped."""
    stream = Stream()
    lines = Lines(stream, shared=True)
    logged = ["ä" * 1000] * 5 + ["x" * 10_000, "short"]
    for line in logged:
        lines.msg(line)
    await asyncio.sleep(0)
    assert stream.getvalue() == "".join(f"{line}\n" for line in logged)
    assert [len(written.encode()) for written in stream.written] == [4002, 4002, 2001, 10_001, 6]


def test_lines_of_a_loop_that_has_ended():
    """Are not lost: whoever comes next writes them, on a loop of its own or on none."""
    stream = Stream()
    lines = Lines(stream)

    async def last_words() -> None:
        asyncio.get_running_loop().call_soon(lines.msg, "last")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(last_words())
    loop.close()

    async def next_words() -> None:
        lines.msg("next")
        await asyncio.sleep(0)

    asyncio.run(next_words())
    assert stream.getvalue() == "last\nnext\n"


def test_lines_that_can_wait_on_a_loop_that_has_ended():
    """Are not lost either."""
    stream = Stream()
    lines = Lines(stream)

    async def words(line: str) -> None:
        lines.later(str, line)

    asyncio.run(words("last"))
    asyncio.run(words("next"))
    lines.msg("now")
    assert stream.getvalue() == "last\nnext\nnow\n"


def test_a_stream_that_is_closed():
    """At a process's end there may be none."""
    stream = Stream()
    lines = Lines(stream)
    stream.close()
    lines.msg("one")
    assert lines("x") is lines


def test_what_is_frequent_goes_the_way_of_all_lines():
    """The same processors, in the same order; and a test that captures them has it."""
    with capture_logs() as logs:
        Frequent("request", lambda path: ((("path", path),), {"ms": 1.3}, True))("/")
    assert logs == [{"event": "request", "path": "/", "ms": 1.3, "log_level": "info"}]


def test_what_is_frequent_is_wanted_or_not():
    """As the configured level says."""
    before = structlog.get_config()
    try:
        for level, wanted in ((20, True), (30, False)):
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
            assert Frequent("request", list).wanted is wanted
    finally:
        structlog.configure(**before)


WRITER = """
import sys, structlog
from gateway.observability.logs import configure
from gateway.observability.settings import LogSettings
configure(LogSettings(format="json"), worker=int(sys.argv[1]))
for n in range(150):
    structlog.get_logger("x").info("long", text="ä " * 8000, n=n, error='"' * 9000)
    structlog.get_logger("x").info("short", n=n)
"""
"""A process that logs, among short ones, lines that are longer than all that a pipe holds."""


async def writers(out: int) -> list[int | None]:
    """Have three of them write to the same file descriptor, and close it here; return how they end."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, str(number)), stderr=out, env={**os.environ, "PYTHONPATH": "."}
        )
        for number in range(3)
    ]
    os.close(out)
    return [await each.wait() for each in processes]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
async def test_long_lines_of_several_processes_are_not_torn(kind: str):
    """Over a pipe, or a socket as journald has it, whose reader is slow; they lose the middles of their texts."""
    if kind == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (each.detach() for each in socket.socketpair())
    task = asyncio.get_running_loop().create_task(writers(writing))
    written = b"".join([part async for part in _slowly(reading)])
    assert await task == [0, 0, 0]
    lines = [json.loads(line) for line in written.splitlines()]
    assert len(lines) == 3 * 150 * 2
    for line in lines:
        if line["event"] == "long":
            assert "[cut]" in line["text"]
            assert "[cut]" in line["error"]


async def _slowly(reading: int) -> AsyncIterator[bytes]:
    with os.fdopen(reading, "rb", buffering=0) as stream:
        while part := await asyncio.to_thread(stream.read, 1000):
            yield part


@pytest.mark.parametrize("flags", [0, os.O_APPEND], ids=["shared offset", "appended to"])
async def test_long_lines_in_a_file_are_whole(tmp_path: Path, flags: int):
    """One write is one line there, however long, so that nothing is cut."""
    path = tmp_path / "log"
    assert await writers(os.open(path, os.O_WRONLY | os.O_CREAT | flags)) == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == 3 * 150 * 2
    assert all(len(line["text"]) == 16_000 for line in lines if line["event"] == "long")
