"""Every write of a job's record, in the order in which the store ran them: what `MONITOR` tells of its scripts."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import re

from gateway.store.codec import decode_job
from tests.chaos.history import History, Seen
from tests.chaos.settings import PREFIX

_AGAIN = 0.05
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_JOB = re.compile(rf"{PREFIX}:\{{p[0-9a-f]+\}}:job:(.+)".encode())
_LONGEST = 16 * 1024 * 1024
"""Bytes of a line: an outcome is written in one command."""


async def witness(port: int, history: History) -> None:
    """Write down what is written into the store on loopback's `port`, over its restarts, until cancelled."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await _listen(port, history)
        await asyncio.sleep(_AGAIN)


async def _listen(port: int, history: History) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST)
    try:
        writer.write(b"MONITOR\r\n")
        while line := await reader.readline():
            if (seen := seen_in(line, history.now())) is not None:
                history.add(seen)
    finally:
        writer.close()


def seen_in(line: bytes, at: float) -> Seen | None:
    """Return what a line of `MONITOR` says of a job's record; None if nothing."""
    # From a script: `+1339518083.107412 [0 lua] "HSET" "prefix:{p07}:job:…" "rec" "…" "rev" "3" …`
    if b"lua]" not in line or b":job:" not in line:
        return None
    command, key, *fields = (codecs.escape_decode(token)[0] for token in _TOKEN.findall(line))
    job, written = _JOB.fullmatch(key), dict(zip(fields[::2], fields[1::2], strict=False))
    if command.upper() != b"HSET" or job is None or b"rec" not in written:
        return None
    record = decode_job(written[b"rec"])
    return Seen(at, job[1].decode(), int(written[b"rev"]), record.state.value)
