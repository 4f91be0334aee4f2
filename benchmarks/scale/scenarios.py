"""What may happen in a day of an installation: each scenario is one run of the simulation, and a line of its table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import Bulk, Fifo, arrivals
from benchmarks.scale.gateway import Gateway, Setup

BURST, BURST_WITHIN = 0.001, 5.0
"""The part of a day's calls that comes at 9:00, and within how many seconds."""
PAUSE = 5.0
"""Seconds that a failover takes the store."""

_EVENT = 1.0
"""When something happens, where something does."""
_AFTER = 120.0
"""Seconds to catch up in, at most."""
_CALM = 0.02
"""Seconds of backlog that any second has."""
_LOOK = 0.05
"""Seconds between looks whether it is calm again."""


class Result(msgspec.Struct, frozen=True):
    """What a run showed. Delays are milliseconds; all other time calls waited for Orchestrator."""

    scenario: str
    rate: float
    """Calls a second."""
    replica_busy: float
    """The part of its time that a replica was busy, in the mean of all."""
    store_busy: float
    """The same of the store's servers, the CPU alone."""
    start_p50: float | None
    """From a call's arrival until its start is sent; None where nobody called."""
    start_p99: float | None
    answer_p50: float | None
    """From Orchestrator's answer with the outcome until the caller has it."""
    answer_p99: float | None
    over_after: float | None
    """Seconds from the event until nobody waits for what it has caused; None where there is no event."""


class Installation(msgspec.Struct, frozen=True):
    """What is run: a setup, its costs, and for how many seconds that which goes on for long."""

    setup: Setup
    costs: Costs
    window: float = 10.0

    def constant(self, rate: float, name: str) -> Result:
        """Calls come independently of each other, as many at any time."""
        gateway = self._running(rate)
        arrivals(gateway.engine, _poisson(gateway, rate, self.window), gateway.call)
        gateway.engine.run(self.window)
        return _result(name, gateway, rate, self.window)

    def burst(self, rate: float, calls: float) -> Result:
        """At 9:00 so many calls come at once, besides those that come anyhow."""
        gateway = self._running(rate)
        ends = _EVENT + BURST_WITHIN
        arrivals(gateway.engine, _poisson(gateway, rate, ends + self.window), gateway.call)
        gateway.engine.run(_EVENT)
        before = _busy(gateway)
        arrivals(gateway.engine, _poisson(gateway, calls / BURST_WITHIN, ends, since=_EVENT), gateway.call)
        gateway.engine.run(ends)
        used = _busy(gateway)
        over = _calm(gateway, ends + _LOOK)
        gateway.engine.run(max(ends + self.window, over))
        return _result("a burst at 9:00", gateway, calls / BURST_WITHIN, BURST_WITHIN, before, used, over=over - ends)

    def together(self, rate: float) -> Result:
        """Every job that runs ends in the same moment, and webhooks tell of them."""
        gateway = self._running(rate, together=_EVENT)
        gateway.engine.run(_EVENT)
        before = _busy(gateway)
        gateway.engine.run(_EVENT + _AFTER)
        over = gateway.all_answered - _EVENT
        return _result("all that runs ends at once", gateway, rate, max(over, 1.0), before, over=over)

    def death(self, rate: float) -> Result:
        """A replica has died a lease ago; the others take over what it followed, overdue reads and all."""
        gateway = self._running(rate)
        theirs = [_running_job(gateway) for _ in range(round(rate * self.setup.duration / self.setup.replicas))]
        _, *survivors = gateway.replicas
        gateway.replicas = survivors
        arrivals(gateway.engine, _poisson(gateway, rate, self.window), gateway.call)
        for number, taker in enumerate(survivors):
            gateway.engine.at(_EVENT, gateway.take_over(taker, theirs[number :: len(survivors)]))
        gateway.engine.run(self.window)
        over = gateway.all_taken - _EVENT
        return _result("a replica dies", gateway, rate, self.window, over=over)

    def pause(self, rate: float) -> Result:
        """All store servers stand still, and whoever calls meanwhile waits for them: really, new calls get 503."""
        gateway = self._running(rate)
        until = _EVENT + PAUSE + self.window
        arrivals(gateway.engine, _poisson(gateway, rate, until), gateway.call)
        gateway.engine.run(_EVENT)
        for store in gateway.stores:
            store.pause(_EVENT + PAUSE)
        over = _calm(gateway, _EVENT + PAUSE + _LOOK)
        gateway.engine.run(until)
        return _result("the store stands still for 5 s", gateway, rate, until, over=over - _EVENT - PAUSE)

    def _running(self, rate: float, *, together: float = math.inf) -> Gateway:
        """Return a gateway that has been at work for long."""
        gateway = Gateway(msgspec.structs.replace(self.setup, together=together), self.costs)
        for number in range(round(rate * self.setup.duration)):
            replica = gateway.replicas[number % len(gateway.replicas)]
            gateway.engine.resume(gateway.earlier(replica, *_running_job(gateway)))
        for replica in gateway.replicas:
            gateway.engine.resume(gateway.beat(replica))
        gateway.engine.resume(gateway.expiries(rate))
        return gateway


def _running_job(gateway: Gateway) -> tuple[float, float]:
    """Return start and duration of a job that runs at time 0: of longer ones more do."""
    duration = gateway.duration(of_running=True)
    return -gateway.random.random() * duration, duration


def _poisson(gateway: Gateway, rate: float, until: float, *, since: float = 0.0) -> Iterator[float]:
    time = since + gateway.random.expovariate(rate)
    while time < until:
        yield time
        time += gateway.random.expovariate(rate)


def _calm(gateway: Gateway, time: float) -> float:
    """Run from `time` on until nobody waits for long; return when that is."""
    servers: Sequence[Fifo | Bulk] = [*gateway.replicas, *gateway.stores]
    gateway.engine.run(time)
    while any(server.backlog > _CALM for server in servers) and gateway.engine.now < time + _AFTER:
        gateway.engine.run(gateway.engine.now + _LOOK)
    return gateway.engine.now


def _busy(gateway: Gateway) -> tuple[float, float]:
    """Return the mean seconds of work of a replica and of a store server so far."""
    replicas, stores = gateway.replicas, gateway.stores
    return sum(each.busy for each in replicas) / len(replicas), sum(each.cpu for each in stores) / len(stores)


def _result(
    name: str,
    gateway: Gateway,
    rate: float,
    seconds: float,
    before: tuple[float, float] = (0.0, 0.0),
    after: tuple[float, float] | None = None,
    *,
    over: float | None = None,
) -> Result:
    replicas, stores = (then - now for now, then in zip(before, after or _busy(gateway), strict=True))
    return Result(
        scenario=name,
        rate=rate,
        replica_busy=min(1.0, replicas / seconds),
        store_busy=min(1.0, stores / seconds),
        start_p50=_milliseconds(gateway.starts, 0.5),
        start_p99=_milliseconds(gateway.starts, 0.99),
        answer_p50=_milliseconds(gateway.answers, 0.5),
        answer_p99=_milliseconds(gateway.answers, 0.99),
        over_after=over,
    )


def _milliseconds(seconds: Sequence[float], part: float) -> float | None:
    """Return a quantile; None if there are no values."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 if ordered else None
