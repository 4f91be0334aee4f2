"""Structured logs on standard error, as JSON or for a console, with secrets taken out in one last place."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import structlog

from gateway.observability.settings import LogSettings

_SECRET_NAMES = re.compile(r"authorization|bearer|token|secret|password|cookie|credential|api[-_]?key", re.IGNORECASE)
_SECRET_VALUES = re.compile(r"(?i)\bbearer\s+[^\s\"',]+|\b(sig|access_token|token)=[^&\s\"']+|(?<=://)[^/@\s]+@")
_SUSPECT = re.compile(r"[\s=@]")
"""In every secret value: most values hold none of it, and need no second look."""
_REMOVED = "[removed]"

EventDict = MutableMapping[str, Any]


@lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    """Whether a field is a credential by its name; names are few, and come with every line."""
    return _SECRET_NAMES.search(name) is not None


def without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Take out whatever is named or looks like a credential, at any depth that the gateway logs."""
    for name, value in event.items():
        if name != "event" and _names_a_secret(name):
            event[name] = _REMOVED
        elif isinstance(value, str) and _SUSPECT.search(value):
            event[name] = _SECRET_VALUES.sub(_REMOVED, value)
    return event


def configure(settings: LogSettings) -> None:
    """Set structlog up, and send what libraries log the same way."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks are rendered before secrets are taken out, so that they are searched too.
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, without_secrets, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
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
