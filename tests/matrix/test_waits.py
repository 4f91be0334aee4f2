"""Waits that run out, in virtual time: what each caller is told, when, and that the job goes on to its exact end."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from gateway.core.modes import CallerMode
from gateway.core.policy import MINUTE, SECOND, OnTimeout
from tests.matrix.client import Answer, Client, Request, check_about_job
from tests.matrix.conftest import Stage
from tests.matrix.conversations import CONVERSATIONS, Ending, Talk, monitor_of, result_of
from tests.support.rig import policy

pytestmark = pytest.mark.looptime

DURATION = 600
OUTPUT = b'{ "total": 1.10 }'
WAIT = 60
SLACK = 0.2
"""Seconds that an answer may be late: reads take none in virtual time, timers have a resolution."""


def call(*, path: str = "/t/folder/async", duration: float = DURATION, **headers: str) -> Request:
    """Return a call of a job of `duration` seconds; the names of `headers` are written with `_` for `-`."""
    arguments = {
        "id": "a",
        "duration": duration,
        "output_base64": base64.b64encode(OUTPUT).decode(),
        "output_type": "application/json",
    }
    return Request(
        path, json.dumps(arguments).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def go_on(stage: Stage, mode: CallerMode, first: Answer) -> Ending:
    """Go on as a client of `mode` that has had `first` for an answer."""
    return await CONVERSATIONS[mode](Talk(stage.client, stage.receiver, mode, first))


def check_outcome(stage: Stage, ending: Ending) -> None:
    """See that the job went on to its end, and was started once."""
    assert (ending.status, ending.body, ending.job_status) == (200, OUTPUT, "succeeded")
    assert stage.started_once("a")


def check_timeout(answer: Answer, applied: CallerMode) -> None:
    """See that an answer is the problem `wait-timeout`, and says where the result will be."""
    assert answer.status == 504
    problem = json.loads(answer.body)
    assert problem["type"] == "urn:callmode:problem:wait-timeout"
    assert (problem["jobId"], problem["monitor"]) == (answer.job_id, answer.links["monitor"])
    assert answer.links["result"] in problem["detail"]
    assert "Job-Status" not in answer.headers
    assert answer.retry_after >= 1
    check_about_job(answer, answer.job_id, applied)


async def test_a_plain_sync_caller_gets_504_and_the_jobs_url(virtual):
    """Where nobody said otherwise the wait fails; the job does not."""
    async with virtual(policy=policy(wait=WAIT * SECOND)) as stage:
        answer = await stage.client.start(call())
        assert WAIT <= answer.at <= WAIT + SLACK
        check_timeout(answer, CallerMode.SYNC)
        assert (await monitor_of(stage.client, answer))["status"] == "running"
        check_outcome(stage, await result_of(stage.client, answer))


@pytest.mark.parametrize("route_says", [None, *OnTimeout])
@pytest.mark.parametrize("caller_says", [OnTimeout.ACCEPT, OnTimeout.REDIRECT, OnTimeout.FAIL])
async def test_the_caller_says_what_a_wait_that_runs_out_means(virtual, caller_says, route_says):
    """`Call-On-Timeout` comes before what the route says."""
    async with virtual(policy=policy(wait=WAIT * SECOND, on_timeout=route_says, max_hops=40)) as stage:
        answer = await stage.client.start(call(Call_On_Timeout=caller_says))
        assert WAIT <= answer.at <= WAIT + SLACK
        check_outcome(stage, await _after_timeout(stage, answer, caller_says))


@pytest.mark.parametrize("route_says", [OnTimeout.ACCEPT, OnTimeout.REDIRECT, OnTimeout.FAIL])
async def test_the_route_says_what_a_wait_that_runs_out_means(virtual, route_says):
    """For a caller who does not say."""
    async with virtual(policy=policy(wait=WAIT * SECOND, on_timeout=route_says, max_hops=40)) as stage:
        answer = await stage.client.start(call())
        check_outcome(stage, await _after_timeout(stage, answer, route_says))


async def _after_timeout(stage: Stage, answer: Answer, means: OnTimeout) -> Ending:
    """See that `answer` is what `means` says, and go on from there."""
    check_about_job(answer, answer.job_id, CallerMode.SYNC)
    match means:
        case OnTimeout.ACCEPT:
            return await go_on_polling(stage.client, answer)
        case OnTimeout.REDIRECT:
            assert (answer.status, answer.body) == (303, b"")
            return await go_on_waiting(stage.client, answer)
        case _:
            check_timeout(answer, CallerMode.SYNC)
            return await result_of(stage.client, answer)


async def go_on_polling(client: Client, answer: Answer) -> Ending:
    """See that `answer` is a whole 202, and poll as it says."""
    assert answer.status == 202
    assert answer.headers["Operation-Location"] == answer.links["monitor"]
    assert answer.retry_after >= 1
    polled = await client.get(answer.headers["Location"])
    while polled.status == 200:
        await asyncio.sleep(polled.retry_after)
        polled = await client.get(answer.headers["Location"])
    assert polled.status == 303
    return _ending(answer, await client.get(polled.headers["Location"]))


async def go_on_waiting(client: Client, answer: Answer) -> Ending:
    """Follow redirects from `answer` to the outcome."""
    hop = answer
    while hop.status == 303:
        hop = await client.get(hop.headers["Location"])
    return _ending(answer, hop)


def _ending(first: Answer, last: Answer) -> Ending:
    return Ending(last.status, last.headers, last.body, last.headers.get("Job-Status"), first, last.at)


async def test_respond_async_is_answered_at_once(virtual):
    """`Prefer: respond-async` is the mode async, and is said to have been applied."""
    async with virtual() as stage:
        answer = await stage.client.start(call(Prefer="respond-async"))
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert answer.at < SLACK
        check_outcome(stage, await go_on(stage, CallerMode.ASYNC, answer))


@pytest.mark.parametrize(
    ("prefer", "status"), [("wait=30", 504), ("respond-async, wait=30", 202), ("wait=30, respond-async", 202)]
)
async def test_a_preferred_wait_is_kept(virtual, prefer, status):
    """After `wait` seconds it fails for a plain sync caller, and is a 202 for one that also said `respond-async`."""
    async with virtual() as stage:
        answer = await stage.client.start(call(Prefer=prefer))
        assert 30 <= answer.at <= 30 + SLACK
        assert answer.status == status
        assert answer.headers["Preference-Applied"].split(", ") == sorted(prefer.split(", "))
        if status == 202:
            check_outcome(stage, await go_on_polling(stage.client, answer))
        else:
            check_timeout(answer, CallerMode.SYNC)


@pytest.mark.parametrize("prefer", ["wait=30", "respond-async, wait=30"])
async def test_a_job_that_ends_within_a_preferred_wait_is_answered_with_its_outcome(virtual, prefer):
    """The wait is a limit and no delay."""
    async with virtual() as stage:
        answer = await stage.client.start(call(duration=10, Prefer=prefer))
        assert (answer.status, answer.body) == (200, OUTPUT)
        assert answer.headers["Preference-Applied"] == prefer
        assert 10 <= answer.at <= 12


async def test_a_preferred_wait_is_no_longer_than_the_routes(virtual):
    """It is a wish, and what was granted of it is said."""
    async with virtual(policy=policy(wait=WAIT * SECOND)) as stage:
        answer = await stage.client.start(call(Prefer="wait=3600"))
        assert WAIT <= answer.at <= WAIT + SLACK
        assert answer.headers["Preference-Applied"] == f"wait={WAIT}"
        check_timeout(answer, CallerMode.SYNC)


@pytest.mark.parametrize("said", [{"Prefer": "wait=30"}, {"Prefer": "respond-async, wait=30"}])
async def test_call_on_timeout_comes_before_a_preference(virtual, said):
    """A demand over a wish: no 202 can come of it any more, and so nobody is told that `respond-async` is applied."""
    async with virtual(policy=policy(max_hops=40)) as stage:
        answer = await stage.client.start(call(**said, Call_On_Timeout="redirect"))
        assert (answer.status, answer.headers["Preference-Applied"]) == (303, "wait=30")
        check_outcome(stage, await go_on_waiting(stage.client, answer))


@pytest.mark.parametrize("route_says", [None, *OnTimeout])
@pytest.mark.parametrize("caller_says", [None, OnTimeout.ACCEPT, OnTimeout.REDIRECT, OnTimeout.FAIL])
async def test_a_redirect_loop_ends_after_the_hops_that_a_route_allows(virtual, caller_says, route_says):
    """As a wait that ran out, in the way that its caller said with the first call, and never in another loop.

    Clients silently stop at limits of their own, so there is a proper answer before.
    """
    said = {} if caller_says is None else {"Call_On_Timeout": caller_says}
    async with virtual(policy=policy(max_hops=4, on_timeout=route_says)) as stage:
        answer = await stage.client.start(call(Call_Mode="long-poll", **said))
        hops = 0
        while answer.status == 303:
            hops += 1
            answer = await stage.client.get(answer.headers["Location"])
        assert hops == 4
        assert 125 <= answer.at <= 125 + 5 * SLACK
        if (caller_says or route_says) is OnTimeout.ACCEPT:
            check_outcome(stage, await go_on_polling(stage.client, answer))
        else:
            check_timeout(answer, CallerMode.LONG_POLL)
            check_outcome(stage, await result_of(stage.client, answer))


async def test_the_default_is_twenty_hops(virtual):
    """Twenty redirects and one more hold: what a long-poll caller has on a route that says nothing."""
    async with virtual(policy=policy(hold=1 * SECOND)) as stage:
        answer = await stage.client.start(call(Call_Mode="long-poll"))
        while answer.status == 303:
            answer = await stage.client.get(answer.headers["Location"])
        check_timeout(answer, CallerMode.LONG_POLL)
        assert 21 <= answer.at <= 21 + SLACK


async def test_a_wait_at_the_monitor_is_held_no_longer_than_asked(virtual):
    """`?wait=N` answers 200 with the job as it is by then."""
    async with virtual() as stage:
        first = await stage.client.start(call(Call_Mode="async"))
        began = asyncio.get_running_loop().time()
        view = await monitor_of(stage.client, first, wait=90)
        assert view["status"] == "running"
        assert 90 <= asyncio.get_running_loop().time() - began <= 90 + SLACK
        check_outcome(stage, await result_of(stage.client, first))


async def test_every_wait_of_one_job_is_its_own(virtual):
    """A sync caller gives up, one that attaches with the same key waits on, and gets the outcome."""
    async with virtual(policy=policy(wait=20 * MINUTE)) as stage:
        first = await stage.client.start(call(Prefer="wait=30", Idempotency_Key="k"))
        check_timeout(first, CallerMode.SYNC)
        second = await stage.client.start(call(Idempotency_Key="k"))
        assert second.headers["Idempotent-Replayed"] == "true"
        assert (second.status, second.body, second.job_id) == (200, OUTPUT, first.job_id)
        assert stage.started_once("a")
