"""Triggers and the Jobs API behind one port, each under its credential."""

import asyncio

import pytest

from gateway.core import events as e
from gateway.core.job import LegKind
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding
from gateway.simulator import Settings
from gateway.upstream.settings import JobsApiSettings, OAuthSettings
from tests.upstream.support import FOLDER, TOKEN, adapters, tenant

KEY = "0d3c5b2a-1f4e-4c6d-8a9b-102132435465"
CLIENTS = {"gateway": "s3cret", "jobs": "t0p"}


async def test_each_leg_is_read_where_it_belongs():
    """A trigger's job by its status URI, one of mode `Jobs` by its key."""
    async with tenant() as t:
        triggered = await t.trigger("async", {"duration": 60})
        started = await t.start("orders", "a", {"duration": 60})
        assert (triggered.leg.kind, started.leg.kind) == (LegKind.STATUS, LegKind.JOB)
        for leg in (triggered.leg, started.leg):
            assert await t.orchestrator.read(leg, TOKEN, timeout=5_000) == e.StillRunning()
        assert (t.simulator.counters.polls, t.simulator.counters.job_reads) == (1, 1)


async def test_only_a_status_uri_proves_a_token():
    """Whoever may see a folder's jobs may read any of them by key, so that proves no ownership."""
    async with tenant() as t:
        triggered = await t.trigger("async", {"duration": 60})
        started = await t.start("orders", "a", {"duration": 60})
        assert await t.orchestrator.accepts(triggered.leg, TOKEN, timeout=5_000)
        assert not await t.orchestrator.accepts(started.leg, TOKEN, timeout=5_000)


@pytest.mark.parametrize("discovered", [False, True])
async def test_oauth_serves_triggers_and_the_jobs_api(discovered):
    """One token for both, from Orchestrator's own place for it or from where the authority says."""
    async with tenant(Settings(oauth_clients=CLIENTS)) as t:
        authority = t.url.replace("/acme/prod/orchestrator_", "/acme/identity_") if discovered else None
        oauth = OAuthSettings("gateway", "s3cret", authority=authority)
        async with adapters(t.url, oauth=oauth) as t.orchestrator:
            assert isinstance(await t.trigger("async", {"duration": 60}), e.Followed)
            assert isinstance(await t.start("orders", "a"), e.Followed)
            assert t.simulator.counters.tokens == 1


async def test_an_expired_token_is_replaced_within_the_start():
    """401, a new token, and the start once more: one job."""
    async with tenant(Settings(oauth_clients=CLIENTS), oauth=OAuthSettings("gateway", "s3cret")) as t:
        leg = (await t.start("orders", "a", {"duration": 60})).leg
        t.simulator._tenant.tokens.expire()
        assert isinstance(await t.start("orders", "b", {"duration": 60}), e.Followed)
        assert (t.simulator.counters.jobs, t.simulator.counters.tokens) == (2, 2)
        assert await t.orchestrator.read(leg, None, timeout=5_000) == e.StillRunning()


async def test_a_wrong_secret_is_the_gateways_problem_and_nothing_is_sent():
    """502 `upstream-credentials` to the caller, who may use the same idempotency key again."""
    async with tenant(Settings(oauth_clients=CLIENTS), oauth=OAuthSettings("gateway", "wrong")) as t:
        refused = await t.trigger("async", {})
        assert (refused.outcome.problem, refused.frees_key) == ("upstream-credentials", True)
        assert "invalid_client" in refused.outcome.detail
        assert "wrong" not in refused.outcome.detail
        assert t.simulator.counters.starts == 0


async def test_an_identity_server_that_is_away_is_an_upstream_that_is_away():
    """Nothing was sent; a route that tries such starts again tries this one again."""
    faults = Settings(oauth_clients=CLIENTS, fault_rate=1.0, faults=("503-before@token",))
    async with tenant(faults, oauth=OAuthSettings("gateway", "s3cret")) as t:
        refused = await t.trigger("async", {})
        assert (refused.outcome.problem, refused.frees_key) == ("upstream-unreachable", True)
        read = await t.orchestrator.read(t.orchestrator.job_leg(KEY, FOLDER), None, timeout=5_000)
        assert isinstance(read, e.ReadFailed)
        assert t.simulator.counters.token_requests == 1


async def test_the_jobs_api_may_have_a_credential_of_its_own():
    """Triggers are started by each caller's token, jobs are looked for and stopped by the gateway's."""
    async with tenant(Settings(tokens=frozenset({TOKEN}), oauth_clients=CLIENTS)) as t:
        jobs_api = JobsApiSettings(oauth=OAuthSettings("jobs", "t0p"))
        async with adapters(t.url, jobs_api=jobs_api) as t.orchestrator:
            await t.trigger("orders", {"job": "mine", "duration": 60})
            assert t.simulator.counters.tokens == 0
            binding = Binding(api=True, folder=FOLDER, slug="orders", correlation="job")
            job = t.doubtful("mine", UpstreamMode.ASYNC)
            found = await t.orchestrator.reconcile(job, binding, "no good token", timeout=5_000)
            assert isinstance(found, e.Followed)
            assert t.simulator.counters.tokens == 1


async def test_under_pass_through_each_caller_asks_for_itself():
    """A list that one caller's token was refused is another's to have."""
    async with tenant(Settings(tokens=frozenset({TOKEN}))) as t:
        await t.start("orders", "mine", {"duration": 60})
        binding = Binding(api=True, folder=FOLDER, process="orders")

        def ask(bearer):
            return t.orchestrator.reconcile(t.doubtful("mine"), binding, bearer, timeout=5_000)

        theirs, mine = await asyncio.gather(ask("no good token"), ask(TOKEN))
        assert isinstance(theirs, e.NoVerdict)
        assert isinstance(mine, e.Followed)
