"""Workers that are stuck, or that somebody tells to go, as real processes: nobody waits for them for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.rig import GatewayProcess
from tests.workers.support import Workers, two_workers, write

LEASE = 10.0
"""Seconds that a lease lasts by default: after what takes less, nobody has waited for one to run out."""

BLOCKING = """
import signal, time
signal.signal(signal.SIGUSR1, lambda number, frame: time.sleep(600))
"""
"""With this as its `sitecustomize`, a process does nothing else any more once it gets SIGUSR1."""

COUNT = 6


async def _start(workers: Workers, duration: float = 2) -> None:
    """Start some jobs at both workers."""
    for n in range(COUNT):
        status, _ = await workers.call(
            json={"id": f"job {n}", "duration": duration},
            headers={"Idempotency-Key": f'"key {n}"', "Call-Mode": "async"},
        )
        assert status == 202
    await workers.gateway.logged_times("job", COUNT, what="Followed")


async def _outcomes(workers: Workers, duration: float = 2) -> list[str]:
    """Call for the same jobs again, until they end; return what they say."""
    answers = [
        await workers.call(json={"id": f"job {n}", "duration": duration}, headers={"Idempotency-Key": f'"key {n}"'})
        for n in range(COUNT)
    ]
    assert {status for status, _ in answers} == {200}
    return [json.loads(body)["id"] for _, body in answers]


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGUSR1], ids=["stopped", "blocked"])
async def test_one_who_is_stuck_is_replaced(tmp_path: Path, how: signal.Signals):
    """It answers no ping, is killed, and the other takes its jobs over at once; whoever answers stays."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKING)
    path = os.pathsep.join((str(Path(__file__).parents[2]), str(tmp_path)))
    async with two_workers(tmp_path, patches=["pings:0.3"], env={"PYTHONPATH": path}) as workers:
        before = workers.pids()
        await _start(workers)
        os.kill(before[1], how)
        began = asyncio.get_running_loop().time()
        killed = await workers.gateway.logged("worker killed")
        assert (killed["worker"], killed["pid"]) == (1, before[1])
        assert "has not answered" in killed["why"]
        after = await workers.serving(3)
        assert after[1] != before[1]
        assert after[2] == before[2]
        assert await _outcomes(workers) == [f"job {n}" for n in range(COUNT)]
        assert asyncio.get_running_loop().time() - began < LEASE
        assert set(workers.simulator.starts_by_argument.values()) == {1}
    assert sum(line["event"] == "worker killed" for line in workers.gateway.log) == 1


async def test_one_who_is_stuck_holds_up_no_reload(tmp_path: Path):
    """It is killed after the time that its going may take, and the reload goes on to the other."""
    async with two_workers(tmp_path, patches=["impatient:4"]) as workers:
        before = workers.pids()
        await _start(workers)
        os.kill(before[1], signal.SIGSTOP)
        write(tmp_path, workers.upstream_url, "drain: 1s")
        workers.gateway.send(signal.SIGHUP)
        killed = await workers.gateway.logged("worker killed")
        assert (killed["worker"], killed["why"]) == (1, "it has not gone within 4 s")
        await workers.gateway.logged("reloaded")
        assert await _outcomes(workers) == [f"job {n}" for n in range(COUNT)]
        assert set(workers.simulator.starts_by_argument.values()) == {1}
        ended = {line["pid"]: line["code"] for line in workers.gateway.log if line["event"] == "worker ended"}
        assert ended == {before[1]: -signal.SIGKILL, before[2]: 0}


async def test_one_who_is_stuck_holds_up_no_stop(tmp_path: Path):
    """All else ends well, and the next gateway goes on with its jobs."""
    async with two_workers(tmp_path, configuration="drain: 1s", patches=["impatient:4"]) as workers:
        await _start(workers, duration=8)
        os.kill(workers.pids()[2], signal.SIGSTOP)
        assert await workers.gateway.stop() == 0
        killed = await workers.gateway.logged("worker killed")
        assert killed["worker"] == 2
        workers.gateway = await GatewayProcess.serve(
            workers.upstream_url, tmp_path / "data", str(tmp_path / "gateway.yaml"), "--workers", "2"
        )
        assert await _outcomes(workers, duration=8) == [f"job {n}" for n in range(COUNT)]
        assert set(workers.simulator.starts_by_argument.values()) == {1}


async def test_one_who_is_told_to_go_is_replaced(tmp_path: Path):
    """While it drains, nobody new comes to it; who waits there is answered by it, and no call fails."""
    async with two_workers(tmp_path) as workers, asyncio.TaskGroup() as group:
        before = workers.pids()
        waiting = [group.create_task(workers.call(json={"id": f"job {n}", "duration": 4})) for n in range(COUNT)]
        await workers.gateway.logged_times("job", COUNT, what="Followed")
        os.kill(before[1], signal.SIGTERM)
        await workers.gateway.logged("worker retires", worker=1, pid=before[1])
        for _ in range(40):
            assert (await workers.call("/-/healthz", method="GET"))[0] == 200
        after = await workers.serving(3)
        assert not any(task.done() for task in waiting)
        first_of_the_new = workers.gateway.log.index(await workers.gateway.logged("worker serves", pid=after[1]))
        by_the_old = [
            line
            for line in workers.gateway.log[:first_of_the_new]
            if line.get("path") == "/-/healthz" and line["worker"] == 1
        ]
        assert by_the_old == []
        assert {(await task)[0] for task in waiting} == {200}
        assert (await workers.gateway.logged("worker ended"))["code"] == 0
        assert after[2] == before[2]


async def test_all_are_told_to_go_at_once(tmp_path: Path):
    """By somebody who means well and knows no parents: then all are replaced, and no call fails."""
    async with two_workers(tmp_path) as workers:
        before = workers.pids()
        for pid in before.values():
            os.kill(pid, signal.SIGTERM)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(workers.call(json={"id": f"job {n}", "duration": 1})) for n in range(COUNT)]
        assert {(await each)[0] for each in calls} == {200}
        after = await workers.serving(4)
        assert not set(before.values()) & set(after.values())


async def test_a_reload_is_the_parents_as_well(tmp_path: Path):
    """It logs what the file says by now."""
    async with two_workers(tmp_path) as workers:
        write(tmp_path, workers.upstream_url, "log: {level: error}")
        workers.gateway.send(signal.SIGHUP)
        await workers.gateway.logged_times("draining", 2)  # They were started when the level was another.
        write(tmp_path, workers.upstream_url, "log: {level: info}")
        workers.gateway.send(signal.SIGHUP)
        await workers.gateway.logged("reloaded")
        said = [line["event"] for line in workers.gateway.log]
        assert said.count("reloading") == 1
        assert said.count("worker serves") == 4
