"""The Jobs API as callers meet it: mode `Jobs`, starts whose answer was lost, cancels, and the gateway's own token."""

import asyncio
import json

import pytest

from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding, Policy
from gateway.simulator import Settings
from gateway.upstream.settings import JobsApiSettings, OAuthSettings
from gateway.web.settings import Route
from tests.support.rig import rig, with_store
from tests.upstream.support import FOLDER

PATH = f"/t/{FOLDER}/orders"


def policy(**changes):
    """Return a policy that waits for verdicts as configured routes do."""
    return Policy(**{"reconcile_wait": 20_000, "start_retry": 0} | changes)


BY_PROCESS = Route(
    "process",
    "/process",
    None,
    policy=policy(upstream_mode=UpstreamMode.JOBS, binding=Binding(api=True, folder=FOLDER, process="orders")),
)
BY_TRIGGER = Route(
    "trigger",
    "/trigger",
    PATH,
    policy=policy(binding=Binding(api=True, folder=FOLDER, slug="orders", correlation="gatewayJob")),
)


@pytest.fixture
def gateway(redis_url):
    """Return how to run a gateway with both routes."""

    def run(settings=None, **upstream):
        given = {"jobs_api": JobsApiSettings()} | upstream
        return rig(shared=with_store(redis_url), simulator=settings, routes=(BY_PROCESS, BY_TRIGGER), **given)

    return run


async def test_mode_jobs_answers_as_a_trigger_does(gateway):
    """The output of the process, whose arguments are a body or a query."""
    async with gateway() as g:
        status, headers, body = await g.call("POST", "/process", json={"n": 1, "duration": 0.1})
        assert (status, json.loads(body), headers["Job-Status"]) == (200, {"n": 1}, "succeeded")
        status, _, body = await g.call("GET", "/process?n=a%20b&duration=0")
        assert (status, json.loads(body)) == (200, {"n": "a b"})
        status, _, body = await g.call("POST", "/process", json={"duration": 0, "fail": "no such order"})
        assert (status, json.loads(body)["message"]) == (500, "no such order")


@pytest.mark.parametrize(
    ("path", "content", "kind"), [("/process", b"[1]", "application/json"), ("/process", b"x", "text/plain")]
)
async def test_mode_jobs_takes_a_json_object(gateway, path, content, kind):
    """A process has named arguments; nothing else starts it."""
    async with gateway() as g:
        status, _, body = await g.call("POST", path, data=content, headers={"Content-Type": kind})
        assert (status, "JSON object" in json.loads(body)["detail"]) == (400, True)
        assert g.simulator.counters.starts == 0


@pytest.mark.parametrize("path", ["/process", "/trigger"])
@pytest.mark.parametrize("fault", ["reset-after", "502-after", "reset-in-head"])
async def test_a_start_whose_answer_was_lost_still_has_its_outcome(gateway, path, fault):
    """A blocked caller gets the job's own answer; the job ran once."""
    async with gateway() as g:
        arguments = {"n": 7, "duration": 0.3, "fault": fault, "id": "once"}
        status, headers, body = await g.call("POST", path, json=arguments)
        assert (status, json.loads(body)["n"], headers["Job-Status"]) == (200, 7, "succeeded")
        assert (g.simulator.starts_by_argument["once"], g.simulator.jobs_by_argument["once"]) == (1, 1)


async def test_many_lost_at_once_are_found_within_the_budget(gateway):
    """Forty starts cut off together: each caller has its own job's output, for a handful of lists."""
    async with gateway() as g:

        async def call(n):
            arguments = {"n": n, "duration": 0.5, "fault": "reset-after"}
            status, _, body = await g.call("POST", "/trigger" if n % 2 else "/process", json=arguments)
            return status, json.loads(body)["n"]

        assert await asyncio.gather(*(call(n) for n in range(40))) == [(200, n) for n in range(40)]
        assert g.simulator.counters.jobs == 40
        assert g.simulator.counters.lists < 30


@pytest.mark.parametrize("path", ["/process", "/trigger"])
async def test_a_running_job_can_be_canceled(gateway, path):
    """By its key in mode `Jobs`; a trigger's job is looked for first."""
    async with gateway(Settings(stop_delay=0.1)) as g:
        status, headers, _ = await g.call("POST", path, json={"duration": 60}, headers={"Call-Mode": "async"})
        assert status == 202
        job = headers["Job-Id"]
        status, _, _ = await g.call("POST", f"/-/jobs/{job}/cancel")
        assert status in {200, 202}
        _, _, body = await g.call("GET", f"/-/jobs/{job}?wait=20")
        assert json.loads(body)["status"] == "canceled"
        assert g.simulator.counters.stops == 1


async def test_under_the_gateways_own_token_callers_need_none(gateway):
    """OAuth, for starts, reads and look-ups; callers do not get to see it."""
    clients = {"gateway": "s3cret"}
    async with gateway(Settings(oauth_clients=clients), oauth=OAuthSettings("gateway", "s3cret")) as g:
        calls = (g.call("POST", path, json={"n": 1, "duration": 0.1}) for path in ("/process", "/trigger") * 10)
        assert {status for status, _, _ in await asyncio.gather(*calls)} == {200}
        assert g.simulator.counters.tokens == 1


async def test_a_wrong_secret_is_said_to_callers_without_it(gateway):
    """502 `upstream-credentials`."""
    clients = {"gateway": "s3cret"}
    async with gateway(Settings(oauth_clients=clients), oauth=OAuthSettings("gateway", "wrong-canary")) as g:
        status, _, body = await g.call("POST", "/process", json={})
        assert (status, json.loads(body)["type"].rpartition("/")[2].rpartition(":")[2]) == (502, "upstream-credentials")
        assert b"canary" not in body
