"""The call modes of both sides: what requests say, documents repeat and the conversion tests go through.

The names of the upstream modes are Orchestrator's own values of `$callMode`.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class UpstreamMode(enum.StrEnum):
    """How a trigger answers."""

    ASYNC = "AsyncRequestReply"
    LONG_POLL = "LongPolling"
    FORGET = "FireAndForget"
    JOBS = "Jobs"
    """No trigger: started and followed through the Jobs API, the only start that a job can be found by afterwards."""

    @property
    def argument(self) -> str | None:
        """The value of `$callMode` that asks a trigger for it; None for what no trigger is asked."""
        return None if self is UpstreamMode.JOBS else str(self)


class CallerMode(enum.StrEnum):
    """How a caller wants to be answered."""

    SYNC = "sync"
    ASYNC = "async"
    LONG_POLL = "long-poll"
    FORGET = "forget"
    CALLBACK = "callback"
    STREAM = "stream"


class CallerModeRow(NamedTuple):
    """One row of the table of caller modes."""

    mode: CallerMode
    call_mode: str
    """The value of `$callMode` that demands it."""
    gets: str
    """What the caller gets, in one line."""


CALLER_MODES: tuple[CallerModeRow, ...] = (
    CallerModeRow(CallerMode.SYNC, "Sync", "one response: the outcome itself"),
    CallerModeRow(
        CallerMode.ASYNC,
        "AsyncRequestReply",
        "202 + `Location` (poll URI) → 200 while running → 303 → the outcome",
    ),
    CallerModeRow(
        CallerMode.LONG_POLL,
        "LongPolling",
        "held, then 303 to a wait URI, again and again, at last the outcome",
    ),
    CallerModeRow(CallerMode.FORGET, "FireAndForget", "200, empty body, `Job-Id`"),
    CallerModeRow(
        CallerMode.CALLBACK,
        "Callback",
        "202; the outcome is POSTed, signed, to `Callback-Url`, else to the route's URL",
    ),
    CallerModeRow(
        CallerMode.STREAM,
        "Stream",
        "`text/event-stream` of the job's events, the outcome last",
    ),
)

BY_CALL_MODE: dict[str, CallerMode] = {row.call_mode: row.mode for row in CALLER_MODES}
BY_NAME: dict[str, CallerMode] = {row.mode.value: row.mode for row in CALLER_MODES}
