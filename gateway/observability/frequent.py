"""Logging what happens all the time: structlog's processors and its stream, without what a logger costs around them."""

from __future__ import annotations

import logging
from functools import lru_cache

import structlog

from gateway.observability.lines import WHOLE
from gateway.observability.logs import clean_line, short_line, stamped, timestamp

_LEVEL = structlog.processors.add_log_level
_NEEDLESS = (_LEVEL, structlog.processors.format_exc_info)
"""The level is always the same, and there is never an exception."""

_KEPT = 256
"""Beginnings of lines that are kept: a line that was logged before, but for its time, costs next to nothing."""

_LONGEST_KEPT = WHOLE - 64
"""Characters of them: with a number and a time behind it, a line is still written in one piece."""

Fields = tuple[tuple[str, object], ...]


class Frequent:
    """Logs one event, at level info. Made after structlog is configured; its configuration holds for it as well."""

    def __init__(self, event: str) -> None:
        config = structlog.get_config()
        self._same = {"event": event} | ({"level": "info"} if _LEVEL in config["processors"] else {})
        """What is the same on every line."""
        self._processors = [each for each in config["processors"] if each not in _NEEDLESS]
        self._logger = config["logger_factory"]()
        self._is_json = self._processors[-1:] in ([clean_line], [short_line])
        self._beginning = lru_cache(maxsize=_KEPT)(self._begin)
        self.wanted = bool(structlog.get_logger().bind().is_enabled_for(logging.INFO))
        """Whether anybody reads it."""

    def __call__(self, fields: dict[str, object]) -> None:
        """Log the event with these fields, which are the line's from now on."""
        fields |= self._same
        line: object = fields
        try:
            for processor in self._processors:
                line = processor(self._logger, "info", line)
        except structlog.DropEvent:
            return
        self._logger.msg(line)

    def again(self, fields: Fields, milliseconds: float) -> None:
        """Log the event with fields that are likely to come again, and how long it took."""
        if self._is_json and (begun := self._beginning(fields)):
            # What changes is a number and a time: no secret is made of them and what comes before.
            self._logger.msg(f'{begun},"ms":{milliseconds:.1f},"timestamp":"{timestamp()}"}}')
        else:
            self({**dict(fields), "ms": round(milliseconds, 1)})

    def _begin(self, fields: Fields) -> str:
        """Return a line of JSON without its time, and without its last brace; "" for one that is too long."""
        line: object = dict(fields) | self._same
        for processor in self._processors:
            if processor is not stamped:
                line = processor(self._logger, "info", line)
        begun = str(line).removesuffix("}")
        return begun if len(begun) <= _LONGEST_KEPT else ""
