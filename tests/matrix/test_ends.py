"""Ends that the gateway makes, told in every caller mode, in virtual time: passed deadlines, starts without verdict."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import HOUR, MINUTE, SECOND
from gateway.simulator import Settings
from gateway.web.settings import Route
from tests.matrix.client import Answer, Request, check_about_job
from tests.matrix.conftest import Stage
from tests.matrix.conversations import AS_OBSERVED, converse, monitor_of, read_events
from tests.matrix.ways import SLUGS, Way
from tests.support.rig import policy

pytestmark = pytest.mark.looptime

DEADLINE = 300
VERDICT_WITHIN = 30
SLACK = 0.5

AMBIGUOUS = policy(reconcile_wait=VERDICT_WITHIN * SECOND, unknown_ttl=1 * HOUR, caller_mode=None)
"""As on a route where something can reconcile, though nothing does."""

BLIND = Settings(list_lag=1e9)
"""A tenant whose lists name no job: it is asked what became of starts, and never knows."""


def arguments(**more: object) -> bytes:
    """Return the arguments of a job of ten minutes."""
    return json.dumps({"id": "a", "duration": 600, **more}).encode()


def check_problem(body: bytes, code: str, job_id: str) -> None:
    """See that `body` is the problem `code` about this job."""
    problem = json.loads(body)
    assert problem["type"] == f"urn:callmode:problem:{code}"
    assert problem["jobId"] == job_id
    assert f"/-/jobs/{job_id}" in problem["monitor"]
    assert problem["retryable"] is False


FOLLOWED = [mode for mode in UpstreamMode if mode is not UpstreamMode.FORGET]
"""What a forgetting trigger started is never waited for, and has no deadline to pass."""


@pytest.mark.parametrize("upstream", FOLLOWED)
@pytest.mark.parametrize("caller", [*CallerMode, None])
async def test_a_passed_deadline_is_504_in_every_mode(virtual, caller: CallerMode | None, upstream: UpstreamMode):
    """The job counts as failed at its deadline, exactly then, and its callers are told why."""
    way = Way("asked", SLUGS[upstream], upstream)
    route = way.route(policy(deadline=DEADLINE * SECOND, caller_mode=None))
    mode = AS_OBSERVED[upstream] if caller is None else caller
    async with virtual(routes=(route,)) as stage:
        request = way.request(caller, {"id": "a", "duration": 600})
        ending = await converse(stage.client, stage.receiver, mode, request, stoppable=upstream is UpstreamMode.JOBS)
        assert ending.status == 504
        assert ending.headers["Content-Type"] == "application/problem+json"
        check_problem(ending.body, "job-deadline", ending.first.job_id)
        view = await monitor_of(stage.client, ending.first)
        assert (view["status"], view["error"]) == ("failed", "job-deadline")
        # A leg that is held may have to end first.
        late = 16 if mode is CallerMode.ASYNC else SLACK
        assert DEADLINE <= ending.ended_at <= DEADLINE + late + (25 if upstream is UpstreamMode.LONG_POLL else 0)
        assert stage.started_once("a")


@pytest.mark.parametrize("upstream", UpstreamMode)
@pytest.mark.parametrize("caller", [CallerMode.SYNC, CallerMode.LONG_POLL, None])
async def test_a_blocked_caller_of_an_unknown_job_waits_for_the_verdict_and_is_told(virtual, caller, upstream):
    """502 `upstream-ambiguous` after `reconcile_wait`: it may have run, and it is not sent again."""
    async with virtual(routes=(_ambiguous(upstream),), policy=AMBIGUOUS, simulator=BLIND) as stage:
        answer = await stage.client.start(_request(caller))
        hops = 0
        while answer.status == 303:
            hops += 1
            answer = await stage.client.get(answer.headers["Location"])
        assert hops == (1 if caller is CallerMode.LONG_POLL else 0)
        assert VERDICT_WITHIN <= answer.at <= VERDICT_WITHIN + SLACK
        _check_ambiguous(answer)
        await _check_urls(stage, answer, stoppable=upstream is UpstreamMode.JOBS)
        assert stage.started_once("a")


@pytest.mark.parametrize(
    ("said", "status"), [({"Prefer": "wait=10"}, 504), ({"Prefer": "wait=10, respond-async"}, 202)]
)
async def test_the_wait_for_a_verdict_is_no_longer_than_the_callers(virtual, said, status):
    """A wait that runs out while the job is unknown runs out like any other."""
    async with virtual(routes=(_ambiguous(UpstreamMode.ASYNC),)) as stage:
        answer = await stage.client.start(_request(CallerMode.SYNC).with_headers(said))
        assert 10 <= answer.at <= 10 + SLACK
        assert answer.status == status
        assert (await monitor_of(stage.client, answer))["status"] == "unknown"


@pytest.mark.parametrize("upstream", UpstreamMode)
@pytest.mark.parametrize("caller", [CallerMode.ASYNC, CallerMode.FORGET, CallerMode.CALLBACK])
async def test_an_accepting_mode_answers_the_same(virtual, caller, upstream):
    """Nobody is told that an unknown job was accepted."""
    async with virtual(routes=(_ambiguous(upstream),), simulator=BLIND) as stage:
        answer = await stage.client.start(_request(caller).with_headers({"Callback-Url": stage.receiver.url}))
        assert VERDICT_WITHIN <= answer.at <= VERDICT_WITHIN + SLACK
        _check_ambiguous(answer)
        await _check_urls(stage, answer, stoppable=upstream is UpstreamMode.JOBS)
        assert stage.receiver.pending(answer.job_id) == 0


async def test_without_anything_to_reconcile_it_is_told_at_once(virtual):
    """Nothing that speaks to triggers alone can find out, so nobody waits."""
    async with virtual() as stage:
        answer = await stage.client.start(Request("/t/folder/async", arguments(fault="reset-after")))
        assert answer.at < SLACK
        _check_ambiguous(answer)


async def test_a_stream_tells_that_a_job_is_unknown_and_at_last_that_it_expired(virtual):
    """The event `unknown`, and when no verdict has come within `unknown_ttl`, the same problem as the outcome."""
    async with virtual(routes=(_ambiguous(UpstreamMode.ASYNC),)) as stage:
        answer = await stage.client.start(_request(CallerMode.STREAM))
        *changes, last = read_events(answer.body)
        assert changes[-1].name == "unknown"
        assert changes[-1].data["status"] == "unknown"
        assert (last.name, last.data["status"]) == ("outcome", 502)
        check_problem(last.data["body"].encode(), "upstream-ambiguous", answer.job_id)
        assert 3600 <= answer.at <= 3600 + SLACK


async def test_an_unknown_job_without_a_verdict_expires(virtual):
    """Then it is over for everybody: its monitor says so, its URLs answer as before, its callback is made."""
    async with virtual(routes=(_ambiguous(UpstreamMode.ASYNC),)) as stage:
        request = _request(CallerMode.CALLBACK).with_headers({"Callback-Url": stage.receiver.url})
        answer = await stage.client.start(request)
        view = await monitor_of(stage.client, answer)
        assert (view["status"], view["error"]) == ("unknown", "upstream-ambiguous")
        delivery = await stage.receiver.delivery(answer.job_id)
        assert 3600 <= delivery.at <= 3600 + SLACK
        assert (delivery.headers["Job-Status"], delivery.headers["Outcome-Status"]) == ("expired", "502")
        check_problem(delivery.body, "upstream-ambiguous", answer.job_id)
        assert (await monitor_of(stage.client, answer))["status"] == "expired"
        await _check_urls(stage, answer)
        assert stage.started_once("a")


async def test_an_unknown_job_is_exempt_from_the_deadline(virtual):
    """Whether it ran is not known, so nobody may say that it failed."""
    route = Way("asked", "async", UpstreamMode.ASYNC).route(policy(deadline=1 * MINUTE))
    async with virtual(routes=(route,)) as stage:
        answer = await stage.client.start(_request(None))
        await asyncio.sleep(600)
        assert (await monitor_of(stage.client, answer))["status"] == "unknown"


def _ambiguous(upstream: UpstreamMode) -> Route:
    return Way("asked", SLUGS[upstream], upstream).route(AMBIGUOUS)


def _request(caller: CallerMode | None) -> Request:
    """Return a call whose start is cut after the job has begun."""
    request = Request("/asked", arguments(fault="reset-after"))
    return request if caller is None else request.demanding(caller)


def _check_ambiguous(answer: Answer) -> None:
    assert answer.status == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Job-Status" not in answer.headers
    check_problem(answer.body, "upstream-ambiguous", answer.job_id)
    assert answer.links["monitor"] == json.loads(answer.body)["monitor"]


async def _check_urls(stage: Stage, answer: Answer, *, stoppable: bool = False) -> None:
    """See that poll, wait and result answer the same as the call did, at once."""
    links = (await monitor_of(stage.client, answer))["links"]
    began = asyncio.get_running_loop().time()
    for name, mode in (("poll", CallerMode.ASYNC), ("wait", CallerMode.LONG_POLL)):
        again = await stage.client.get(links[name])
        check_about_job(again, answer.job_id, mode, stoppable=stoppable)
        _check_ambiguous(again)
    _check_ambiguous(await stage.client.get(links["result"]))
    assert asyncio.get_running_loop().time() - began < SLACK
