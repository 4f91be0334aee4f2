"""The Jobs API against a simulated tenant: starting by it, reading jobs, finding and stopping them."""

import asyncio
import json

import pytest

from gateway.core import events as e
from gateway.core.job import Leg, LegKind, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding
from gateway.simulator import Settings
from gateway.upstream.settings import JobsApiSettings
from tests.upstream.support import FOLDER, TOKEN, tenant

PROCESS = Binding(api=True, folder=FOLDER, process="orders")
TRIGGER = Binding(api=True, folder=FOLDER, slug="orders", correlation="job")


def reconciled(t, job, binding):
    """Ask what became of a job."""
    return t.orchestrator.reconcile(job, binding, TOKEN, timeout=5_000)


async def ended(t, leg):
    """Read a job until it has ended."""
    while isinstance(event := await t.orchestrator.read(leg, TOKEN, timeout=5_000), e.StillRunning):  # noqa: ASYNC110 - as its follower does
        await asyncio.sleep(0.02)
    return event


async def test_a_start_is_followed_by_its_key_and_ends_with_its_output():
    """201 with one job: its key is known at once, and its end is what a trigger would have answered."""
    async with tenant() as t:
        started = await t.start("orders", "ab-1", {"n": 1, "duration": 0.05})
        assert started.mode is UpstreamMode.JOBS
        assert started.leg == t.orchestrator.job_leg(started.key, FOLDER)
        event = await ended(t, started.leg)
        assert (event.outcome.status, json.loads(event.outcome.body)) == (200, {"n": 1})
        assert dict(event.outcome.headers)["Content-Type"].startswith("application/json")


async def test_a_fault_and_a_stop_end_as_a_trigger_says_it():
    """500 with 4801 and the fault's text; 500 with 4802."""
    async with tenant(Settings(kill_delay=0.0)) as t:
        faulted = await ended(t, (await t.start("orders", "f", {"duration": 0, "fail": "no such order"})).leg)
        assert (faulted.outcome.status, json.loads(faulted.outcome.body)) == (
            500,
            {"message": "no such order", "errorCode": 4801},
        )
        running = await t.start("orders", "s", {"duration": 60})
        job = t.doubtful("s", upstream_key=running.key)
        assert isinstance(await t.orchestrator.stop(job, PROCESS, StopStrategy.KILL, TOKEN, timeout=5_000), e.StopSent)
        stopped = await ended(t, running.leg)
        assert json.loads(stopped.outcome.body)["errorCode"] == 4802


async def test_a_large_output_is_downloaded_without_the_credential():
    """The simulated storage, as Azure's, refuses a call that brings a token along."""
    async with tenant() as t:
        event = await ended(t, (await t.start("orders", "big", {"duration": 0, "output_size": 50_000})).leg)
        assert (event.outcome.status, len(event.outcome.body)) == (200, 50_000)
        assert set(json.loads(event.outcome.body)) == {"padding"}


async def test_an_output_elsewhere_is_read_only_where_the_setting_allows_it():
    """What is not allowed is a hiccup that names the setting: once it is allowed, the job ends."""
    async with tenant(Settings(blob_host="storage.example")) as t:
        leg = (await t.start("orders", "big", {"duration": 0, "output_size": 50_000})).leg
        event = await t.orchestrator.read(leg, TOKEN, timeout=5_000)
        assert isinstance(event, e.ReadFailed)
        assert "storage.example, which upstream.allowed_hosts does not allow" in event.why


async def test_a_start_that_was_cut_off_is_found_by_its_reference():
    """The answer is lost after the job was made: exactly one job has the gateway's id."""
    async with tenant() as t:
        lost = await t.start("orders", "lost-1", {"duration": 60, "fault": "reset-after"})
        assert isinstance(lost, e.StartAmbiguous)
        found = await reconciled(t, t.doubtful("lost-1"), PROCESS)
        assert found == e.Followed(UpstreamMode.JOBS, t.orchestrator.job_leg(found.key, FOLDER), found.key)
        assert isinstance(await t.orchestrator.read(found.leg, TOKEN, timeout=5_000), e.StillRunning)
        assert (t.simulator.counters.starts, t.simulator.counters.jobs) == (1, 1)


async def test_what_never_ran_is_not_found():
    """No job carries the id, so there is no verdict; another's job is not taken for it."""
    async with tenant() as t:
        await t.start("orders", "other", {"duration": 60})
        assert isinstance(await t.start("orders", "lost-2", {"fault": "reset-before"}), e.StartAmbiguous)
        verdict = await reconciled(t, t.doubtful("lost-2"), PROCESS)
        assert verdict == e.NoVerdict("Orchestrator lists no job of this start so far")


async def test_two_jobs_of_one_start_are_no_verdict():
    """A person has to say which of them it is."""
    async with tenant() as t:
        keys = {(await t.start("orders", "twin", {"duration": 60})).key for _ in range(2)}
        verdict = await reconciled(t, t.doubtful("twin"), PROCESS)
        assert isinstance(verdict, e.NoVerdict)
        assert all(key in verdict.why for key in keys)


async def test_jobs_that_wait_at_once_share_lists():
    """Fifty jobs in doubt cost three lists: twenty references go into one."""
    async with tenant() as t:
        started = {f"id-{n}": (await t.start("orders", f"id-{n}", {"duration": 60})).key for n in range(50)}
        found = await asyncio.gather(*(reconciled(t, t.doubtful(job_id), PROCESS) for job_id in started))
        assert [event.key for event in found] == list(started.values())
        assert t.simulator.counters.lists == 3


async def test_a_triggers_job_is_found_by_the_argument_that_carries_the_id():
    """Among the trigger's jobs of that time; each candidate is read once, whoever looks for it."""
    async with tenant() as t:
        for n in range(12):
            await t.trigger("orders", {"job": f"id-{n}", "duration": 60})
        await t.trigger("others", {"job": "id-3", "duration": 60})
        jobs = [t.doubtful(f"id-{n}", UpstreamMode.ASYNC) for n in range(12)]
        found = await asyncio.gather(*(reconciled(t, job, TRIGGER) for job in jobs))
        assert len({event.key for event in found}) == 12
        # The first goes alone, those that come meanwhile together.
        assert t.simulator.counters.lists <= 2
        again = await reconciled(t, jobs[3], TRIGGER)
        assert again == found[3]
        assert t.simulator.counters.job_reads == 12


async def test_a_job_of_another_time_is_not_looked_at():
    """Candidates are those created between the intent and the doubt, give or take the clocks."""
    async with tenant() as t:
        await t.trigger("orders", {"job": "old", "duration": 60})
        job = t.doubtful("old", UpstreamMode.ASYNC, intended=t.now() + 180_000, changed=t.now() + 181_000)
        assert isinstance(await reconciled(t, job, TRIGGER), e.NoVerdict)
        assert t.simulator.counters.job_reads == 0


async def test_clocks_may_differ_by_a_minute():
    """The tenant's clock is ahead: the job was created after its doubt, by it."""
    async with tenant(Settings(clock_skew=60.0)) as t:
        await t.trigger("orders", {"job": "skewed", "duration": 60})
        assert isinstance(await reconciled(t, t.doubtful("skewed", UpstreamMode.ASYNC), TRIGGER), e.Followed)


async def test_pages_are_read_to_the_end(monkeypatch):
    """A list that fills a page has another."""
    monkeypatch.setattr("gateway.upstream.listing._PAGE", 5)
    monkeypatch.setattr("gateway.upstream.listing.Listing.__init__.__defaults__", (5,))
    async with tenant() as t:
        for n in range(12):
            await t.trigger("orders", {"job": f"id-{n}", "duration": 60})
        found = await reconciled(t, t.doubtful("id-11", UpstreamMode.ASYNC), TRIGGER)
        assert isinstance(found, e.Followed)
        assert t.simulator.counters.lists == 3


async def test_a_trigger_that_cannot_be_looked_up_is_no_verdict():
    """The message says which key would help."""
    async with tenant() as t:
        verdict = await reconciled(
            t, t.doubtful("x", UpstreamMode.ASYNC), Binding(api=True, folder=FOLDER, slug="missing", correlation="job")
        )
        assert isinstance(verdict, e.NoVerdict)
        assert "trigger_id" in verdict.why


async def test_under_pass_through_the_routes_name_says_the_trigger():
    """No configured route, and so no slug in the binding: the record's route is the trigger's path."""
    async with tenant() as t:
        await t.trigger("orders", {"job": "passed", "duration": 60})
        job = t.doubtful("passed", UpstreamMode.ASYNC, route=f"/t/{FOLDER}/orders")
        assert isinstance(await reconciled(t, job, Binding(api=True, correlation="job")), e.Followed)


async def test_a_known_key_is_followed_if_orchestrator_knows_it_too():
    """Else the job would be lost again with its next read."""
    async with tenant() as t:
        started = await t.start("orders", "known", {"duration": 60})
        followed = await reconciled(t, t.doubtful("known", upstream_key=started.key), PROCESS)
        assert followed == e.Followed(UpstreamMode.JOBS, started.leg, started.key)
        verdict = await reconciled(t, t.doubtful("gone", upstream_key="0d3c5b2a-1f4e-4c6d-8a9b-102132435465"), PROCESS)
        assert verdict == e.NoVerdict("Orchestrator knows no job of this key")
        assert t.simulator.counters.lists == 0


async def test_lists_are_bounded_by_the_budget():
    """Who comes too late is told for how long there is nothing, and does not wait for it."""
    async with tenant(jobs_api=JobsApiSettings(calls_per_minute=2)) as t:
        verdicts = [await reconciled(t, t.doubtful(f"id-{n}"), PROCESS) for n in range(4)]
        assert [verdict.hint > 50_000 for verdict in verdicts] == [False, False, True, True]
        assert "calls_per_minute" in verdicts[-1].why
        assert t.simulator.counters.lists == 2


async def test_a_429_closes_the_budget_for_as_long_as_it_says():
    """Orchestrator's own limit is met once, not with every job that waits."""
    async with tenant(Settings(list_limit=1)) as t:
        verdicts = [await reconciled(t, t.doubtful(f"id-{n}"), PROCESS) for n in range(5)]
        assert all(verdict.hint > 0 for verdict in verdicts[1:])
        assert (t.simulator.counters.lists, t.simulator.counters.limited) == (2, 1)


async def test_stopping_a_job_whose_key_is_not_known_finds_it_first():
    """`Located`, then the stop; a stop of what has ended asks for nothing."""
    async with tenant(Settings(stop_delay=0.0)) as t:
        await t.trigger("orders", {"job": "found", "duration": 60})
        job = t.doubtful("found", UpstreamMode.ASYNC)

        async def stop(record):
            return await t.orchestrator.stop(record, TRIGGER, StopStrategy.SOFT, TOKEN, timeout=5_000)

        located = await stop(job)
        assert isinstance(located, e.Located)
        known = job.with_(upstream_key=located.key)
        assert await stop(known) == e.StopSent(StopStrategy.SOFT)
        await ended(t, t.orchestrator.job_leg(located.key, FOLDER))
        assert await stop(known) == e.StopSent(StopStrategy.SOFT)
        assert t.simulator.counters.stops == 1


async def test_a_stop_that_cannot_be_sent_says_why():
    """An unknown key, no job of that start, and an answer that is no consent."""
    async with tenant(Settings(fault_rate=1.0, faults=("502-before@stop",))) as t:

        async def stop(record):
            return await t.orchestrator.stop(record, PROCESS, StopStrategy.SOFT, TOKEN, timeout=5_000)

        unknown = await stop(t.doubtful("x", upstream_key="0d3c5b2a-1f4e-4c6d-8a9b-102132435465"))
        assert unknown == e.StopFailed("Orchestrator knows no job of this key")
        assert await stop(t.doubtful("x")) == e.StopFailed("Orchestrator lists no job of this start so far")
        started = await t.start("orders", "x", {"duration": 60})
        refused = await stop(t.doubtful("x", upstream_key=started.key))
        assert isinstance(refused, e.StopFailed)
        assert "502" in refused.why


async def test_a_leg_of_another_host_is_lost_before_the_credential_leaves():
    """The upstream's URL has changed since."""
    async with tenant() as t:
        event = await t.orchestrator.read(Leg(LegKind.JOB, "https://other.example/odata/Jobs"), TOKEN, timeout=1_000)
        assert isinstance(event, e.Lost)


async def test_a_key_is_a_guid():
    """Nothing else gets into a URL."""
    async with tenant() as t:
        with pytest.raises(ValueError, match="GUID"):
            t.orchestrator.job_leg("1)/../Secrets(1", FOLDER)
