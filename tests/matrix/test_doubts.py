"""Doubts that last, in virtual time: how often Orchestrator is asked, what makes it sooner, and jobs that get lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import HOUR, Binding
from gateway.simulator import Settings
from gateway.simulator.catalog import Catalog
from gateway.web.settings import Route
from tests.matrix.client import Answer, Request
from tests.matrix.conftest import Stage
from tests.matrix.conversations import converse, monitor_of
from tests.support.rig import policy

pytestmark = pytest.mark.looptime

FOLDER = Catalog(Settings()).folder("Finance").key
"""The folder's key, by which webhooks name it."""
SECRET = "secret-of-the-webhook"

PATIENT = {"wait": 3 * HOUR, "reconcile_wait": 2 * HOUR}
TRIGGER = Route(
    "trigger", "/trigger", f"/t/{FOLDER}/async",
    policy=policy(binding=Binding(api=True, folder=FOLDER, slug="async", correlation="callmodeJob"), **PATIENT),
)  # fmt: skip
JOBS = Route(
    "jobs", "/jobs", None,
    policy=policy(
        binding=Binding(api=True, folder=FOLDER, process="async"), upstream_mode=UpstreamMode.JOBS, **PATIENT
    ),
)  # fmt: skip
BOTH = (TRIGGER, JOBS)
EACH = pytest.mark.parametrize("route", BOTH, ids=lambda route: route.name)


async def call(stage: Stage, route: Route, tag: str, duration: float, fault: str = "502-after", **more) -> Answer:
    """Start a job, whose start is in doubt if nothing else is said; wait for its outcome."""
    arguments = {"id": tag, "duration": duration, "fault": fault, **more}
    return await stage.client.start(Request(route.path, json.dumps(arguments).encode()))


def check_outcome(stage: Stage, answer: Answer, tag: str) -> None:
    """See that it is the job's, and that it was started once."""
    assert (answer.status, json.loads(answer.body)["id"]) == (200, tag)
    assert stage.started_once(tag)


@EACH
async def test_what_is_listed_an_hour_late_is_asked_for_seldom(virtual, route: Route):
    """Ever more seldom, every five minutes in the end: a doubt that lasts costs what a few that pass cost."""
    async with virtual(routes=BOTH, simulator=Settings(list_lag=3600.0)) as stage:
        answer = await call(stage, route, "a", 60)
        check_outcome(stage, answer, "a")
        assert 3600 <= answer.at <= 3600 + 331
        assert 15 <= stage.running.simulator.counters.lists <= 30


async def test_a_webhook_ends_a_doubt_that_looks_seldom_by_then(virtual):
    """It says that some job of the folder has ended: that is reason enough to look, and both are found."""
    settings = Settings(list_lag=1500.0)
    async with virtual(routes=BOTH, simulator=settings, hook_secrets=(SECRET,)) as stage:
        hook = {"url": f"{stage.running.url}/-/hooks/orchestrator", "secret": SECRET}
        origin = stage.running.upstream_url.partition("/acme")[0]
        async with stage.session.post(f"{origin}/_sim/webhooks", json=hook) as registered:
            assert registered.status == 200
        answers = await asyncio.gather(*(call(stage, route, route.name, 1600) for route in BOTH))
        for route, answer in zip(BOTH, answers, strict=True):
            check_outcome(stage, answer, route.name)
            assert 1600 <= answer.at <= 1601
        assert stage.running.simulator.counters.webhooks_failed == 0


async def test_a_tenant_that_lists_once_a_minute_is_not_asked_more_often(virtual):
    """Ten doubts on two routes: 429 closes the budget for all of them until the time that it says."""
    async with virtual(routes=BOTH, simulator=Settings(list_limit=1)) as stage:
        calls = [call(stage, BOTH[n % 2], str(n), 30) for n in range(10)]
        answers = await asyncio.gather(*calls)
        for n, answer in enumerate(answers):
            check_outcome(stage, answer, str(n))
        counters = stage.running.simulator.counters
        assert max(answer.at for answer in answers) <= 10 * 60
        assert counters.limited <= 1 + max(answer.at for answer in answers) / 60


async def test_a_job_that_orchestrator_does_not_know_for_a_while_is_not_lost(virtual):
    """Twenty reads that are answered 404, and it is in doubt; nobody says that it failed, and it is found again."""
    async with virtual(routes=BOTH) as stage:
        answer = await call(stage, JOBS, "a", 1200, fault="404", fault_on="job", fault_times=24)
        check_outcome(stage, answer, "a")
        assert 1200 <= answer.at <= 1220


async def test_a_candidate_that_cannot_be_read_yet_is_read_again(virtual):
    """It is listed, and its arguments are asked for a moment too early: that says nothing of what it carries."""
    async with virtual(routes=BOTH) as stage:
        origin = stage.running.upstream_url.partition("/acme")[0]
        order = {"fault": "404", "on": "job", "times": 2}
        async with stage.session.post(f"{origin}/_sim/faults", json=order) as ordered:
            assert ordered.status == 200
        answer = await call(stage, TRIGGER, "a", 30)
        check_outcome(stage, answer, "a")
        assert 30 <= answer.at <= 40


async def test_a_cancel_reaches_a_job_in_doubt_once_it_is_found(virtual):
    """It cannot be stopped before; then it is, and its callers are told that it was canceled."""
    async with virtual(routes=BOTH, simulator=Settings(list_lag=100.0)) as stage:
        waiting = asyncio.ensure_future(call(stage, TRIGGER, "a", 3000))
        await asyncio.sleep(10)
        (job,) = stage.running.simulator.jobs.values()
        job_id = job.arguments.values["callmodeJob"]
        _, _, body = await stage.running.call("POST", f"/-/jobs/{job_id}/cancel")
        assert (json.loads(body)["status"], json.loads(body)["cancel"]["requested"]) == ("unknown", True)
        answer = await waiting
        assert (answer.status, json.loads(answer.body)["errorCode"]) == (500, 4802)
        assert answer.headers["Job-Status"] == "canceled"
        assert 100 <= answer.at <= 200


async def test_every_mode_waits_for_the_verdict(virtual):
    """A job in doubt for ten minutes, watched in each mode: all have the same outcome, and none was told otherwise."""
    patient = Route("jobs", "/jobs", None, policy=policy(**_fields(JOBS), max_hops=1000, hold=25_000))
    async with virtual(routes=(patient,), simulator=Settings(list_lag=600.0)) as stage:

        async def talk(mode: CallerMode) -> None:
            arguments = {"id": mode.value, "duration": 60, "fault": "502-after"}
            request = Request("/jobs", json.dumps(arguments).encode()).demanding(mode)
            ending = await converse(stage.client, stage.receiver, mode, request, stoppable=True)
            assert (ending.status, ending.json, ending.job_status) == (200, {"id": mode.value}, "succeeded")
            assert stage.started_once(mode.value)
            assert (await monitor_of(stage.client, ending.first))["error"] is None

        async with asyncio.TaskGroup() as group:
            for mode in CallerMode:
                group.create_task(talk(mode))


def _fields(route: Route) -> dict[str, object]:
    changed = ("binding", "upstream_mode", "wait", "reconcile_wait")
    return {name: getattr(route.policy, name) for name in changed}
