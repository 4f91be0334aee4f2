"""The nemesis carries the plan out, writes down what it did, and at the end heals everything."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

from tests.chaos.cluster import Cluster, Replica
from tests.chaos.history import REDIS, Fault, History, Leftover
from tests.chaos.schedule import Kind, Step
from tests.support.fault_proxy import Fault as OnTheWire

_LATENCY = 0.2
_GRACE = 20.0
"""Seconds beyond its drain that a replica may take to end on SIGTERM, on a busy machine."""

_WIRE = {f"{side}-{fault.value}": (side, fault) for side in ("store", "upstream") for fault in OnTheWire}


class Nemesis:
    """Does to `cluster` what the plan says."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._cluster = cluster
        self._history = history

    async def carry_out(self, steps: tuple[Step, ...]) -> None:
        """Do the steps, each line's one after the other; return when the last one is over.

        On a busy machine restarts take longer than planned, and what follows comes late. What would come after the end
        of the plan is left out.
        """
        began = self._history.now()
        async with asyncio.TaskGroup() as group:
            for target in {step.target for step in steps}:
                group.create_task(self._line([step for step in steps if step.target == target], began))

    async def heal(self) -> None:
        """Take every fault away and have every replica run. The plan has to be over."""
        for replica in self._cluster.replicas:
            if not replica.process.running:
                self._history.add(Leftover("crash", f"{replica.process.name} has ended by itself"))
            replica.process.send(signal.SIGCONT)
            for way in (replica.to_store, replica.to_upstream):
                await way.put(OnTheWire.PASS)
        await self._cluster.start_all()

    async def _line(self, steps: list[Step], began: float) -> None:
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at - self._history.now()))
            at = self._history.now()
            if at > began + self._cluster.settings.seconds:
                return
            try:
                await self._do(step)
            finally:
                self._history.add(Fault(step.kind.value, step.target, at, self._history.now(), f"{step.lasts}s"))

    async def _do(self, step: Step) -> None:
        if step.target == REDIS:
            act = self._cluster.store_restarts if step.kind is Kind.KILL else self._cluster.store_stops
            await act(step.lasts)
            return
        replica = self._cluster.replicas[step.target]
        await self._act(step.kind)(replica, step.lasts)

    def _act(self, kind: Kind):
        match kind:
            case Kind.KILL:
                return self._kill
            case Kind.STOP:
                return self._stop
            case Kind.TERM:
                return self._term
            case Kind.STORE_RESET | Kind.UPSTREAM_RESET:
                return partial(_reset, kind.value.partition("-")[0])
            case _:
                return partial(_on_the_wire, *_WIRE[kind.value])

    async def _kill(self, replica: Replica, down: float) -> None:
        await replica.process.kill()
        await asyncio.sleep(down)
        await replica.process.start(self._cluster.session)

    async def _stop(self, replica: Replica, seconds: float) -> None:
        replica.process.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            replica.process.send(signal.SIGCONT)

    async def _term(self, replica: Replica, down: float) -> None:
        replica.process.send(signal.SIGTERM)
        status = await replica.process.gone(self._cluster.settings.drain + _GRACE)
        if status != 0:
            self._history.add(Leftover("drain", f"{replica.process.name} ended with {status} on SIGTERM"))
            await replica.process.kill()
        await asyncio.sleep(down)
        await replica.process.start(self._cluster.session)


async def _on_the_wire(side: str, fault: OnTheWire, replica: Replica, seconds: float) -> None:
    way = replica.to_store if side == "store" else replica.to_upstream
    await way.put(fault, latency=_LATENCY)
    try:
        await asyncio.sleep(seconds)
    finally:
        await way.put(OnTheWire.PASS)


async def _reset(side: str, replica: Replica, _: float) -> None:
    (replica.to_store if side == "store" else replica.to_upstream).reset()
