"""Several tokens for one job: whose word is taken, and what each may bring about."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json

import pytest

from gateway.auth.keyring import generate
from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding
from gateway.simulator import Settings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, eventually, fronting
from tests.support.rig import BASE_PATH, policy, simulated, with_store

ASYNC = {"Call-Mode": "async"}
LOST = {"fault": "502-after", "fault_times": 1}


def token(number: int) -> str:
    """Return Ann's token by this number: an unsigned JWT."""
    claims = json.dumps({"iss": "idp", "sub": "ann", "number": number}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


OLD, NEW, FORBIDDEN = token(1), token(2), token(3)
TENANT = Settings(forbidden_tokens=frozenset({FORBIDDEN}))


@contextlib.asynccontextmanager
async def gateway(redis_url, settings=TENANT, **changes):
    """Give a simulator and a gateway's URL."""
    async with (
        simulated(settings) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), **changes) as caller,
    ):
        yield simulator, caller.url


async def test_a_token_that_the_upstream_forbids_owns_nothing(redis_url):
    """403 is no proof, though it would be an outcome: whoever claims to be Ann sees nothing of her job."""
    async with (
        gateway(redis_url) as (_, url),
        calling(url, token=OLD) as ann,
        calling(url, token=FORBIDDEN) as other,
    ):
        started = await ann(json={"id": "a", "duration": 5}, headers=ASYNC)
        check_problem(await other("GET", f"/-/jobs/{started.headers['Job-Id']}"), 404, "not-found")


async def test_a_link_and_a_claim_change_nothing(redis_url):
    """Who has found Ann's link, and claims to be Ann with a token that nobody has signed, reads, and that is all."""
    async with gateway(redis_url) as (_, url), calling(url, token=OLD) as ann, calling(url, token=FORBIDDEN) as other:
        started = await ann(json={"id": "a", "duration": 5}, headers=ASYNC)
        monitor = started.json["links"]["monitor"]
        assert (await other("GET", monitor)).json["status"] == "running"
        hook = {"json": {"url": "https://receiver.example/"}}
        for method, below, body in (
            ("POST", "/cancel", {}),
            ("POST", "/resolve", {"json": {"verdict": "never-ran"}}),
            ("GET", "/callbacks", {}),
            ("POST", "/callbacks", hook),
            ("DELETE", "", {}),
        ):
            refused = await other(method, monitor.replace("?", f"{below}?"), **body)
            check_problem(refused, 403, "credential-unproven")
        assert (await ann("GET", monitor)).json["status"] == "running"


async def test_a_start_that_was_accepted_proves_its_token(redis_url):
    """Ann's new token reads her ended job once the upstream has taken a start with it; nothing else could prove it."""
    async with gateway(redis_url) as (_, url), calling(url, token=OLD) as ann, calling(url, token=NEW) as refreshed:
        first = await ann(json={"id": "a", "duration": 0.1})
        monitor = f"/-/jobs/{first.headers['Job-Id']}"
        check_problem(await refreshed("GET", monitor), 404, "not-found")
        assert (await refreshed(json={"id": "b", "duration": 0.1})).status == 200
        assert (await refreshed("GET", monitor)).json["status"] == "succeeded"


async def test_a_start_that_was_refused_proves_nothing(redis_url):
    """The upstream has not accepted the token, so it opens nothing."""
    async with (
        gateway(redis_url) as (_, url),
        calling(url, token=OLD) as ann,
        calling(url, token=FORBIDDEN) as other,
    ):
        first = await ann(json={"id": "a", "duration": 0.1})
        assert (await other(json={"id": "b"})).status == 403
        check_problem(await other("GET", f"/-/jobs/{first.headers['Job-Id']}"), 404, "not-found")


async def test_a_link_with_a_forbidden_token_does_not_spoil_the_job(redis_url):
    """Whoever holds a link may read; a credential that the upstream refuses never becomes the one that jobs run on."""
    shared, keyring = with_store(redis_url), generate()
    async with simulated(TENANT) as (_, origin):
        async with (
            fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as one,
            calling(one.url, token=FORBIDDEN) as other,
        ):
            started = await one(json={"id": "a", "duration": 1.0}, headers=ASYNC)
            assert (await other("GET", started.headers["Location"])).status == 200
        async with fronting(origin + BASE_PATH, shared=shared, keyring=keyring) as two:
            # It reads on with what the store holds.
            async def ended() -> Answer | None:
                answer = await two("GET", f"/-/jobs/{started.headers['Job-Id']}/result")
                return None if answer.status == 409 else answer

            answer = await eventually(ended)
            assert (answer.status, answer.json) == (200, {"id": "a"})


async def test_a_job_outlives_its_token(redis_url):
    """The upstream refuses the old one midway; a refreshed one that comes with a link takes its place."""
    accepted = {OLD}
    async with gateway(redis_url, Settings(tokens=accepted)) as (simulator, url), calling(url, token=OLD) as ann:
        started = await ann(json={"id": "a", "duration": 0.5}, headers=ASYNC)
        poll, monitor = started.headers["Location"], started.headers["Operation-Location"]
        accepted.clear()

        async def refused() -> bool:
            return "401" in ((await ann("GET", monitor)).json["message"] or "")

        await eventually(refused)
        accepted.add(NEW)
        async with calling(url, token=NEW) as refreshed:

            async def ended() -> Answer | None:
                answer = await refreshed("GET", poll)
                return answer if answer.status == 303 else None

            result = await eventually(ended)
            assert (await refreshed("GET", result.headers["Location"])).json == {"id": "a"}
        assert simulator.starts_by_argument == {"a": 1}


BINDING = {"api": True, "folder": "Finance"}
PATIENT = {"reconcile_wait": 20 * SECOND}
BY_JOBS_API = Route(
    "jobs", "/jobs", None,
    policy=policy(upstream_mode=UpstreamMode.JOBS, binding=Binding(**BINDING, process="async"), **PATIENT),
)  # fmt: skip
BY_TRIGGER = Route(
    "trigger", "/trigger", "/t/Finance/async",
    policy=policy(binding=Binding(**BINDING, slug="async", correlation="callmodeJob"), **PATIENT),
)  # fmt: skip


@pytest.mark.parametrize(
    ("route", "fault"), [(BY_JOBS_API, {}), (BY_JOBS_API, LOST), (BY_TRIGGER, LOST)], ids=["jobs", "lost", "trigger"]
)
async def test_a_job_followed_by_the_jobs_api_outlives_its_token(redis_url, route, fault):
    """A refreshed token that comes with a link is tried on the job itself, and reads on."""
    accepted = {OLD}
    async with (
        gateway(redis_url, Settings(tokens=accepted), routes=(route,)) as (simulator, url),
        calling(url, token=OLD) as ann,
    ):
        started = await ann(path=route.path, json={"id": "a", "duration": 0.7, **fault}, headers=ASYNC)
        assert started.status == 202
        await eventually(lambda: _is(ann, started, "running"))
        accepted.clear()
        await eventually(lambda: _says(ann, started, "401"))
        accepted.add(NEW)
        async with calling(url, token=NEW) as refreshed:
            await eventually(lambda: _is(refreshed, started, "succeeded"))
        assert simulator.starts_by_argument == {"a": 1}


async def test_a_doubt_outlives_its_token(redis_url):
    """There is nothing to try the new one on, so it has to be the owner's, and accepted for another call before."""
    accepted = {OLD}
    settings = Settings(tokens=accepted, list_lag=1.0)
    async with (
        gateway(redis_url, settings, routes=(BY_TRIGGER,)) as (simulator, url),
        calling(url, token=OLD) as ann,
        calling(url, token=NEW) as refreshed,
    ):
        started = asyncio.ensure_future(ann(path="/trigger", json={"id": "a", "duration": 0.1, **LOST}))
        await eventually(lambda: _true("a" in simulator.jobs_by_argument))
        accepted.clear()
        accepted.add(NEW)
        (job,) = simulator.jobs.values()
        assert (await refreshed(path="/trigger", json={"id": "b", "duration": 0})).status == 200
        monitor = (await refreshed("GET", f"/-/jobs/{job.arguments.values['callmodeJob']}")).json["links"]["monitor"]
        assert (await refreshed("GET", monitor)).status == 200
        answer = await started
        assert (answer.status, answer.json["id"]) == (200, "a")
        assert simulator.starts_by_argument == {"a": 1, "b": 1}


async def _true(what: bool) -> bool:
    return what


async def _is(caller: Caller, started: Answer, status: str) -> bool:
    return (await caller("GET", started.headers["Operation-Location"])).json["status"] == status


async def _says(caller: Caller, started: Answer, what: str) -> bool:
    return what in ((await caller("GET", started.headers["Operation-Location"])).json["message"] or "")
