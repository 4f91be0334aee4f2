"""The Jobs API: jobs listed, read, started and stopped, whoever started them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.simulator.job_entity import NULL_IN_LISTS

pytestmark = pytest.mark.looptime

FOLDER = {"X-UIPATH-FolderKey": "folder"}
ACTIONS = "odata/Jobs/UiPath.Server.Configuration.OData"


async def call(t, method: str, path: str, folder: dict | None = None, **kwargs):
    """Call a resource below the tenant's base path, in the folder that the other tests' triggers are in."""
    headers = {"Authorization": "Bearer t0"} | (FOLDER if folder is None else folder)
    url = f"{t.origin}{t.base}/{path}"
    async with t.session.request(method, url, headers=headers, **kwargs) as response:
        body = await response.read()
        return response.status, json.loads(body) if body else None, response.headers


async def jobs(t, **options) -> list[dict]:
    """List jobs by query options, which have to be good."""
    status, listed, _ = await call(t, "GET", "odata/Jobs", params={f"${k}": str(v) for k, v in options.items()})
    assert status == 200, listed
    return listed["value"]


async def begin(t, /, release="job", arguments=None, **info) -> list[dict]:
    """Start jobs with `StartJobs`, which has to take them."""
    body = {"startInfo": {"ReleaseName": release, "InputArguments": json.dumps(arguments or {}), **info}}
    status, started, _ = await call(t, "POST", f"{ACTIONS}.StartJobs", json=body)
    assert status == 201, started
    return started["value"]


async def read(t, job: dict) -> dict:
    """Read one job by its key."""
    status, found, _ = await call(t, "GET", f"{ACTIONS}.GetByKey(identifier={job['Key']})")
    assert status == 200
    return found


async def stop(t, strategy, *jobs: dict):
    """Stop jobs by their ids."""
    return await call(t, "POST", f"{ACTIONS}.StopJobs", json={"strategy": strategy, "jobIds": [j["Id"] for j in jobs]})


async def test_job_of_a_trigger(tenant):
    """A trigger's job names its trigger, its folder and its times, and gives its arguments and output as strings."""
    t = await tenant(duration=60)
    before = datetime.now(UTC) - timedelta(seconds=1)
    await t.start("orders", id="a", n=1, **{"$callMode": "FireAndForget"})
    (listed,) = await jobs(t)
    job = await read(t, listed)
    assert (job["State"], job["SourceType"], job["ReleaseName"]) == ("Running", "HttpTrigger", "orders")
    assert (job["InputArguments"], job["OutputArguments"], job["Reference"]) == ('{"id":"a","n":1}', None, None)
    assert before < datetime.fromisoformat(job["CreationTime"]) < before + timedelta(seconds=10)
    (trigger,) = (await call(t, "GET", "odata/HttpTriggers", params={"$filter": "Slug eq 'orders'"}))[1]["value"]
    assert (trigger["Id"], trigger["FolderKey"]) == (job["StartingTriggerId"], job["FolderKey"])
    await asyncio.sleep(61)
    done = await read(t, job)
    assert (done["State"], done["OutputArguments"]) == ("Successful", '{"id":"a","n":1}')
    ran = datetime.fromisoformat(done["EndTime"]) - datetime.fromisoformat(done["StartTime"])
    assert ran.total_seconds() == pytest.approx(60, abs=0.01)
    assert (await call(t, "GET", f"odata/Jobs({job['Id']})"))[1] == done


async def test_lists_never_tell_arguments(tenant):
    """In a list arguments and outputs are null, selected or not; a property that was not selected is not there."""
    t = await tenant(duration=0)
    await t.start(n=1)
    (whole,) = await jobs(t)
    assert {name: whole[name] for name in NULL_IN_LISTS} == {"InputArguments": None, "OutputArguments": None}
    assert (await jobs(t, select="Id,OutputArguments")) == [{"Id": whole["Id"], "OutputArguments": None}]
    assert (await read(t, whole))["InputArguments"] == '{"n":1}'


async def test_list_options(tenant):
    """Filter, order, page, count and expansion do what OData says."""
    t = await tenant(duration=60)
    for n in range(5):
        await t.start("even" if n % 2 == 0 else "odd", n=n)
        await asyncio.sleep(10)
    assert [job["ReleaseName"] for job in await jobs(t)] == ["even", "odd", "even", "odd", "even"]
    times = [job["CreationTime"] for job in await jobs(t, orderby="CreationTime desc", top=2, skip=1)]
    assert times == sorted(times, reverse=True)
    since = await jobs(t, filter=f"ReleaseName eq 'even' and CreationTime ge {times[0]}")
    assert len(since) == 1
    options = {"$count": "true", "$top": "1", "$expand": "Release", "$filter": "ReleaseName eq 'odd'"}
    _, counted, _ = await call(t, "GET", "odata/Jobs", params=options)
    assert (counted["@odata.count"], len(counted["value"])) == (2, 1)
    assert counted["value"][0]["Release"]["Name"] == "odd"
    ordered = await jobs(t, orderby="ReleaseName,Id desc", select="ReleaseName,Id")
    assert [(job["ReleaseName"], job["Id"]) for job in ordered] == [
        ("even", 5), ("even", 3), ("even", 1), ("odd", 4), ("odd", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{"$filter": "Nope eq 1"}, {"$filter": "contains(Key,'a')"}, {"$select": "Nope"}, {"$orderby": "Nope"},
     {"$orderby": "JobError"}, {"$top": "1001"}, {"$top": "x"}, {"$skip": "-1"}, {"$count": "1"}, {"$expand": "Nope"},
     {"$search": "x"}],
)  # fmt: skip
async def test_options_that_make_no_sense(tenant, options):
    """An option that is not understood is 400 with error code 1000, never passed over."""
    t = await tenant()
    status, error, _ = await call(t, "GET", "odata/Jobs", params=options)
    assert (status, error["errorCode"]) == (400, 1000)
    assert error["message"].startswith("The query specified in the URI is not valid.")


async def test_folders_keep_jobs_apart(tenant):
    """A job is seen through its own folder only, by whichever of the fields that selects it."""
    t = await tenant(duration=60)
    await t.start(n=1)
    (job,) = await jobs(t)
    path = f"odata/Jobs({job['Id']})"
    for field in (
        {"X-UIPATH-OrganizationUnitId": str(job["OrganizationUnitId"])},
        {"X-UIPATH-FolderKey": job["FolderKey"]},
        {"X-UIPATH-FolderPath": "folder"},
        {"X-UIPATH-FolderPath-Encoded": "ZgBvAGwAZABlAHIA"},
    ):
        assert (await call(t, "GET", path, field))[0] == 200
    assert (await call(t, "GET", path, {"X-UIPATH-FolderKey": "other"}))[0] == 404
    assert (await call(t, "GET", "odata/Jobs", {"X-UIPATH-FolderKey": "other"}))[1]["value"] == []
    for field, code in (({}, 1101), ({"X-UIPATH-OrganizationUnitId": "1"}, 1100)):
        status, error, _ = await call(t, "GET", "odata/Jobs", field)
        assert (status, error["errorCode"]) == (400, code)


async def test_no_folder_needed(tenant):
    """Where the tenant does not insist on a folder, a call without one sees all of them."""
    t = await tenant(require_folder=False)
    await t.start(n=1)
    assert len((await call(t, "GET", "odata/Jobs", {}))[1]["value"]) == 1


async def test_start_jobs(tenant):
    """`StartJobs` answers 201 with the jobs, which carry the reference, and counts them by tag and reference."""
    t = await tenant(duration=0)
    (job,) = await begin(t, "orders", {"id": "a", "output": {"x": 1}}, Reference="r-1", Source="Agent")
    assert (job["Reference"], job["SourceType"], job["StartingTriggerId"]) == ("r-1", "Agent", None)
    assert (await read(t, job))["OutputArguments"] == '{"x":1}'
    (found,) = await jobs(t, filter="Reference eq 'r-1'")
    assert found["Key"] == job["Key"]
    many = await begin(t, "orders", {"id": "b"}, JobsCount=3)
    assert len({job["Id"] for job in many}) == 3
    assert t.simulator.jobs_by_argument == {"a": 1, "b": 3}
    assert t.simulator.jobs_by_reference == t.simulator.starts_by_reference == {"r-1": 1}
    assert (t.simulator.counters.starts, t.simulator.counters.jobs) == (2, 4)


async def test_start_by_release_key(tenant):
    """A release is found by name, and started by its key."""
    t = await tenant(duration=0)
    (release,) = (await call(t, "GET", "odata/Releases", params={"$filter": "Name eq 'orders'"}))[1]["value"]
    (job,) = await begin(t, release=None, ReleaseKey=release["Key"].upper())
    assert job["ReleaseName"] == "orders"


@pytest.mark.parametrize(
    ("info", "status", "code"),
    [
        (None, 400, 1000),
        ({}, 400, 1000),
        ({"ReleaseName": "missing"}, 404, 1002),
        ({"ReleaseKey": "00000000-0000-0000-0000-000000000000"}, 404, 1002),
        ({"ReleaseName": "a", "InputArguments": "{"}, 400, 1000),
        ({"ReleaseName": "a", "InputArguments": "[]"}, 400, 1000),
        ({"ReleaseName": "a", "InputArguments": {}}, 400, 1000),
        ({"ReleaseName": "a", "InputArguments": json.dumps({"s": "x" * 10_000})}, 400, 1000),
        ({"ReleaseName": "a", "InputArguments": '{"duration":"soon"}'}, 400, 1000),
        ({"ReleaseName": "a", "InputArguments": '{"fault":"gremlins"}'}, 400, 1000),
        ({"ReleaseName": "a", "InputFile": "00000000-0000-0000-0000-000000000000"}, 404, 1002),
        ({"ReleaseName": "a", "Reference": "x" * 129}, 400, 1000),
        ({"ReleaseName": "a", "Reference": 1}, 400, 1000),
        ({"ReleaseName": "a", "JobsCount": 0}, 400, 1000),
        ({"ReleaseName": "a", "JobsCount": True}, 400, 1000),
    ],
)
async def test_start_that_is_refused(tenant, info, status, code):
    """A start that cannot be is 400 or 404, and nothing runs."""
    t = await tenant()
    refused, error, _ = await call(t, "POST", f"{ACTIONS}.StartJobs", json={"startInfo": info})
    assert (refused, error["errorCode"], t.simulator.counters.jobs) == (status, code, 0)


async def test_start_limits(tenant):
    """A reference of 128 characters and arguments of 10,000 are taken."""
    t = await tenant()
    filler = "x" * (10_000 - len('{"s": ""}'))
    (job,) = await begin(t, arguments={"s": filler}, Reference="r" * 128)
    assert len(job["Reference"]) == 128


@pytest.mark.parametrize(
    ("fault", "jobs_run"), [("502-before", 0), ("502-after", 1), ("429", 0), ("reset-after", 1), ("stall-before", 0)]
)
async def test_faults_of_starts(tenant, fault, jobs_run):
    """The faults of trigger starts befall `StartJobs` too, before or after the job runs."""
    t = await tenant(stall=1)
    arguments = json.dumps({"id": "a", "fault": fault})
    body = {"startInfo": {"ReleaseName": "a", "InputArguments": arguments, "Reference": "r"}}
    try:
        status, _ = await call_raw(t, f"{ACTIONS}.StartJobs", body)
    except OSError:
        status = None
    assert (status != 201, t.simulator.starts_by_argument["a"]) == (True, 1)
    assert t.simulator.jobs_by_argument["a"] == jobs_run
    assert await t.admin("GET", "references") == {"r": {"starts": 1, "jobs": jobs_run}}


async def call_raw(t, path: str, body: dict):
    """POST a body and return the answer as it is; a connection that breaks is an OSError."""
    headers = {"Authorization": "Bearer t0"} | FOLDER
    async with t.session.post(f"{t.origin}{t.base}/{path}", headers=headers, json=body) as response:
        return response.status, await response.read()


async def test_faults_of_other_calls(tenant):
    """Faults can be ordered for lists, reads and stops; a stop that was answered wrongly has stopped all the same."""
    t = await tenant(duration=60, kill_delay=1)
    (job,) = await begin(t)
    for point, path in (("list", "odata/Jobs"), ("job", f"odata/Jobs({job['Id']})")):
        await t.admin("POST", "faults", json={"fault": "503-before", "on": point})
        headers = {"Authorization": "Bearer t0"} | FOLDER
        statuses = [(await t.call("GET", f"{t.base}/{path}", headers)).status for _ in range(2)]
        assert statuses == [503, 200]
    await t.admin("POST", "faults", json={"fault": "502-after", "on": "stop"})
    status, _ = await call_raw(t, f"{ACTIONS}.StopJobs", {"strategy": "Kill", "jobIds": [job["Id"]]})
    assert (status, (await read(t, job))["State"]) == (502, "Terminating")


async def test_soft_stop(tenant):
    """A soft stop takes its time, and the job is Stopping meanwhile."""
    t = await tenant(duration=600, stop_delay=30)
    (job,) = await begin(t)
    assert (await stop(t, "SoftStop", job))[:2] == (200, None)
    assert (await read(t, job))["State"] == "Stopping"
    await asyncio.sleep(31)
    stopped = await read(t, job)
    assert (stopped["State"], stopped["StopStrategy"], stopped["OutputArguments"]) == ("Stopped", "SoftStop", None)
    assert stopped["Info"] == "The job was stopped."


async def test_kill_goes_over_a_soft_stop(tenant):
    """A job that ignores the soft stop is Stopping until it is killed; a soft stop after that changes nothing."""
    t = await tenant(duration=600, stop_delay=1, kill_delay=5)
    (job,) = await begin(t, arguments={"ignoreStop": True})
    await stop(t, 1, job)
    await asyncio.sleep(60)
    assert (await read(t, job))["State"] == "Stopping"
    await stop(t, "2", job)
    await stop(t, "SoftStop", job)
    assert (await read(t, job))["State"] == "Terminating"
    await asyncio.sleep(6)
    assert (await read(t, job))["State"] == "Stopped"


async def test_job_may_end_before_it_stops(tenant):
    """A job that comes to its end before it would stop, or ignores the stop, is Successful."""
    t = await tenant(duration=10, stop_delay=60)
    (quick,), (deaf,) = await begin(t), await begin(t, arguments={"ignoreStop": True, "stop_delay": 1})
    await stop(t, "SoftStop", quick, deaf)
    await asyncio.sleep(11)
    assert [(await read(t, job))["State"] for job in (quick, deaf)] == ["Successful"] * 2
    assert (await stop(t, "Kill", quick))[0] == 200
    assert (await read(t, quick))["State"] == "Successful"


async def test_pending_job(tenant):
    """A pending job has not begun; stopped then, it ends at once."""
    t = await tenant(duration=10)
    first, second = await begin(t, arguments={"pending": 5}, JobsCount=2)
    assert (first["State"], first["StartTime"]) == ("Pending", None)
    await stop(t, "SoftStop", first)
    assert (await read(t, first))["State"] == "Stopped"
    await asyncio.sleep(6)
    assert (await read(t, second))["State"] == "Running"
    await asyncio.sleep(10)
    assert (await read(t, second))["State"] == "Successful"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"strategy": "SoftStop"}, 400),
        ({"strategy": "Gently", "jobIds": [1]}, 400),
        ({"strategy": ["Kill"], "jobIds": [1]}, 400),
        ({"strategy": True, "jobIds": [1]}, 400),
        ({"strategy": "Kill", "jobIds": []}, 400),
        ({"strategy": "Kill", "jobIds": ["1"]}, 400),
        ({"strategy": "Kill", "jobIds": [True]}, 400),
        ({"strategy": "Kill", "jobIds": [1, 2]}, 404),
    ],
)
async def test_stop_that_is_refused(tenant, body, status):
    """A stop that makes no sense, or names a job that there is none of, stops nothing."""
    t = await tenant(duration=60)
    (job,) = await begin(t)
    assert (await call(t, "POST", f"{ACTIONS}.StopJobs", json=body))[0] == status
    assert (await read(t, job))["State"] == "Running"


@pytest.mark.parametrize("mode", ["AsyncRequestReply", "LongPolling"])
async def test_stopped_trigger_job(tenant, mode):
    """Who waits at a trigger for a job that is stopped gets error code 4802."""
    t = await tenant(mode=mode, duration=600, leg=25)
    async with asyncio.TaskGroup() as group:
        started = group.create_task(t.start(n=1))
        await asyncio.sleep(5)
        (job,) = await jobs(t)
        await stop(t, "Kill", job)
    reply = started.result()
    if mode == "AsyncRequestReply":
        await asyncio.sleep(1)
        ended = await t.get(reply.location)
        assert ended.status == 303
        reply = await t.get(ended.location)
    assert (reply.status, reply.json["errorCode"]) == (500, 4802)


async def test_faulted_job(tenant):
    """A faulted job says why."""
    t = await tenant(duration=0)
    await t.start(fail="Selector not found")
    (job,) = await jobs(t, filter="State eq 'Faulted'")
    error = job["JobError"]
    assert (job["Info"], error["Detail"], error["Category"]) == ("Selector not found", "Selector not found", "User")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ({"output_text": "żółw"}, '"żółw"'),
        ({"output_text": '{ "n": 1.10 }', "output_type": "application/json"}, '{ "n": 1.10 }'),
        ({"output_text": '{ "n": ', "output_type": "application/json"}, '"{ \\"n\\": "'),
        ({"output_text": ""}, None),
        ({"output": [1]}, "[1]"),
        ({"output_size": 5}, "11111"),
    ],
)
async def test_output_arguments(tenant, arguments, output):
    """Whatever a job gives back is JSON in a string."""
    t = await tenant(duration=0)
    (job,) = await begin(t, arguments=arguments)
    assert (await read(t, job))["OutputArguments"] == output


async def test_list_limit(tenant):
    """Lists beyond the limit are 429 with the seconds to wait; reads of one job are not limited."""
    t = await tenant(list_limit=3, duration=0)
    (job,) = await begin(t)
    for _ in range(3):
        await jobs(t)
        await asyncio.sleep(10)
    status, _, headers = await call(t, "GET", "odata/Jobs")
    assert (status, t.simulator.counters.limited) == (429, 1)
    wait = int(headers["Retry-After"])
    assert 25 < wait <= 30
    for _ in range(5):
        await read(t, job)
    await asyncio.sleep(wait)
    assert len(await jobs(t)) == 1
    assert (t.simulator.counters.lists, t.simulator.counters.job_reads) == (5, 5)
    assert [each.reads for each in t.simulator.jobs.values()] == [5]


async def test_no_list_limit(tenant):
    """A tenant may have no limit."""
    t = await tenant(list_limit=None)
    for _ in range(150):
        await jobs(t)


async def test_list_lag(tenant):
    """A list may be behind: a new job is read by its id before it is listed."""
    t = await tenant(list_lag=30, duration=600)
    (job,) = await begin(t)
    assert await jobs(t) == []
    assert (await read(t, job))["Id"] == job["Id"]
    await asyncio.sleep(31)
    assert len(await jobs(t)) == 1


async def test_clock_skew(tenant):
    """The tenant's clock may be another one than the machine's."""
    t = await tenant(clock_skew=-3600)
    (job,) = await begin(t)
    behind = datetime.now(UTC) - datetime.fromisoformat(job["CreationTime"])
    assert behind.total_seconds() == pytest.approx(3600, abs=60)


async def test_needs_a_token(tenant):
    """The Jobs API asks for a token as triggers do."""
    t = await tenant(tokens=frozenset({"t0"}))
    assert (await t.call("GET", f"{t.base}/odata/Jobs", FOLDER)).status == 401
    assert (await call(t, "GET", "odata/Jobs"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "odata/Jobs(1)", 404),
        ("GET", "odata/Jobs(x)", 404),
        ("GET", f"{ACTIONS}.GetByKey(identifier=00000000-0000-0000-0000-000000000000)", 404),
        ("DELETE", "odata/Jobs", 405),
        ("GET", f"{ACTIONS}.StopJobs", 405),
        ("GET", "odata/Robots", 404),
        ("GET", "api/Nothing", 404),
    ],
)
async def test_what_there_is_none_of(tenant, method, path, status):
    """Unknown jobs and resources are 404, other verbs 405."""
    t = await tenant()
    assert (await call(t, method, path))[0] == status


async def test_reset_forgets_the_limit(tenant):
    """The admin's reset forgets jobs, references and lists alike."""
    t = await tenant(list_limit=1)
    await begin(t, Reference="r")
    await jobs(t)
    await t.admin("POST", "reset")
    assert (await jobs(t), dict(t.simulator.jobs_by_reference)) == ([], {})
