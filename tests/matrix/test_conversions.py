"""Every pair of modes over real sockets and a real store, with jobs of 0.3 s."""

from __future__ import annotations

import asyncio
import base64

import pytest

from gateway.core.modes import CALLER_MODES, CallerMode, UpstreamMode
from gateway.simulator import Settings
from gateway.simulator.settings import Trigger
from tests.matrix.conftest import Stage
from tests.matrix.conversations import AS_OBSERVED, CONVERSATIONS, Ending, converse, monitor_of
from tests.matrix.ways import RELEASED, SLUGS, Way, ways
from tests.support.rig import policy

DURATION = 0.3
OUTPUT = b'{ "total": 1.10,\n "b": 12345678901234567890, "a": "\xc3\xa4\\u00e4" }'
"""JSON that no decode and re-encode would leave as it is."""

ARGUMENTS = {
    "duration": DURATION,
    "output_base64": base64.b64encode(OUTPUT).decode(),
    "output_type": "application/json; charset=utf-8",
    "output_headers": {"X-Robot": "r2"},
}
QUICK = policy(hold=100, caller_mode=None)
"""A caller that says nothing is answered as the trigger answers."""

SIMULATOR = Settings(leg=0.1, triggers={RELEASED: Trigger()})
POLL_EVERY = 0.05


def test_no_mode_is_forgotten():
    """A mode that is new in the tables needs a conversation here, and a trigger."""
    assert list(CONVERSATIONS) == [row.mode for row in CALLER_MODES] == list(CallerMode)
    assert SLUGS.keys() == AS_OBSERVED.keys() == set(UpstreamMode)


@pytest.mark.parametrize("upstream", UpstreamMode)
@pytest.mark.parametrize("caller", [*CallerMode, None])
async def test_a_caller_gets_the_outcome_in_its_own_mode(staged, caller: CallerMode | None, upstream: UpstreamMode):
    """Whatever the trigger speaks, and whether or not it was asked to, the caller speaks its own mode throughout."""
    routes = tuple(way.route(QUICK) for way in ways(upstream))
    async with staged(routes=routes, simulator=SIMULATOR) as stage, asyncio.TaskGroup() as group:
        for way in ways(upstream):
            group.create_task(_check(stage, way, caller, upstream))


async def _check(stage: Stage, way: Way, caller: CallerMode | None, upstream: UpstreamMode) -> None:
    client = stage.client if way.name == "asked" else stage.signed_only
    mode = AS_OBSERVED[upstream] if caller is None else caller
    request = way.request(caller, {"id": way.name, **ARGUMENTS})
    jobs = upstream is UpstreamMode.JOBS
    ending = await converse(client, stage.receiver, mode, request, poll_every=POLL_EVERY, stoppable=jobs)
    assert stage.started_once(way.name)
    assert ("cancel" in ending.first.links) == (jobs and mode is not CallerMode.SYNC)
    view = await monitor_of(client, ending.first)
    assert view["status"] == ending.job_status
    assert view["mode"] == ("upstream" if caller is None else caller.value)
    assert view["upstream"]["mode"] == upstream.value
    if upstream is UpstreamMode.FORGET:
        check_dispatched(ending)
    else:
        _check_outcome(ending, mode, fields=not jobs)
        assert ending.ended_at >= stage.ended_at(way.name)
        assert ending.legs >= LEGS.get(mode, 0)


LEGS = {CallerMode.ASYNC: 2, CallerMode.LONG_POLL: 2, CallerMode.STREAM: 1}
"""How many answers at least come before the outcome of a job that takes a while."""


def _check_outcome(ending: Ending, mode: CallerMode, *, fields: bool) -> None:
    """See that it is the job's. `fields`: with the fields of the trigger's answer, of which the Jobs API knows none."""
    assert (ending.status, ending.job_status) == (200, "succeeded")
    assert ending.body == OUTPUT
    assert ending.headers["Content-Type"] == "application/json; charset=utf-8"
    if mode is not CallerMode.CALLBACK:  # whose header is the delivery's own
        assert ending.headers.get("X-Robot") == ("r2" if fields else None)


def check_dispatched(ending: Ending) -> None:
    """See that a job whose trigger forgets it is answered with its monitor, as far as it can ever be known."""
    assert (ending.status, ending.job_status) == (202, "dispatched")
    assert ending.headers["Content-Type"] == "application/json"
    assert "Retry-After" not in ending.headers
    assert "Location" not in ending.headers
    assert (ending.json["id"], ending.json["status"]) == (ending.first.job_id, "dispatched")


async def test_an_empty_answer_to_a_long_poll_is_the_outcome(staged):
    """A trigger that was asked for LongPolling and answers an empty 200 has ended a job without output."""
    way = Way("in-spite", "fixed-forget", UpstreamMode.LONG_POLL)
    async with staged(routes=(way.route(QUICK),), simulator=SIMULATOR) as stage:
        request = way.request(CallerMode.SYNC, {"id": "a"})
        ending = await converse(stage.client, stage.receiver, CallerMode.SYNC, request)
        assert (ending.status, ending.body, ending.job_status) == (200, b"", "succeeded")
