"""What the simulator has seen: plain counts that tests, the demo and the load check read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, fields

from gateway.simulator.faults import Point


@dataclass(slots=True)
class Counters:
    """Counts since the simulator was made or reset.

    `starts` counts requests to a trigger and to `StartJobs`, refused ones included; `jobs` what came of them. `polls`
    are reads of the status URI of an AsyncRequestReply job; `legs` are calls held for a LongPolling job, the start
    included; `outputs` are reads of an output URI. Of the Jobs API, `lists` are lists of jobs, `limited` those of them
    answered 429, `job_reads` reads of one job by id or key, `stops` requests to `StopJobs`, `blobs` calls to the
    attachments' storage. `token_requests` are requests for a token, `tokens` the tokens that were issued. `webhooks`
    are deliveries of an event, `webhooks_failed` those that failed, `webhooks_skipped` events while the webhook was
    disabled, `webhooks_lost` those that were lost on purpose. `refused` are calls answered 401 or 403; `faults` are
    calls that went wrong on purpose.
    """

    starts: int = 0
    jobs: int = 0
    polls: int = 0
    legs: int = 0
    outputs: int = 0
    lists: int = 0
    limited: int = 0
    job_reads: int = 0
    stops: int = 0
    blobs: int = 0
    token_requests: int = 0
    tokens: int = 0
    webhooks: int = 0
    webhooks_failed: int = 0
    webhooks_skipped: int = 0
    webhooks_lost: int = 0
    refused: int = 0
    faults: int = 0
    _transports: set[asyncio.BaseTransport] = field(default_factory=set, repr=False)
    _prune_at: int = field(default=1024, repr=False)

    @property
    def open_connections(self) -> int:
        """How many connections are open now, of those that have sent at least one request."""
        self._prune()
        return len(self._transports)

    def count_call(self, point: Point) -> None:
        """Count a call that is no start."""
        match point:
            case Point.OUTPUT:
                self.outputs += 1
            case Point.LEG:
                self.legs += 1
            case Point.LIST:
                self.lists += 1
            case Point.JOB:
                self.job_reads += 1
            case Point.STOP:
                self.stops += 1
            case _:
                self.polls += 1

    def saw(self, transport: asyncio.BaseTransport | None) -> None:
        """Note the connection that a request came on."""
        if transport is not None:
            self._transports.add(transport)
            if len(self._transports) > self._prune_at:
                self._prune()
                self._prune_at = 2 * len(self._transports) + 1024

    def reset(self) -> None:
        """Set every count to 0; open connections stay what they are."""
        for each in fields(self):
            if not each.name.startswith("_"):
                setattr(self, each.name, 0)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, open connections included."""
        counts = {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}
        return {**counts, "open_connections": self.open_connections}

    def _prune(self) -> None:
        """Drop the connections that have closed."""
        self._transports = {each for each in self._transports if not each.is_closing()}
