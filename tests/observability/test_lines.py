"""When lines are written, and what is logged all the time."""

from __future__ import annotations

import asyncio
import io

import structlog
from structlog.testing import capture_logs

from gateway.observability.frequent import Frequent
from gateway.observability.lines import Lines


class Stream(io.StringIO):
    """A stream that counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    @property
    def writes(self) -> int:
        """How often."""
        return len(self.written)

    def write(self, text: str) -> int:
        """Count."""
        self.written.append(text)
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
        Frequent("request")({"path": "/"})
    assert logs == [{"event": "request", "path": "/", "log_level": "info"}]


def test_what_is_frequent_is_wanted_or_not():
    """As the configured level says."""
    before = structlog.get_config()
    try:
        for level, wanted in ((20, True), (30, False)):
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
            assert Frequent("request").wanted is wanted
    finally:
        structlog.configure(**before)
