"""What is to be reached, and whether a measurement reached it. All are limits: what was measured is to be no more."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.rounds import Spread


@dataclass(frozen=True)
class Target:
    """A limit, and one that would be better still."""

    number: str
    what: str
    limit: float
    stretch: float | None = None

    def of(self, subject: str) -> Target:
        """Return it for one of the subjects that it is meant for."""
        return replace(self, what=self.what.format(subject))


@dataclass(frozen=True)
class Finding:
    """What was measured of a target."""

    target: Target
    measured: Spread

    @property
    def met(self) -> bool:
        """Whether the median is within the limit."""
        return self.measured.median <= self.target.limit

    @property
    def stretched(self) -> bool:
        """Whether it is within the better one."""
        return self.target.stretch is not None and self.measured.median <= self.target.stretch


PASS_NAIVE = Target("P1", "pass-through: CPU a request against a naive aiohttp proxy", 0.40, 0.25)
PASS_NGINX = Target("P1", "pass-through: CPU a request against nginx", 3.5, 2.2)
PARKED_POLLING = Target("P2", "memory of a parked caller over polling, against a naive handler without a job", 1.3, 0.5)
PARKED_LONG_POLL = Target("P3", "memory of a parked caller over long-poll, against aiohttp + ClientSession", 0.70, 0.35)
DELAY_P50 = Target("P4", "job's end to answer, {}: p50 against a direct long-poll's", 3.5, 2.0)
DELAY_P99 = Target("P4", "job's end to answer, {}: p99 against a direct long-poll's", 10.0)
POLLING_NARROW = Target("P5", "mean delay against fixed reads, cv ≤ 0.1: the worst case", 0.5, 0.3)
POLLING_ANY = Target("P5", "mean delay against fixed reads, every distribution: the worst case", 1.05)
POLLING_TAIL = Target("P5", "p99 of the delay against fixed reads: the worst case", 1.3)
STORE_CLIENT = Target("P6", "the store's client: CPU of a job's six commands against redis-py's", 0.12, 0.06)
JOB_NAIVE = Target("P7", "whole sync job over polling: CPU against the naive gateway", 0.20, 0.12)
RECOVERY_LOST = Target("P9", "accepted jobs lost by a kill -9 under load, or started twice", 0)
RECOVERY_TIME = Target("P9", "10,000 jobs followed again after it, in lease times", 2.0)
LISTENING = Target("P9", "time until it listens, against a bare aiohttp server", 3.0)
WORKERS_CPU = Target("P8", "two processes against one: CPU a job", 1.1)
WORKERS_SHARE = Target("P8", "two processes: the greater one's share of the work", 0.60)
