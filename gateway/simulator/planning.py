"""Which fault, if any, happens to a call, and what is sent then.

A fault is asked for by the job's arguments, ordered by an admin, or drawn at a rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.simulator.answers import Answer, encode
from gateway.simulator.arguments import Arguments, BadArgumentsError
from gateway.simulator.counters import Counters
from gateway.simulator.faults import FAULTS, Fault, Point, read_fault
from gateway.simulator.job import Job
from gateway.simulator.settings import Settings
from gateway.simulator.wire import Script

NOTHING = Answer(200)
"""Stands for the true answer where a fault strikes before there is one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A fault for one call, already counted as spent; `give_back` undoes that where the fault found nothing to spoil.

    It is counted when it is chosen, since other calls choose while this one is held.
    """

    fault: Fault
    give_back: Callable[[], None]


@dataclass(slots=True)
class Order:
    """Faults ordered through the admin endpoint: for the next `times` calls (None: until reset) of this kind."""

    fault: Fault
    point: Point
    times: int | None = 1
    slug: str | None = None

    def matches(self, point: Point, slug: str | None) -> bool:
        """Whether the order is for such a call."""
        return self.point is point and self.slug in {None, slug} and self.times != 0

    def count(self, change: int) -> None:
        """Count one spent (-1) or given back (+1)."""
        if self.times is not None:
            self.times += change

    def as_dict(self) -> dict[str, Any]:
        """Return the order in the words that placed it."""
        return {"fault": self.fault.name, "on": self.point.value, "times": self.times, "slug": self.slug}


class FaultPlan:
    """Decides for each call. The first that applies wins: arguments, orders, a cold start, the rate."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._drawn = [read_fault(text) for text in settings.faults]
        self.clear()

    def clear(self) -> None:
        """Forget every order and count, and seed the draws anew."""
        self.orders: list[Order] = []
        self._random = Random(self._settings.seed)  # noqa: S311 - draws that can be repeated, not secrets
        self._failed_starts: Counter[bytes] = Counter()
        self._warm: set[str] = set()

    def on_start(self, slug: str, arguments: Arguments) -> Choice | None:
        """Return the fault of a start."""
        return (
            self._asked_of_start(arguments)
            or self._ordered(Point.START, slug)
            or self._cold(slug)
            or self._draw(Point.START)
        )

    def on_read(self, point: Point, job: Job) -> Choice | None:
        """Return the fault of a read of one of a job's URIs."""
        return self._asked_of_read(point, job) or self._ordered(point, job.slug) or self._draw(point)

    def on_call(self, point: Point) -> Choice | None:
        """Return the fault of a call that is about no job of its own."""
        return self._ordered(point, None) or self._draw(point)

    def spoil(self, choice: Choice | None, answer: Answer = NOTHING) -> Answer | Script:
        """Return what is sent in the true answer's place; a fault that finds nothing to spoil is given back."""
        if choice is None:
            return answer
        spoiled = choice.fault.spoil(answer, self._settings.foreign_origin)
        if spoiled is None:
            choice.give_back()
            return answer
        self._counters.faults += 1
        return spoiled

    def _asked_of_start(self, arguments: Arguments) -> Choice | None:
        """The fault that a start's own arguments ask for; starts that say the same count as tries of one."""
        asked = asked_fault(arguments)
        if asked is None or asked.point is not Point.START:
            return None
        identity = encode([arguments.tag, arguments.own if arguments.tag is None else None])
        if asked.times is not None and self._failed_starts[identity] >= asked.times:
            return None
        self._failed_starts[identity] += 1
        return Choice(asked.fault, lambda: self._failed_starts.subtract((identity,)))

    def _asked_of_read(self, point: Point, job: Job) -> Choice | None:
        asked = asked_fault(job.arguments)
        if asked is None or asked.point is not point:
            return None
        if job.faults >= (1 if asked.times is None else asked.times):
            return None
        job.count_fault(1)
        return Choice(asked.fault, lambda: job.count_fault(-1))

    def _ordered(self, point: Point, slug: str | None) -> Choice | None:
        order = next((order for order in self.orders if order.matches(point, slug)), None)
        if order is None:
            return None
        order.count(-1)
        return Choice(order.fault, lambda: order.count(1))

    def _cold(self, slug: str) -> Choice | None:
        if not self._settings.cold_start or slug in self._warm:
            return None
        self._warm.add(slug)
        return Choice(FAULTS["500-cold"], _keep)

    def _draw(self, point: Point) -> Choice | None:
        """Draw one number a call, whatever the point, so that a run with the same seed and calls repeats itself."""
        if not self._drawn or self._random.random() >= self._settings.fault_rate:
            return None
        fault, only = self._random.choice(self._drawn)
        return Choice(fault, _keep) if only in {None, point} else None


def _keep() -> None:
    """Give nothing back: what was not counted cannot be."""


def asked_fault(arguments: Arguments) -> Order | None:
    """Return the fault that a job's arguments ask for. Raises BadArgumentsError where there is none of that name."""
    name = arguments.text("fault")
    if name is None:
        return None
    try:
        fault, point = read_fault(f"{name}@{arguments.text('fault_on') or Point.START.value}")
    except ValueError as unknown:
        raise BadArgumentsError(str(unknown)) from None
    times = arguments.integer("fault_times", 0) if "fault_times" in arguments.values else None
    return Order(fault, point or Point.START, times)
