"""Every pair of modes with jobs of ten minutes, in virtual time: how soon an end is told, and what knowing it costs."""

from __future__ import annotations

import asyncio
import base64

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import MINUTE, SECOND, Binding, Policy
from gateway.simulator import Settings
from gateway.web.settings import Route
from tests.matrix.conversations import AS_OBSERVED, converse
from tests.matrix.test_conversions import check_dispatched
from tests.matrix.ways import FOLDER, SLUGS, Way
from tests.support.rig import policy

pytestmark = pytest.mark.looptime

DURATION = 600.0
OUTPUT = b'{ "total": 1.10 }'
ARGUMENTS = {
    "id": "a",
    "duration": DURATION,
    "output_base64": base64.b64encode(OUTPUT).decode(),
    "output_type": "application/json",
}

PATIENT = policy(caller_mode=None, max_hops=40)
"""Ten minutes are more holds than a route allows unless it says so."""

TOLD_WITHIN = {UpstreamMode.ASYNC: 17.0, UpstreamMode.LONG_POLL: 0.5, UpstreamMode.JOBS: 17.0}
"""Seconds from the job's end until the gateway knows: a held leg ends with the job, a status is next read within the
ceiling of 15 s, a tenth for the jitter, and the time of a read."""

ASKED_WITHIN = {CallerMode.ASYNC: 16.0}
"""What a caller adds that asks when it was told to, in whole seconds."""

CALLS = {
    UpstreamMode.ASYNC: range(40, 101),
    UpstreamMode.LONG_POLL: range(24, 27),
    UpstreamMode.FORGET: range(1, 2),
    UpstreamMode.JOBS: range(40, 101),
}
"""Calls of the upstream: a leg of a long poll is held for 25 s; a status is read less often the older the job is."""


@pytest.mark.parametrize("upstream", UpstreamMode)
@pytest.mark.parametrize("caller", [*CallerMode, None])
async def test_a_long_job_is_told_of_in_time_and_cheaply(virtual, caller: CallerMode | None, upstream: UpstreamMode):
    """The outcome is exact, within the planned delay after the end, for a bounded number of upstream calls."""
    way = Way("asked", SLUGS[upstream], upstream)
    mode = AS_OBSERVED[upstream] if caller is None else caller
    async with virtual(routes=(way.route(PATIENT),)) as stage:
        began = asyncio.get_running_loop().time()
        request, stoppable = way.request(caller, ARGUMENTS), upstream is UpstreamMode.JOBS
        ending = await converse(stage.client, stage.receiver, mode, request, stoppable=stoppable)
        assert stage.started_once("a")
        assert stage.running.simulator.counters.lists == 0
        assert stage.upstream_calls() - _doubly_counted(upstream) in CALLS[upstream]
        assert ending.answered_at - began <= _answered_within(caller, mode, upstream)
        if upstream is UpstreamMode.FORGET:
            check_dispatched(ending)
            return
        assert (ending.status, ending.body, ending.job_status) == (200, OUTPUT, "succeeded")
        delay = ending.ended_at - stage.ended_at("a")
        assert 0 <= delay <= TOLD_WITHIN[upstream] + ASKED_WITHIN.get(mode, 0)


def _doubly_counted(upstream: UpstreamMode) -> int:
    """Return how many calls the simulator counts twice: the first leg of a long poll is its start as well."""
    return 1 if upstream is UpstreamMode.LONG_POLL else 0


def _answered_within(caller: CallerMode | None, mode: CallerMode, upstream: UpstreamMode) -> float:
    """Return the seconds within which the call itself is answered."""
    if upstream is UpstreamMode.FORGET:
        return 0.1
    if mode is CallerMode.SYNC:
        return DURATION + TOLD_WITHIN[upstream]
    if mode is CallerMode.LONG_POLL or caller is None:
        return 26
    # An accepting mode waits for the start's answer, but not for a whole first leg.
    return 2.1 if upstream is UpstreamMode.LONG_POLL else 0.1


async def test_a_sync_caller_may_wait_longer_than_the_upstream_holds_anyone(virtual):
    """The upstream's own limit of 15 minutes is none of a trigger that is polled."""
    async with virtual(policy=policy(wait=30 * MINUTE)) as stage:
        way = Way("t/folder/async", "async", UpstreamMode.ASYNC)
        ending = await converse(
            stage.client,
            stage.receiver,
            CallerMode.SYNC,
            way.request(CallerMode.SYNC, {**ARGUMENTS, "duration": 1500}),
        )
        assert (ending.status, ending.body) == (200, OUTPUT)
        assert 1500 <= ending.ended_at <= 1517


async def test_the_upstreams_own_limit_is_an_outcome_like_any_other(virtual):
    """A trigger that is long-polled ends every wait after 15 minutes, in its own words; nobody else can be asked."""
    way = Way("asked", "longpoll", UpstreamMode.LONG_POLL)
    async with virtual(routes=(way.route(policy(wait=30 * MINUTE)),)) as stage:
        request = way.request(CallerMode.SYNC, {**ARGUMENTS, "duration": 1500})
        ending = await converse(stage.client, stage.receiver, CallerMode.SYNC, request)
        assert (ending.status, ending.json["errorCode"], ending.job_status) == (504, 4803, "failed")
        assert 900 <= ending.ended_at <= 901


async def test_where_its_jobs_can_be_found_they_are_waited_for_beyond_that_limit(virtual):
    """Its error tells no end: the job is found by the id that it carries, and followed by the Jobs API."""
    way = Way("asked", "longpoll", UpstreamMode.LONG_POLL)
    binding = Binding(api=True, folder=FOLDER, slug="longpoll", correlation="callmodeJob")
    patient = policy(
        wait=30 * MINUTE, reconcile_wait=30 * SECOND, upstream_mode=UpstreamMode.LONG_POLL, binding=binding
    )
    route = Route(name="asked", path=way.path, trigger=f"/t/{FOLDER}/longpoll", policy=patient)
    async with virtual(routes=(route,)) as stage:
        request = way.request(CallerMode.SYNC, {**ARGUMENTS, "duration": 1500})
        ending = await converse(stage.client, stage.receiver, CallerMode.SYNC, request, stoppable=True)
        assert (ending.status, ending.body, ending.job_status) == (200, OUTPUT, "succeeded")
        assert 1500 <= ending.ended_at <= 1517
        counters = stage.running.simulator.counters
        assert stage.started_once("a")
        assert counters.legs == 36
        assert (counters.lists, counters.job_reads) <= (2, 60)


async def test_what_the_upstream_asks_for_is_granted(virtual):
    """Retry-After on a status is a lower bound of the time until the next read, beyond the ceiling too."""
    async with virtual(simulator=Settings(retry_after_on_running=40)) as stage:
        request = Way("t/folder/async", "async", UpstreamMode.ASYNC).request(CallerMode.SYNC, ARGUMENTS)
        ending = await converse(stage.client, stage.receiver, CallerMode.SYNC, request)
        assert ending.body == OUTPUT
        # A tenth later at most: the jitter. The start asks as well.
        assert DURATION / 44 <= stage.running.simulator.counters.polls <= DURATION / 40 + 1


def test_the_bounds_are_those_of_the_default_policy():
    """The bounds above are made of these."""
    assert (Policy().pace.ceiling, Policy().upstream_hold, Policy().start_wait) == (15 * SECOND, 25 * SECOND, 2_000)
