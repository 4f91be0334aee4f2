from __future__ import annotations

import aiohttp
import pytest
from yarl import URL

from gateway.demo.child import DemoError
from gateway.demo.upstream_side import Seen, not_once, seen_upstream, spoilt_answers
from tests.support.rig import BASE_PATH, simulated


async def test_the_simulators_account_is_read():
    """Starts, jobs, reads and the end of each job, by its tag."""
    async with simulated() as (_, origin), aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as http:
        for tag in ("twice", "once", "twice"):
            start = f"{origin}{BASE_PATH}/t/demo/async-demo"
            async with http.post(start, json={"id": tag, "duration": 0}, allow_redirects=False) as answer:
                assert answer.status == 202
        async with http.get(URL(answer.headers["Location"], encoded=True), allow_redirects=False) as status:
            assert status.status == 303
        seen = await seen_upstream(http, origin)
    assert (seen["once"].calls, seen["once"].reads) == (1, 0)
    assert (seen["twice"].calls, seen["twice"].reads) == (3, 1)
    assert seen["once"].ended_at is not None
    assert not_once(seen, "once") is None
    assert not_once(seen, "twice") == (
        "the upstream was asked 2 times to start the job and ran it 2 times, instead of once"
    )
    assert not_once(seen, "never") == "the job never reached the upstream"
    assert not_once({"lost": Seen(1, 0, 0, None)}, "lost") is not None


async def test_a_job_of_the_jobs_api_costs_calls_too():
    """Its start and each read of it, as with a trigger."""
    async with simulated() as (_, origin), aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as http:
        jobs = f"{origin}{BASE_PATH}/odata/Jobs"
        info = {"ReleaseName": "jobs-demo", "InputArguments": '{"id": "a", "duration": 0}'}
        start = f"{jobs}/UiPath.Server.Configuration.OData.StartJobs"
        async with http.post(start, json={"startInfo": info}, headers={"X-UIPATH-FolderPath": "demo"}) as started:
            (job,) = (await started.json())["value"]
        read = f"{jobs}/UiPath.Server.Configuration.OData.GetByKey(identifier={job['Key']})"
        async with http.get(read, headers={"X-UIPATH-FolderPath": "demo"}) as shown:
            assert (await shown.json())["State"] == "Successful"
        assert (await seen_upstream(http, origin))["a"].calls == 2


async def test_spoilt_answers_are_counted():
    """Those that went wrong on purpose."""
    async with simulated() as (_, origin), aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as http:
        for count, arguments in enumerate(({"duration": 0}, {"fault": "502-after"}, {"fault": "502-before"})):
            async with http.post(f"{origin}{BASE_PATH}/t/demo/async", json=arguments) as answer:
                assert (answer.status == 502) == (count > 0)
            assert await spoilt_answers(http, origin) == count


async def test_a_simulator_that_is_gone_is_said():
    """Plain words instead of a traceback."""
    async with aiohttp.ClientSession() as http:
        with pytest.raises(DemoError, match="the simulator does not answer"):
            await seen_upstream(http, "http://127.0.0.1:1")
