"""Logging what happens all the time: structlog's processors and its stream, without what a logger costs around them."""

from __future__ import annotations

import logging

import structlog

_LEVEL = structlog.processors.add_log_level
_NEEDLESS = (_LEVEL, structlog.processors.format_exc_info)
"""The level is always the same, and there is never an exception."""


class Frequent:
    """Logs one event, at level info. Made after structlog is configured; its configuration holds for it as well."""

    def __init__(self, event: str) -> None:
        config = structlog.get_config()
        self._same = {"event": event} | ({"level": "info"} if _LEVEL in config["processors"] else {})
        """What is the same on every line."""
        self._processors = [each for each in config["processors"] if each not in _NEEDLESS]
        self._logger = config["logger_factory"]()
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
