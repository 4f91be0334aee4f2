"""Verdicts on jobs whose start is in doubt: by the owner, by an operator, by the command line, through any replica."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.app.lifecycle import running
from gateway.auth.keyring import generate
from gateway.core.policy import MINUTE, SECOND, Binding
from gateway.simulator import Simulator
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, eventually
from tests.support.rig import BASE_PATH, TOKEN, config, policy, simulated, with_store

ROUTES = (
    Route("plain", "/plain", "/t/Shared/async"),
    Route("api", "/api", "/t/Shared/async", policy=policy(binding=Binding(api=True, folder="Shared"))),
    Route("patient", "/patient", "/t/Shared/async", policy=policy(reconcile_wait=MINUTE)),
    Route("hasty", "/hasty", "/t/Shared/async", policy=policy(unknown_ttl=SECOND // 5)),
)
NEVER_RAN = {"verdict": "never-ran"}
ENDED = {"verdict": "ended", "status": 200, "headers": {"X-Sum": "3"}, "body": {"sum": 3}}


@dataclass
class Stage:
    """Two replicas over one store, as their callers and an operator without any credential see them."""

    simulator: Simulator
    here: Caller
    there: Caller
    operator: Caller

    async def doubtful(self, path: str = "/plain", **headers: str) -> str:
        """Start a job whose start is answered with an HTML page; return its id."""
        started = await self.here(
            path=path, json={"id": "a", "fault": "502-after", "fault_times": 1, "duration": 0.1}, headers=headers
        )
        check_problem(started, 502, "upstream-ambiguous")
        return started.headers["Job-Id"]

    async def status(self, job_id: str) -> str:
        """Return where the job stands."""
        return (await self.there("GET", f"/-/jobs/{job_id}")).json["status"]


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    """Both replicas in this process."""
    shared, keyring = with_store(redis_url), generate()
    async with simulated() as (simulator, origin), contextlib.AsyncExitStack() as stack:
        settings = config(origin + BASE_PATH, shared=shared, keyring=keyring, routes=ROUTES)
        first = await stack.enter_async_context(running(settings))
        second = await stack.enter_async_context(running(settings))
        here = await stack.enter_async_context(calling(f"http://{first['data']}"))
        there = await stack.enter_async_context(calling(f"http://{second['data']}"))
        operator = await stack.enter_async_context(calling(f"http://{second['admin']}", token=None))
        yield Stage(simulator, here, there, operator)


async def resolve(caller: Caller, job_id: str, verdict: object, **kwargs: Any) -> Answer:
    """Give a verdict."""
    return await caller("POST", f"/-/jobs/{job_id}/resolve", json=verdict, **kwargs)


class TestVerdicts:
    """What each does, whoever gives it."""

    @pytest.mark.parametrize("who", ["here", "there", "operator"])
    async def test_it_never_ran(self, stage: Stage, who: str):
        """The job has failed with a problem that says so, and its key may be used again."""
        job_id = await stage.doubtful(**{"Idempotency-Key": "k"})
        answer = await resolve(getattr(stage, who), job_id, NEVER_RAN)
        assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "failed", "start-never-ran")
        result = await stage.here("GET", f"/-/jobs/{job_id}/result")
        check_problem(result, 502, "start-never-ran")
        assert result.json["retryable"] is True
        again = await stage.here(
            path="/plain",
            json={"id": "a", "fault": "502-after", "fault_times": 1, "duration": 0.1},
            headers={"Idempotency-Key": "k"},
        )
        assert (again.status, again.headers.get("Idempotent-Replayed")) == (200, None)
        assert again.headers["Job-Id"] != job_id

    @pytest.mark.parametrize("who", ["here", "there", "operator"])
    async def test_it_has_ended(self, stage: Stage, who: str):
        """What was told is the outcome, byte for byte, wherever it is read; its key starts nothing more."""
        job_id = await stage.doubtful(**{"Idempotency-Key": "k"})
        answer = await resolve(getattr(stage, who), job_id, ENDED)
        assert (answer.status, answer.json["status"]) == (200, "succeeded")
        for caller in (stage.here, stage.there):
            result = await caller("GET", f"/-/jobs/{job_id}/result")
            assert (result.status, result.body, result.headers["X-Sum"]) == (200, b'{"sum": 3}', "3")
            assert (result.headers["Job-Status"], result.headers["Content-Type"]) == ("succeeded", "application/json")
        assert stage.simulator.counters.starts == 1

    async def test_it_was_stopped(self, stage: Stage):
        """The state follows from the outcome, as for any other."""
        job_id = await stage.doubtful()
        told = {"verdict": "ended", "status": 500, "body": {"errorCode": 4802, "message": "stopped"}}
        answer = await resolve(stage.here, job_id, told)
        assert answer.json["status"] == "canceled"

    @pytest.mark.parametrize("who", ["here", "there", "operator"])
    async def test_it_runs(self, stage: Stage, who: str):
        """It is followed by its key, and ends as a trigger's job does."""
        job_id = await stage.doubtful("/api")
        (job,) = stage.simulator.jobs.values()
        answer = await resolve(getattr(stage, who), job_id, {"verdict": "running", "key": job.key})
        assert answer.status == 200
        assert answer.json["status"] in {"running", "succeeded"}
        assert answer.json["upstream"]["key"] == job.key
        ended = await stage.there("GET", f"/-/jobs/{job_id}?wait=10")
        assert ended.json["status"] == "succeeded"
        result = await stage.there("GET", f"/-/jobs/{job_id}/result")
        assert (result.status, result.json) == (200, {"id": "a"})
        assert stage.simulator.counters.starts == 1

    async def test_who_waits_for_the_verdict_is_answered(self, stage: Stage):
        """A blocked caller gets the outcome, as if nothing had been in doubt."""
        async with asyncio.TaskGroup() as group:
            arguments = {"id": "a", "fault": "502-after", "fault_times": 1}
            waiting = group.create_task(stage.here(path="/patient", json=arguments, headers={"Idempotency-Key": "k"}))

            async def begun() -> bool:
                return stage.simulator.counters.starts == 1

            await eventually(begun)
            attached = await stage.here(
                path="/patient", json=arguments, headers={"Idempotency-Key": "k", "Prefer": "wait=1"}
            )
            job_id = attached.headers["Job-Id"]
            assert await stage.status(job_id) == "unknown"
            await resolve(stage.operator, job_id, ENDED)
        assert (waiting.result().status, waiting.result().body) == (200, b'{"sum": 3}')


class TestRefused:
    """What is no verdict, or comes at the wrong time."""

    @pytest.mark.parametrize(
        "verdict",
        [
            {"verdict": "perhaps"}, {}, [], {"verdict": "never-ran", "key": "x"}, {"verdict": "ended"},
            {"verdict": "ended", "status": 99}, {"verdict": "ended", "status": 200, "headers": {"X": "a\nb"}},
            {"verdict": "running", "key": "c1b9e3a4-0d7e-4c57-9b1e-2f6a5d8c7b90"},
        ],
        ids=str,
    )  # fmt: skip
    @pytest.mark.parametrize("who", ["here", "operator"])
    async def test_what_cannot_be_understood(self, stage: Stage, who: str, verdict: object):
        """400, and the job is as it was; a route without the Jobs API follows nothing by a key."""
        job_id = await stage.doubtful()
        check_problem(await resolve(getattr(stage, who), job_id, verdict), 400, "bad-verdict")
        assert await stage.status(job_id) == "unknown"

    async def test_a_key_that_is_none(self, stage: Stage):
        """It would become part of a URL."""
        job_id = await stage.doubtful("/api")
        answer = await resolve(stage.here, job_id, {"verdict": "running", "key": "../../Users"})
        assert "GUID" in check_problem(answer, 400, "bad-verdict")

    async def test_a_job_that_is_in_no_doubt(self, stage: Stage):
        """409: neither one that runs, nor one that has ended, nor one that has its verdict."""
        runs = await stage.here(path="/plain", json={"duration": 0.5}, headers={"Call-Mode": "async"})
        check_problem(await resolve(stage.there, runs.headers["Job-Id"], ENDED), 409, "not-unknown")
        job_id = await stage.doubtful()
        assert (await resolve(stage.there, job_id, ENDED)).status == 200
        check_problem(await resolve(stage.here, job_id, NEVER_RAN), 409, "not-unknown")
        result = await stage.here("GET", f"/-/jobs/{job_id}/result")
        assert result.body == b'{"sum": 3}'

    async def test_a_verdict_that_comes_too_late(self, stage: Stage):
        """409: its callers were told, and an end never changes."""
        job_id = await stage.doubtful("/hasty")

        async def expired() -> bool:
            return await stage.status(job_id) == "expired"

        await eventually(expired)
        for who in (stage.here, stage.operator):
            check_problem(await resolve(who, job_id, ENDED), 409, "not-unknown")


class TestWhoMay:
    """The owner, with the token; and operators, at a port of their own."""

    async def test_on_the_callers_port(self, stage: Stage):
        """A link is not enough, and to strangers there is no such job."""
        job_id = await stage.doubtful()
        link = (await stage.here("GET", f"/-/jobs/{job_id}")).json["links"]["monitor"].replace("?", "/resolve?")
        async with calling(stage.here.url, token=None) as nobody, calling(stage.here.url, token="other") as other:
            check_problem(await nobody("POST", link, json=ENDED), 403, "read-only-link")
            check_problem(await resolve(nobody, job_id, ENDED), 401, "credential-missing")
            check_problem(await resolve(other, job_id, ENDED), 404, "not-found")
        assert await stage.status(job_id) == "unknown"

    @pytest.mark.parametrize("credential", [{"bearer": TOKEN}, {"jobs_api": JobsApiSettings(bearer=TOKEN)}], ids=str)
    async def test_a_job_named_by_a_caller_is_not_read_under_the_gateways_credential(self, redis_url, credential):
        """Any job of the folder could be named, read and stopped so; an operator may."""
        async with (
            simulated() as (simulator, origin),
            running(config(origin + BASE_PATH, shared=with_store(redis_url), routes=ROUTES, **credential)) as ports,
            calling(f"http://{ports['data']}") as caller,
            calling(f"http://{ports['admin']}", token=None) as operator,
        ):
            arguments = {"id": "a", "fault": "502-after", "fault_times": 1, "duration": 0.1}
            job_id = (await caller(path="/api", json=arguments)).headers["Job-Id"]
            (job,) = simulator.jobs.values()
            verdict = {"verdict": "running", "key": job.key}
            assert "operator" in check_problem(await resolve(caller, job_id, verdict), 400, "bad-verdict")
            assert (await caller("GET", f"/-/jobs/{job_id}")).json["status"] == "unknown"
            assert simulator.counters.job_reads == 0
            assert (await resolve(operator, job_id, verdict)).status == 200
            result = await caller("GET", f"/-/jobs/{job_id}?wait=10")
            assert result.json["status"] == "succeeded"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:9090"},
            {"Host": "evil.example"}, {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        ],
        ids=str,
    )  # fmt: skip
    async def test_no_page_in_the_operators_browser(self, stage: Stage, headers: dict[str, str]):
        """Neither from another site, nor under a name that was made to lead here, nor with a form."""
        job_id = await stage.doubtful()
        sent = {"Content-Type": "application/json", **headers}
        answer = await stage.operator(
            "POST", f"/-/jobs/{job_id}/resolve", data=json.dumps(NEVER_RAN), headers=sent
        )  # fmt: skip
        check_problem(answer, 400, "bad-request")
        assert await stage.status(job_id) == "unknown"

    @pytest.mark.parametrize("host", ["localhost:9090", "callmode-admin", "callmode.tools.svc:9090", "[::1]:9090"])
    async def test_names_of_ones_own_network(self, stage: Stage, host: str):
        """Are nobody else's."""
        job_id = await stage.doubtful()
        answer = await stage.operator("GET", f"/-/jobs/{job_id}", headers={"Host": host})
        assert answer.status == 200

    async def test_what_an_operator_sees(self, stage: Stage):
        """Any job, but neither its outcome nor a way to it."""
        job_id = await stage.doubtful()
        seen = await stage.operator("GET", f"/-/jobs/{job_id}")
        url = f"{stage.operator.url}/-/jobs/{job_id}"
        assert (seen.status, seen.json["status"]) == (200, "unknown")
        assert seen.json["links"] == {"monitor": url, "resolve": f"{url}/resolve"}
        assert "Link" not in seen.headers
        await resolve(stage.operator, job_id, ENDED)
        seen = await stage.operator("GET", f"/-/jobs/{job_id}")
        assert (seen.json["status"], seen.json["resultUrl"]) == ("succeeded", None)
        assert b"sig=" not in seen.body
        check_problem(await stage.operator("GET", f"/-/jobs/{job_id}/result"), 404, "not-a-trigger")
        check_problem(await stage.operator("GET", "/-/jobs/nothing"), 404, "not-found")
        check_problem(await stage.operator("GET", f"/-/jobs/{job_id[:-1]}B"), 404, "not-found")
        await stage.here("DELETE", f"/-/jobs/{job_id}")
        check_problem(await stage.operator("GET", f"/-/jobs/{job_id}"), 410, "job-expired")
        check_problem(await resolve(stage.operator, job_id, ENDED), 410, "job-expired")

    async def test_an_operator_cancels_for_all(self, redis_url):
        """However many calls share the job."""
        nowhere = "http://127.0.0.1:1" + BASE_PATH
        rules = policy(coalesce=True, start_retry=MINUTE, start_wait=100)
        settings = config(nowhere, shared=with_store(redis_url), policy=rules)
        async with (
            running(settings) as addresses,
            calling(f"http://{addresses['data']}") as caller,
            calling(f"http://{addresses['admin']}", token=None) as operator,
        ):
            started = [await caller(json={}, headers={"Call-Mode": "async"}) for _ in range(3)]
            (job_id,) = {answer.headers["Job-Id"] for answer in started}
            answer = await operator("POST", f"/-/jobs/{job_id}/cancel")
            assert (answer.status, answer.json["status"]) == (200, "canceled")
            check_problem(await operator("POST", f"/-/jobs/{job_id}/cancel"), 409, "already-ended")


class TestCommandLine:
    """`callmode jobs …`."""

    @staticmethod
    async def said(*arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run a command as a process; return its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "jobs", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **variables},
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def test_a_look(self, stage: Stage):
        """The monitor; on the callers' port with the caller's token."""
        job_id = await stage.doubtful()
        status, out, _ = await self.said("show", job_id, "--url", stage.operator.url)
        assert (status, json.loads(out)["status"]) == (0, "unknown")
        status, out, _ = await self.said("show", job_id, "--url", stage.here.url, CALLMODE_TOKEN=TOKEN)
        assert (status, json.loads(out)["id"]) == (0, job_id)
        status, out, err = await self.said("show", job_id, "--url", stage.here.url, CALLMODE_TOKEN="other")
        assert (status, out) == (1, "")
        assert err.startswith(f"{job_id}: There is no such job: ")
        assert len(err.splitlines()) == 1

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--never-ran"], "failed (the start never ran"),
            (["--ended", "200", "--body", "{file}", "--header", "X-Sum: 3"], "succeeded"),
            (["--ended", "404"], "failed"),
        ],
    )
    async def test_a_verdict(self, stage: Stage, tmp_path: Path, arguments: Sequence[str], told: str):
        """One line says what the job is now."""
        file = tmp_path / "body"
        file.write_text('{"sum":  3}')
        job_id = await stage.doubtful()
        words = [word.replace("{file}", str(file)) for word in arguments]
        status, out, err = await self.said("resolve", job_id, *words, "--url", stage.operator.url)
        assert (status, err) == (0, "")
        assert out.lower().startswith(f"{job_id}: {told}".lower())
        if "--body" in words:
            result = await stage.here("GET", f"/-/jobs/{job_id}/result")
            assert (result.body, result.headers["Content-Type"]) == (b'{"sum":  3}', "application/json")
            assert result.headers["X-Sum"] == "3"

    async def test_a_job_that_runs(self, stage: Stage):
        """By its key; then its cancel."""
        job_id = await stage.doubtful("/api")
        (job,) = stage.simulator.jobs.values()
        status, out, _ = await self.said("resolve", job_id, "--running", job.key, "--url", stage.operator.url)
        assert (status, out.split(":")[0]) == (0, job_id)
        started = await stage.here(path="/plain", json={"duration": 5}, headers={"Call-Mode": "async"})
        status, out, err = await self.said("cancel", started.headers["Job-Id"], "--url", stage.operator.url)
        assert (status, out) == (1, "")
        assert "cannot be canceled" in err

    async def test_bytes_that_are_no_text(self, stage: Stage, tmp_path: Path):
        """Come out as they went in."""
        file = tmp_path / "body"
        file.write_bytes(b"\x00\xff")
        job_id = await stage.doubtful()
        status, _, _ = await self.said(
            "resolve", job_id, "--ended", "200", "--body", str(file), "--url", stage.operator.url
        )
        assert status == 0
        result = await stage.here("GET", f"/-/jobs/{job_id}/result")
        assert (result.body, result.headers.get("Content-Type")) == (b"\x00\xff", None)

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["--never-ran", "--ended", "200"],
            ["--never-ran", "--header", "X: 1"],
            ["--ended", "200", "--header", "X"],
        ],
    )
    async def test_a_verdict_that_is_none(self, arguments: list[str]):
        """2, as for any wrong use, before anybody is asked."""
        status, out, _ = await self.said("resolve", "x", *arguments, "--url", "http://127.0.0.1:1")
        assert (status, out) == (2, "")

    async def test_nobody_there(self, tmp_path: Path):
        """1, and a line."""
        for url in ("http://127.0.0.1:1", "nonsense"):
            status, out, err = await self.said("show", "x", "--url", url)
            assert (status, out, len(err.splitlines())) == (1, "", 1)
        absent = str(tmp_path / "absent")
        status, out, err = await self.said("resolve", "x", "--ended", "200", "--body", absent)
        assert (status, out) == (1, "")
        assert "cannot be read" in err
