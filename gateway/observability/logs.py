"""Structured logs on standard error, as JSON or for a console, with secrets taken out in one last place."""

from __future__ import annotations

import json
import logging
import sys
import time
from functools import lru_cache

import msgspec
import structlog

from gateway.observability.lines import WHOLE, Lines, is_file
from gateway.observability.secrets import is_plain, is_suspect, without_secrets
from gateway.observability.settings import LogSettings

_CUT = " [cut] "

_encoder = msgspec.json.Encoder()


def configure(settings: LogSettings, *, worker: int | None = None, parent: bool = False) -> None:
    """Set structlog up, and send what libraries log the same way. Each line says which `worker` it is of, if any.

    `parent`: of workers, that is; it writes where they do, and may be configured anew.
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        stamped,
    ]
    if worker is not None:
        shared.append(_of(worker))
    shares = (parent or worker is not None) and not is_file(sys.stderr)
    # Tracebacks are rendered before secrets are taken out, so that they are searched too.
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        *([short_line if shares else clean_line] if as_json else [without_secrets, _console()]),
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=Lines(sys.stderr, shared=shares),
        # A logger that is kept goes on as it was configured when it was first used.
        cache_logger_on_first_use=not parent,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # What aiohttp logs of a malformed request prints the request; the data port tells of those itself.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _of(worker: int) -> structlog.typing.Processor:
    """Return what marks each line as one of this worker's."""

    def mark(_log: object, _level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["worker"] = worker
        return event

    return mark


def stamped(_log: object, _level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say when, in UTC: as structlog's own stamp does, at a quarter of its price."""
    event["timestamp"] = timestamp()
    return event


def timestamp(nanoseconds: int | None = None) -> str:
    """Return what a line says of when it was logged: now, or so many nanoseconds since the epoch."""
    second, nanoseconds = divmod(nanoseconds or time.time_ns(), 1_000_000_000)
    return f"{_second(second)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def clean_line(log: object, level: str, event: structlog.typing.EventDict) -> str:
    """Return a line of JSON without secrets. Most lines hold none, as one search through the whole line tells."""
    if is_plain(event):
        line = _line(log, level, event)
        # Behind an escape a word might begin elsewhere than it did in the value.
        if "\\" not in line and not is_suspect(line):
            return line
    return _line(log, level, without_secrets(log, level, event))


def short_line(log: object, level: str, event: structlog.typing.EventDict) -> str:
    """Return a line without secrets that is written in one piece: where it is too long, its longest texts are cut."""
    line = clean_line(log, level, event)
    if len(line) < WHOLE:
        return line
    event = without_secrets(log, level, event)
    while (excess := len(line) + len("\n") - WHOLE) > 0:
        name, text = max(((name, str(value)) for name, value in event.items()), key=lambda each: len(each[1]))
        if len(text) < 4 * len(_CUT):
            break  # It is long for its many fields.
        # Escaped it may have been longer than it is, so never more than a half at once.
        half = (len(text) - min(excess + len(_CUT), len(text) // 2)) // 2
        event[name] = text[:half] + _CUT + text[len(text) - half :]
        line = _line(log, level, event)
    return line


def _line(_log: object, _level: str, event: structlog.typing.EventDict) -> str:
    """Return a line of JSON, in ASCII: some readers take U+2028 or U+0085 for the end of a line."""
    try:
        line = _encoder.encode(event)
        if line.isascii():
            return line.decode()
    except (TypeError, ValueError):
        pass  # Half a surrogate pair, or a number beyond 64 bits: the standard library has a way to write them.
    return json.dumps(event, default=repr)


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
