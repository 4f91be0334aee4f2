"""Measuring all costs: about three minutes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.scale import measure_gateway as gateways
from benchmarks.scale import measure_store as stores
from benchmarks.scale.bench import KIB, bench, server
from benchmarks.scale.costs import Costs, Machine, ReplicaCosts, StoreCosts
from benchmarks.scale.measure_gateway import Paid


def measure(directory: Path) -> tuple[Costs, Paid]:
    """Measure everything, with files below `directory`; return the costs, and what the other jobs cost."""
    with bench(directory / "memory") as it:
        memory = gateways.memory(it)
        taken = gateways.take_over(it, directory / "memory")
    with bench(directory / "jobs") as it:
        idle = gateways.idle(it)
        rows = gateways.rows(it, idle)
        turn = stores.turn(it.store)
        loads, other = gateways.loads(it, idle, turn)
        body, tombstone = stores.bury(it.store)
        replica = ReplicaCosts(
            job=loads["job"],
            read=loads["read"],
            idle=idle["gateway"],
            take=taken["replica"],
            parked=memory["parked"],
            followed=memory["followed"],
            shape=gateways.shape(it, idle["gateway"]),
        )
        with server(directory / "always", always=True) as always:
            turn_always = stores.turn(always)
        store = StoreCosts(
            scripts=rows["scripts"],
            script=loads["script"],
            turn=turn,
            turn_always=turn_always,
            fsync=stores.fsync(directory),
            look=stores.look(it.store),
            take=taken["store"],
            expire=stores.expire(it.store),
            live=memory["live"],
            ended=rows["memory"] - tombstone + KIB - body,
            tombstone=tombstone,
            key=stores.key(it.store),
            log=rows["log"],
            wire=rows["wire"],
        )
        version = str(it.store.client.info("server")["redis_version"])
    return Costs(_machine(version), store, replica), other


def _machine(version: str) -> Machine:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
    return Machine(model, os.cpu_count() or 1, platform.python_version(), version)
