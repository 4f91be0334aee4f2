"""Logging what happens all the time: structlog's processors and its stream, without what a logger costs around them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVarTuple

import msgspec
import structlog

from gateway.observability.lines import WHOLE, Lines
from gateway.observability.logs import clean_line, short_line, stamped, timestamp

_LEVEL = structlog.processors.add_log_level
_NEEDLESS = (_LEVEL, structlog.processors.format_exc_info)
"""The level is always the same, and there is never an exception."""

_KEPT = 256
"""Beginnings of lines that are kept: a line that was logged before, but for its time, costs next to nothing."""

_LONGEST_KEPT = WHOLE - 256
"""Characters of them: with an id, a few numbers and a time behind it, a line is still written in one piece."""

_encoder = msgspec.json.Encoder()

Fields = tuple[tuple[str, object], ...]


Said = tuple[Fields, dict[str, object], bool]
"""What a line says: fields that are the same on many lines; such as are each time new, and known to be no secret (they
are numbers, and ids made here); and whether lines with these fields are many, for others are not worth being kept."""

WhatT = TypeVarTuple("WhatT")


class Frequent(Generic[*WhatT]):
    """Logs one event, at level info. Made after structlog is configured; its configuration holds for it as well.

    `say` tells what a line says of what it is logged with. It is called when the line is made, a moment later.
    """

    def __init__(self, event: str, say: Callable[[*WhatT], Said]) -> None:
        self._say = say
        config = structlog.get_config()
        self._same = {"event": event} | ({"level": "info"} if _LEVEL in config["processors"] else {})
        """What is the same on every line."""
        self._processors = [each for each in config["processors"] if each not in _NEEDLESS]
        self._logger = config["logger_factory"]()
        self._is_ours = isinstance(self._logger, Lines) and self._processors[-1:] in ([clean_line], [short_line])
        self._beginning = lru_cache(maxsize=_KEPT)(self._begin)
        self.wanted = bool(structlog.get_logger().bind().is_enabled_for(logging.INFO))
        """Whether anybody reads it."""

    def __call__(self, *what: *WhatT) -> None:
        """Log the event of `what`."""
        if self._is_ours:
            self._logger.later(self._line, time.time_ns(), *what)
            return
        fields, new, _ = self._say(*what)
        try:
            line = self._processed(dict(fields) | new)
        except structlog.DropEvent:
            return
        self._logger.msg(line)

    def _line(self, nanoseconds: int, *what: *WhatT) -> str:
        """Return a line of JSON. A defect costs its own line and no other."""
        stamp = timestamp(nanoseconds)
        try:
            fields, new, often = self._say(*what)
            begun = (self._beginning if often else self._begin)(fields)
            if begun:
                # What changes is known to be no secret, nor is one made of that and of what comes before.
                new["timestamp"] = stamp
                return f"{begun},{_encoder.encode(new).decode()[1:]}"
            return str(self._processed(dict(fields) | new, stamp))
        except Exception as error:  # noqa: BLE001 - there are others to be written
            return str(self._processed({"defect": type(error).__name__}, stamp))

    def _begin(self, fields: Fields) -> str:
        """Return a line of JSON without its time, and without its last brace; "" for one that is too long."""
        begun = str(self._processed(dict(fields), "")).removesuffix("}")
        return begun if len(begun) <= _LONGEST_KEPT else ""

    def _processed(self, fields: dict[str, object], stamp: str | None = None) -> object:
        """Return what the processors make of a line; `stamp`: its time, or "" for none yet."""
        fields |= self._same
        if stamp:
            fields["timestamp"] = stamp
        line: object = fields
        for processor in self._processors:
            if stamp is None or processor is not stamped:
                line = processor(self._logger, "info", line)
        return line
