"""The admin endpoint: what it shows, and what it orders."""

from __future__ import annotations

import asyncio

import pytest

from gateway.simulator import CONTROLS
from gateway.simulator.faults import FAULTS


async def test_describes_itself(tenant):
    """It lists every argument and every fault, without a token."""
    t = await tenant()
    described = (await t.call("GET", "/_sim", {})).json
    assert described["arguments"] == CONTROLS
    assert set(described["faults"]) == set(FAULTS)
    assert described["on"] == ["start", "status", "leg", "output", "list", "job", "stop", "token"]


@pytest.mark.looptime
async def test_counters_arguments_and_jobs(tenant):
    """Counts, tags and jobs tell the same story, in loop time."""
    t = await tenant(duration=5)
    started = await t.start(id="a", n=1)
    await t.get(started.location)
    counters = await t.admin("GET", "counters")
    assert {name: count for name, count in counters.items() if count} == {
        "starts": 1, "jobs": 1, "running": 1, "polls": 1, "open_connections": 1,
    }  # fmt: skip
    assert await t.admin("GET", "arguments") == {"a": {"starts": 1, "jobs": 1, "ended_at": None}}
    await asyncio.sleep(6)
    listed = await t.admin("GET", "jobs")
    (job,) = listed["jobs"]
    assert job["arguments"] == {"id": "a", "n": 1}
    assert (job["tag"], job["slug"], job["mode"], job["reads"]) == ("a", "job", "AsyncRequestReply", 1)
    assert job["ended_at"] == t.simulator.ended_at["a"] == pytest.approx(job["started_at"] + 5, abs=0.1)
    assert listed["now"] >= job["ended_at"]
    assert (await t.admin("GET", "counters"))["running"] == 0


@pytest.mark.looptime
async def test_ends_a_job(tenant):
    """A job can be ended at will, and a held call is answered at once."""
    t = await tenant(mode="LongPolling", duration=10_000)
    async with asyncio.TaskGroup() as group:
        held = group.create_task(t.start(n=1))
        await asyncio.sleep(1)
        (job_id,) = t.simulator.jobs
        ended = await t.admin("POST", f"jobs/{job_id}/end")
        assert ended["ended_at"] is not None
        assert (await t.admin("POST", f"jobs/{job_id}/end")) == ended
    assert held.result().json == {"n": 1}
    assert (await t.call("POST", "/_sim/jobs/none/end", {})).status == 404


async def test_orders_a_fault(tenant):
    """An ordered fault strikes the next calls of its kind and slug, as often as was ordered."""
    t = await tenant(duration=0)
    placed = await t.admin("POST", "faults", json={"fault": "502-after", "on": "start", "times": 2, "slug": "bad"})
    assert placed == {"fault": "502-after", "on": "start", "times": 2, "slug": "bad"}
    assert (await t.start("good")).status == 202
    assert [(await t.start("bad")).status for _ in range(3)] == [502, 502, 202]
    assert t.simulator.counters.jobs == 4
    assert await t.admin("GET", "faults") == []


async def test_orders_for_reads(tenant):
    """Orders for status and output strike there; without `times` once."""
    t = await tenant(duration=0)
    await t.admin("POST", "faults", json={"fault": "401", "on": "status"})
    await t.admin("POST", "faults", json={"fault": "503-before", "on": "output"})
    started = await t.start()
    assert (await t.get(started.location)).status == 401
    output = (await t.get(started.location)).location
    assert [(await t.get(output)).status for _ in range(2)] == [503, 200]


@pytest.mark.looptime
async def test_order_strikes_one_of_many_held(tenant):
    """One ordered fault strikes one call, however many are held when it is ordered."""
    t = await tenant(mode="LongPolling", duration=10)
    await t.admin("POST", "faults", json={"fault": "empty", "on": "start"})
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(t.start(n=1)) for _ in range(5)]
    assert sorted(call.result().body for call in calls) == [b"", *[b'{"n":1}'] * 4]
    assert (await t.start(n=1)).json == {"n": 1}


async def test_order_without_end_and_reset(tenant):
    """`times: null` lasts until the reset, which forgets orders, jobs and counts."""
    t = await tenant()
    await t.start(id="a")
    await t.admin("POST", "faults", json={"fault": "429", "times": None})
    assert [(await t.start(id="a")).status for _ in range(3)] == [429] * 3
    assert len(await t.admin("GET", "faults")) == 1
    await t.admin("POST", "reset")
    assert (t.simulator.jobs, t.simulator.starts_by_argument, t.simulator.ended_at) == ({}, {}, {})
    assert t.simulator.counters.starts == 0
    assert (await t.start()).status == 202


@pytest.mark.parametrize(
    "order",
    [[], {}, {"fault": 1}, {"fault": "gremlins"}, {"fault": "429", "on": "x"}, {"fault": "429", "times": 0},
     {"fault": "429", "times": True}, {"fault": "429", "when": 1}],
)  # fmt: skip
async def test_order_that_makes_no_sense(tenant, order):
    """A wrong order is 400 and changes nothing."""
    t = await tenant()
    reply = await t.call("POST", "/_sim/faults", {}, json=order)
    assert reply.status == 400
    assert reply.json["error"]
    assert (await t.start()).status == 202


async def test_order_that_is_no_json(tenant):
    """A body that is no JSON is 400."""
    t = await tenant()
    assert (await t.call("POST", "/_sim/faults", {}, data=b"{")).status == 400
