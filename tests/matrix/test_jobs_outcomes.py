"""Outcomes that come by the Jobs API: in every caller mode the bytes that the trigger would have answered, and more."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.simulator import Settings
from tests.e2e.support import eventually
from tests.matrix.conftest import Stage
from tests.matrix.conversations import Ending, converse, monitor_of
from tests.matrix.ways import Way
from tests.support.rig import policy

BY_TRIGGER = Way("triggered", "async", UpstreamMode.ASYNC)
BY_JOBS = Way("asked", "process", UpstreamMode.JOBS, trigger=False)
QUICK = policy(hold=150)
JSON = "application/json; charset=utf-8"


def exact(body: bytes) -> dict[str, object]:
    """Return the arguments of a job whose output is this JSON."""
    return {"output_base64": base64.b64encode(body).decode(), "output_type": JSON}


ODD_JSON = b'{ "z" :1.10,\n\t"a": 123456789012345678901234567890, "e":1E+2, "u":"\\u00e4\xc3\xa4\\/", "z2":-0.0 }\n'

SAME: dict[str, dict[str, object]] = {
    "its arguments": {"total": 1, "name": "Größe 漢字"},
    "odd JSON": exact(ODD_JSON),
    "no members": exact(b"{}"),
    "10,000 characters, the most that a document holds": {"output_size": 10_000},
    "10,001, in an attachment": {"output_size": 10_001},
    "400 kB": {"output_size": 400 * 1024},
    "an error's code among its members": exact(b'{"errorCode":4802}'),
}
"""What jobs are told to give back, where the trigger's answer is known to be just that."""


@pytest.mark.parametrize("controls", SAME.values(), ids=SAME.keys())
async def test_a_success_is_what_the_trigger_would_have_answered(staged, controls):
    """Status, bytes and type are equal, in every caller mode."""
    async with staged(routes=(BY_TRIGGER.route(QUICK), BY_JOBS.route(QUICK))) as stage:
        told = await _told(stage, BY_TRIGGER, CallerMode.SYNC, controls)
        assert told.job_status == "succeeded"
        for ending in await _in_every_mode(stage, controls):
            assert ending.body == told.body
            assert (ending.status, ending.job_status) == (200, "succeeded")
            assert ending.headers["Content-Type"] == told.headers["Content-Type"] == JSON


async def test_a_fault_is_what_the_trigger_would_have_answered(staged):
    """The same status, message and code; only a trigger's answer has a trace id, which is that answer's own."""
    controls = {"fail": "the robot said „no“"}
    async with staged(routes=(BY_TRIGGER.route(QUICK), BY_JOBS.route(QUICK))) as stage:
        told = await _told(stage, BY_TRIGGER, CallerMode.SYNC, controls)
        expected = {"message": "the robot said „no“", "errorCode": 4801}
        assert {name: told.json[name] for name in expected} == expected
        for ending in await _in_every_mode(stage, controls):
            assert ending.json == expected
            assert (ending.status, ending.job_status) == (told.status, told.job_status) == (500, "failed")
            assert ending.headers["Content-Type"] == told.headers["Content-Type"] == JSON


async def test_a_job_that_somebody_stopped_is_what_the_trigger_would_have_answered(staged):
    """Not by way of the gateway: its caller is told all the same that the job was canceled."""
    settings = Settings(kill_delay=0.0)
    async with staged(routes=(BY_TRIGGER.route(QUICK), BY_JOBS.route(QUICK)), simulator=settings) as stage:
        async with asyncio.TaskGroup() as group:
            told = group.create_task(_told(stage, BY_TRIGGER, CallerMode.SYNC, {"duration": 60}))
            endings = group.create_task(_in_every_mode(stage, {"duration": 60}))
            await _stop_all(stage, 1 + len(CallerMode))
        expected = {"message": "The job was stopped.", "errorCode": 4802}
        assert {name: told.result().json[name] for name in expected} == expected
        for ending in endings.result():
            assert ending.json == expected
            assert (ending.status, ending.job_status) == (told.result().status, "canceled") == (500, "canceled")
            assert (await monitor_of(stage.client, ending.first))["cancel"]["requested"] is False


@dataclass(frozen=True)
class More:
    """An output of which the trigger and the Jobs API tell different things."""

    controls: dict[str, object]
    by_trigger: bytes
    by_jobs: bytes


MORE = {
    "nothing at all": More({"output_size": 0}, b"", b"{}"),
    "beyond the trigger's 512 kB": More(
        {"output_size": 600 * 1024}, b"", b'{"padding":"' + b"x" * (600 * 1024 - 14) + b'"}'
    ),
    "text": More({"output_text": "Größe"}, "Größe".encode(), '"Größe"'.encode()),
}


@pytest.mark.parametrize("case", MORE.values(), ids=MORE.keys())
async def test_what_the_jobs_api_tells_otherwise(staged, case: More):
    """It knows of out-arguments alone, and of all of them: what is too large for a trigger's answer is whole here.

    Where there are none, an empty object is said, for clients that parse whatever they get.
    """
    async with staged(routes=(BY_TRIGGER.route(QUICK), BY_JOBS.route(QUICK))) as stage:
        told = await _told(stage, BY_TRIGGER, CallerMode.SYNC, case.controls)
        assert (told.status, told.body) == (200, case.by_trigger)
        for ending in await _in_every_mode(stage, case.controls):
            assert ending.body == case.by_jobs
            assert (ending.status, ending.job_status, ending.headers["Content-Type"]) == (200, "succeeded", JSON)


async def _in_every_mode(stage: Stage, controls: dict[str, object]) -> list[Ending]:
    """Run the same job by the Jobs API once for each caller mode; return how each ended."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_told(stage, BY_JOBS, caller, controls)) for caller in CallerMode]
    return [task.result() for task in tasks]


async def _told(stage: Stage, way: Way, caller: CallerMode, controls: dict[str, object]) -> Ending:
    arguments = {"duration": 0.1, **controls}
    request = way.request(caller, arguments)
    return await converse(stage.signed_only, stage.receiver, caller, request, poll_every=0.05, stoppable=True)


async def _stop_all(stage: Stage, count: int) -> None:
    """Stop `count` jobs as a person at Orchestrator does, once they are followed."""
    simulator = stage.running.simulator

    async def read() -> bool:
        return simulator.counters.jobs == count and simulator.counters.job_reads >= count

    await eventually(read)
    base, call = stage.running.upstream_url, stage.session
    body = json.dumps({"strategy": "Kill", "jobIds": [job.number for job in simulator.jobs.values()]})
    url = f"{base}/odata/Jobs/UiPath.Server.Configuration.OData.StopJobs"
    headers = {"Authorization": "Bearer of-an-operator", "X-UIPATH-FolderPath": "folder"}
    async with call.post(url, data=body, headers={**headers, "Content-Type": "application/json"}) as answer:
        assert answer.status == 200, await answer.text()
