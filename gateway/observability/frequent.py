"""Logging what happens all the time: structlog's processors and its stream, without what a logger costs around them."""

from __future__ import annotations

import logging

import structlog

_NO_EXCEPTION = structlog.processors.format_exc_info
"""What has nothing to do here."""


class Frequent:
    """Logs one event, at level info. Made after structlog is configured; its configuration holds for it as well."""

    def __init__(self, event: str) -> None:
        config = structlog.get_config()
        self._event = event
        self._processors = [each for each in config["processors"] if each is not _NO_EXCEPTION]
        self._logger = config["logger_factory"]()
        self.wanted = bool(structlog.get_logger().bind().is_enabled_for(logging.INFO))
        """Whether anybody reads it."""

    def __call__(self, fields: dict[str, object]) -> None:
        """Log the event with these fields, which are the line's from now on."""
        fields["event"] = self._event
        line: object = fields
        try:
            for processor in self._processors:
                line = processor(self._logger, "info", line)
        except structlog.DropEvent:
            return
        self._logger.msg(line)
