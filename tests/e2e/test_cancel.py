"""Canceling over the wire: who may, what it is answered, what becomes of the job, and whose shares it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from gateway.app.lifecycle import running
from gateway.auth.keyring import generate
from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding, Deduplicate, OnDisconnect, OnTimeout, SameCall
from gateway.simulator import Settings, Simulator
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, eventually, fronting
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, TOKEN, config, policy, simulated, with_store

QUICK = Settings(stop_delay=0.1, kill_delay=0.1)
BY_JOBS_API = policy(
    upstream_mode=UpstreamMode.JOBS, binding=Binding(api=True, process="add", folder="Shared"), kill_after=30 * SECOND
)
BY_TRIGGER = policy(
    binding=Binding(api=True, folder="Shared", slug="async", correlation="jobId"), kill_after=30 * SECOND
)
PLAIN = policy()

ROUTES = (
    Route("jobs", "/jobs", None, policy=BY_JOBS_API),
    Route("trigger", "/trigger", "/t/Shared/async", policy=BY_TRIGGER),
    Route("plain", "/plain", "/t/Shared/async", policy=PLAIN),
    Route("shared", "/shared", None, policy=msgspec.structs.replace(BY_JOBS_API, coalesce=True)),
    Route(
        "together", "/together", "/t/Shared/async",
        policy=msgspec.structs.replace(
            BY_TRIGGER, coalesce=True, deduplicate=Deduplicate(60 * SECOND, frozenset({SameCall.ARGUMENTS}))
        ),
    ),
    Route(
        "leaving", "/leaving", None, policy=msgspec.structs.replace(BY_JOBS_API, on_disconnect=OnDisconnect.CANCEL)
    ),
    Route(
        "brief", "/brief", None,
        policy=msgspec.structs.replace(BY_JOBS_API, wait=SECOND // 2, on_timeout=OnTimeout.CANCEL),
    ),
)  # fmt: skip
STOPPABLE = ["/jobs", "/trigger"]


@dataclass
class Stage:
    """Two replicas over one store before one simulator."""

    simulator: Simulator
    here: Caller
    there: Caller

    async def start(self, path: str, **arguments: object) -> Answer:
        """Start a job async; return its 202."""
        answer = await self.here(path=path, json={"duration": 30, **arguments}, headers={"Call-Mode": "async"})
        assert answer.status == 202, answer
        return answer

    async def monitor(self, job_id: str) -> dict:
        """Return the job's monitor."""
        return (await self.there("GET", f"/-/jobs/{job_id}")).json

    async def ends(self, job_id: str, status: str) -> dict:
        """Wait until the job is `status`; return its monitor."""

        async def look() -> dict | None:
            view = await self.monitor(job_id)
            return view if view["status"] == status else None

        return await eventually(look)


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    """Two replicas in this process."""
    shared, keyring = with_store(redis_url), generate()
    async with (
        simulated(QUICK) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring, routes=ROUTES) as here,
        fronting(origin + BASE_PATH, shared=shared, keyring=keyring, routes=ROUTES) as there,
    ):
        yield Stage(simulator, here, there)


def job_of(answer: Answer) -> str:
    """Return the id of the job that an answer is about."""
    return answer.headers["Job-Id"]


def link(answer: Answer, relation: str) -> str | None:
    """Return the target of a link of the answer."""
    for part in answer.headers["Link"].split(", "):
        url, _, name = part.partition("; rel=")
        if name == f'"{relation}"':
            return url.strip("<>")
    return None


class TestARunningJob:
    """One that Orchestrator can be asked to stop."""

    @pytest.mark.parametrize("path", STOPPABLE)
    @pytest.mark.parametrize("where", ["here", "there"])
    async def test_any_replica_takes_it(self, stage: Stage, path: str, where: str):
        """202 says that it was asked for; the monitor tells when it was sent, and at last that it took effect."""
        started = await stage.start(path)
        replica = getattr(stage, where)
        answer = await replica("POST", f"/-/jobs/{job_of(started)}/cancel")
        assert answer.status == 202
        assert answer.json["cancel"]["requested"] is True
        assert answer.json["status"] != "canceled"
        view = await stage.ends(job_of(started), "canceled")
        assert (view["cancel"]["sent"], view["cancel"]["requested"]) == ("SoftStop", True)
        assert view["cancel"]["at"] is not None
        assert stage.simulator.counters.starts == 1

    async def test_the_link(self, stage: Stage):
        """Every answer about the job has it while there is a way, and none once it has ended."""
        started = await stage.start("/jobs")
        url = link(started, "cancel")
        assert url is not None
        assert url == started.json["links"]["cancel"]
        assert (await stage.here("POST", url)).status == 202
        await stage.ends(job_of(started), "canceled")
        assert link(await stage.here("GET", started.json["links"]["monitor"]), "cancel") is None

    async def test_by_delete(self, stage: Stage):
        """The same as by POST."""
        started = await stage.start("/jobs")
        answer = await stage.here("DELETE", f"/-/jobs/{job_of(started)}")
        assert (answer.status, answer.json["cancel"]["requested"]) == (202, True)
        await stage.ends(job_of(started), "canceled")

    async def test_twice(self, stage: Stage):
        """Is once; a job that has ended by it says so."""
        started = await stage.start("/jobs", stop_delay=0.5)
        path = f"/-/jobs/{job_of(started)}/cancel"
        assert [(await stage.here("POST", path)).status for _ in range(2)] == [202, 202]
        await stage.ends(job_of(started), "canceled")
        check_problem(await stage.there("POST", path), 409, "already-ended")

    async def test_who_waits_for_it_is_told_its_end(self, stage: Stage):
        """As Orchestrator tells it: a stopped job is an error with its own code."""
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(stage.here(path="/jobs", json={"duration": 30}))

            async def started() -> bool:
                return stage.simulator.counters.starts == 1 and bool(stage.simulator.jobs)

            await eventually(started)
            job = await stage.here(path="/jobs", json={"duration": 30}, headers={"Call-Mode": "async"})
            assert (await stage.there("POST", f"/-/jobs/{job_of(job)}/cancel")).status == 202
            told = await stage.here("GET", f"/-/jobs/{job_of(job)}?wait=10")
            assert told.json["status"] == "canceled"
            result = await stage.there("GET", told.json["links"]["result"])
            assert (result.status, result.json["errorCode"], result.headers["Job-Status"]) == (500, 4802, "canceled")
            waiting.cancel()

    async def test_only_post(self, stage: Stage):
        """A link that is followed by mistake cancels nothing."""
        started = await stage.start("/jobs")
        answer = await stage.here("GET", f"/-/jobs/{job_of(started)}/cancel")
        check_problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == "POST, OPTIONS"
        assert (await stage.monitor(job_of(started)))["cancel"]["requested"] is False


class TestNoWay:
    """What cannot be canceled."""

    async def test_a_job_of_a_trigger_alone(self, stage: Stage):
        """400 and no link: nothing that may be called could stop it."""
        started = await stage.start("/plain", duration=0.3)
        assert link(started, "cancel") is None
        assert "cancel" not in started.json["links"]
        for method, path in (("POST", "/cancel"), ("DELETE", "")):
            answer = await stage.here(method, f"/-/jobs/{job_of(started)}{path}")
            check_problem(answer, 400, "cancel-unavailable")
        view = await stage.ends(job_of(started), "succeeded")
        assert view["cancel"]["requested"] is False

    async def test_what_is_to_be_canceled_later(self, stage: Stage):
        """Refused before anything is stored or sent."""
        for header in ({"Cancel-After": "5"}, {"Cancel-After": "5", "Idempotency-Key": "k"}):
            answer = await stage.here(path="/plain", json={}, headers=header)
            check_problem(answer, 400, "cancel-unavailable")
            assert "Job-Id" not in answer.headers
        assert stage.simulator.counters.starts == 0

    async def test_a_wait_that_runs_out(self, stage: Stage):
        """The job goes on, as if `fail` had been said."""
        headers = {"Prefer": "wait=1", "Call-On-Timeout": "cancel"}
        answer = await stage.here(path="/plain", json={"duration": 1.5}, headers=headers)
        assert "goes on" in check_problem(answer, 504, "wait-timeout")
        assert (await stage.ends(job_of(answer), "succeeded"))["cancel"]["requested"] is False


class TestWhoMay:
    """A link is good for reading only."""

    async def test_the_starters_token(self, stage: Stage):
        """And nobody else's: to strangers there is no such job, to holders of its link it cannot be changed."""
        started = await stage.start("/jobs")
        job_id, url = job_of(started), link(started, "cancel")
        assert url is not None
        assert "sig=" in url
        async with calling(stage.here.url, token=None) as nobody, calling(stage.here.url, token="other") as other:
            check_problem(await nobody("POST", url), 403, "read-only-link")
            check_problem(await nobody("POST", f"/-/jobs/{job_id}/cancel"), 401, "credential-missing")
            check_problem(await other("POST", url), 403, "read-only-link")
            check_problem(await other("POST", f"/-/jobs/{job_id}/cancel"), 404, "not-found")
            check_problem(await other("DELETE", f"/-/jobs/{job_id}"), 404, "not-found")
            check_problem(await nobody("DELETE", url.replace("/cancel", "")), 403, "read-only-link")
        assert (await stage.monitor(job_id))["cancel"]["requested"] is False
        assert (await stage.here("POST", f"/-/jobs/{job_id}/cancel")).status == 202

    async def test_under_the_gateways_own_credential(self, redis_url):
        """Whoever knows the id may: all are one, and an id cannot be guessed."""
        async with (
            simulated(QUICK) as (_, origin),
            fronting(origin + BASE_PATH, shared=with_store(redis_url), bearer=TOKEN, routes=ROUTES) as caller,
            calling(caller.url, token=None) as nobody,
        ):
            started = await nobody(path="/jobs", json={"duration": 30}, headers={"Call-Mode": "async"})
            answer = await nobody("POST", f"/-/jobs/{job_of(started)}/cancel")
            assert (answer.status, answer.json["cancel"]["requested"]) == (202, True)


class TestBeforeItsStart:
    """A job that nobody has started yet."""

    async def test_it_ends_at_once(self, redis_url):
        """200: nothing ran, so any job can be canceled there, and its key may be used again."""
        nowhere = f"http://127.0.0.1:{free_port()}{BASE_PATH}"
        patient = policy(start_retry=60 * SECOND, start_wait=200)
        async with fronting(nowhere, shared=with_store(redis_url), policy=patient) as caller:
            key = {"Idempotency-Key": "k", "Call-Mode": "async"}
            started = await caller(json={}, headers=key)
            assert started.status == 202
            url = link(started, "cancel")
            assert url is not None
            answer = await caller("POST", url)
            assert (answer.status, answer.json["status"]) == (200, "canceled")
            result = await caller("GET", answer.json["resultUrl"])
            check_problem(result, 409, "job-canceled")
            again = await caller(json={}, headers=key)
            assert (again.status, again.headers.get("Idempotent-Replayed")) == (202, None)
            assert job_of(again) != job_of(started)


class TestErasing:
    """DELETE of what has ended."""

    async def test_its_urls_are_gone(self, stage: Stage):
        """Every one of them says that there was a job once; its key starts nothing more."""
        key = {"Idempotency-Key": "erased", "Call-Mode": "async"}
        started = await stage.here(path="/plain", json={"duration": 0.1}, headers=key)
        view = await stage.ends(job_of(started), "succeeded")
        answer = await stage.there("DELETE", f"/-/jobs/{job_of(started)}")
        assert (answer.status, answer.body, answer.headers["Job-Id"]) == (204, b"", job_of(started))
        path = f"/-/jobs/{job_of(started)}"
        calls = [("GET", url) for url in view["links"].values()]
        calls += [("DELETE", path), ("POST", f"{path}/cancel"), ("POST", f"{path}/resolve")]
        calls += [("GET", f"{path}/callbacks"), ("POST", f"{path}/callbacks")]
        for replica in (stage.here, stage.there):
            for method, url in calls:
                assert ((await replica(method, url)).status, method, url) == (410, method, url)
        check_problem(await stage.here(path="/plain", json={"duration": 0.1}, headers=key), 410, "job-expired")
        assert stage.simulator.counters.starts == 1

    async def test_by_a_link(self, stage: Stage):
        """Is refused: it is good for reading only."""
        started = await stage.start("/plain", duration=0.1)
        view = await stage.ends(job_of(started), "succeeded")
        async with calling(stage.here.url, token=None) as nobody:
            check_problem(await nobody("DELETE", started.json["links"]["monitor"]), 403, "read-only-link")
        assert (await stage.here("GET", view["links"]["result"])).status == 200


class TestShares:
    """Calls that share one job give up their own share of it."""

    async def test_the_last_one_cancels(self, stage: Stage):
        """Each by its own link; until then the job goes on."""
        answers = [await stage.start("/shared", id="a") for _ in range(3)]
        assert len({job_of(answer) for answer in answers}) == 1
        assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
        job_id = job_of(answers[0])
        check_problem(await stage.here("POST", f"/-/jobs/{job_id}/cancel"), 409, "job-shared")
        check_problem(await stage.here("POST", f"/-/jobs/{job_id}/cancel?share=4"), 409, "job-shared")
        links = [link(answer, "cancel") or "" for answer in answers]
        assert [url.partition("share=")[2][0] for url in links] == ["1", "2", "3"]
        for replica, url in ((stage.here, links[2]), (stage.there, links[0]), (stage.here, links[0])):
            given_up = await replica("POST", url)
            assert (given_up.status, given_up.json["cancel"]["requested"]) == (202, False)
            assert "others" in given_up.json["message"]
        last = await stage.there("POST", links[1])
        assert (last.status, last.json["cancel"]["requested"]) == (202, True)
        await stage.ends(job_id, "canceled")
        assert stage.simulator.counters.starts == 1

    @pytest.mark.parametrize("guess", ["2", "2.0000000000000000", "1", "0", "-1", "2.", "x"])
    async def test_a_share_that_is_guessed(self, stage: Stage, guess: str):
        """Is nobody's: a number is no proof."""
        started = [await stage.start("/shared", id="a") for _ in range(2)]
        path = f"/-/jobs/{job_of(started[0])}/cancel?share={guess}"
        check_problem(await stage.here("POST", path), 409, "job-shared")
        assert (await stage.here("POST", link(started[1], "cancel") or "")).json["cancel"]["requested"] is False

    async def test_of_different_callers(self, stage: Stage):
        """Each gives up its own share, with its own token; neither the other's, nor the job."""
        async with calling(stage.here.url, token="other") as other:
            arguments = {"duration": 30, "id": "a"}
            mine, theirs = [
                await caller(path="/together", json=arguments, headers={"Call-Mode": "async"})
                for caller in (stage.here, other)
            ]
            assert job_of(mine) == job_of(theirs)
            my_link, their_link = link(mine, "cancel") or "", link(theirs, "cancel") or ""
            check_problem(await other("POST", my_link), 403, "read-only-link")
            check_problem(await stage.here("POST", their_link), 409, "job-shared")
            check_problem(
                await other("POST", f"{theirs.json['links']['monitor']}".replace("?", "/resolve?")),
                403,
                "read-only-link",
            )
            given_up = await other("POST", their_link)
            assert (given_up.status, given_up.json["cancel"]["requested"]) == (202, False)
            last = await stage.here("POST", my_link)
            assert (last.status, last.json["cancel"]["requested"]) == (202, True)
            view = await stage.ends(job_of(mine), "canceled")
            check_problem(await other("DELETE", theirs.json["links"]["monitor"]), 403, "read-only-link")
            assert (await stage.here("GET", view["links"]["result"])).headers["Job-Status"] == "canceled"
        assert stage.simulator.counters.starts == 1

    async def test_of_somebody_who_is_turned_away(self, redis_url: str):
        """Whose token the upstream refuses has joined nothing: the job is canceled without asking for that share."""
        tenant = Settings(stop_delay=0.1, kill_delay=0.1, forbidden_tokens=frozenset({"forbidden"}))
        async with (
            simulated(tenant) as (simulator, origin),
            fronting(origin + BASE_PATH, shared=with_store(redis_url), routes=ROUTES) as here,
            calling(here.url, token="forbidden") as stranger,
        ):
            stage = Stage(simulator, here, here)
            mine = await stage.start("/together", id="a")
            for _ in range(3):
                refused = await stranger(
                    path="/together", json={"duration": 30, "id": "a"}, headers={"Call-Mode": "async"}
                )
                check_problem(refused, 403, "credential-unproven")

            async def canceled() -> bool:
                return (await here("POST", link(mine, "cancel") or "")).json["cancel"]["requested"] is True

            await eventually(canceled)
            await stage.ends(job_of(mine), "canceled")

    async def test_the_share_stays_with_its_urls(self, stage: Stage):
        """A caller that polls finds its own share again in what it is told."""
        first, second = [await stage.start("/shared", id="a") for _ in range(2)]
        for answer in (first, second):
            polled = await stage.there("GET", answer.headers["Location"])
            assert polled.json["links"]["cancel"].replace(stage.there.url, stage.here.url) == link(answer, "cancel")

    async def test_a_wait_that_runs_out(self, stage: Stage):
        """Gives up one share; the 504 says that the job goes on for others."""
        patient = await stage.start("/shared", id="a")
        headers = {"Prefer": "wait=1", "Call-On-Timeout": "cancel"}
        answer = await stage.here(path="/shared", json={"duration": 30, "id": "a"}, headers=headers)
        assert "other calls" in check_problem(answer, 504, "wait-timeout")
        assert (await stage.monitor(job_of(patient)))["cancel"]["requested"] is False
        last = await stage.here("POST", link(patient, "cancel") or "")
        assert (last.status, last.json["cancel"]["requested"]) == (202, True)


class TestByTheClock:
    """What is canceled because time is over."""

    async def test_a_wait_that_runs_out(self, stage: Stage):
        """By the route's word: 504 that says so, and the job ends."""
        answer = await stage.here(path="/brief", json={"duration": 30})
        assert "being canceled" in check_problem(answer, 504, "wait-timeout")
        await stage.ends(job_of(answer), "canceled")

    async def test_by_the_callers_word(self, stage: Stage):
        """`Call-On-Timeout: cancel`; another caller of the same route is left alone."""
        headers = {"Prefer": "wait=1", "Call-On-Timeout": "cancel"}
        answer = await stage.here(path="/jobs", json={"duration": 30}, headers=headers)
        check_problem(answer, 504, "wait-timeout")
        await stage.ends(job_of(answer), "canceled")
        headers["Call-On-Timeout"] = "fail"
        answer = await stage.here(path="/brief", json={"duration": 30}, headers=headers)
        assert "goes on" in check_problem(answer, 504, "wait-timeout")
        assert (await stage.monitor(job_of(answer)))["cancel"]["requested"] is False

    async def test_cancel_after(self, stage: Stage):
        """The monitor says when it is due; then it is asked for by itself."""
        started = await stage.here(
            path="/jobs", json={"duration": 30}, headers={"Call-Mode": "async", "Cancel-After": "1"}
        )
        assert started.json["cancel"]["due"] is not None
        view = await stage.ends(job_of(started), "canceled")
        assert (view["cancel"]["requested"], view["cancel"]["due"]) == (True, None)

    @pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "soon", "1s", "\u0661", "9" * 10])
    async def test_an_unreadable_cancel_after(self, stage: Stage, value: str):
        """400, and nothing is started: that it would run on is not what was asked for."""
        answer = await stage.here(path="/jobs", json={}, headers={"Cancel-After": value})
        check_problem(answer, 400, "bad-request")
        assert stage.simulator.counters.starts == 0


class TestGoingAway:
    """A blocked caller whose connection ends."""

    async def leave(self, stage: Stage, path: str, headers: dict[str, str] | None = None) -> str:
        """Call, wait until the job runs, and go; return the job's id."""
        known = set(stage.simulator.jobs)
        task = asyncio.create_task(stage.here(path=path, json={"duration": 30, "id": "a"}, headers=headers))

        async def runs() -> list[str]:
            return [job.reference for key, job in stage.simulator.jobs.items() if key not in known]

        (job_id,) = await eventually(runs)

        async def followed() -> bool:
            return (await stage.monitor(job_id))["status"] == "running"

        await eventually(followed)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return job_id

    async def test_of_a_route_that_cancels(self, stage: Stage):
        """Its job is canceled."""
        await stage.ends(await self.leave(stage, "/leaving"), "canceled")

    async def test_by_its_own_word(self, stage: Stage):
        """`Call-On-Disconnect` comes before the route's."""
        await stage.ends(await self.leave(stage, "/jobs", {"Call-On-Disconnect": "cancel"}), "canceled")
        left = await self.leave(stage, "/leaving", {"Call-On-Disconnect": "leave"})
        plain = await self.leave(stage, "/jobs")
        await stage.ends(await self.leave(stage, "/leaving"), "canceled")
        for job_id in (left, plain):
            assert (await stage.monitor(job_id))["cancel"]["requested"] is False

    async def test_of_who_opened_the_stream(self, stage: Stage):
        """Like a sync caller."""
        await stage.ends(await self.leave(stage, "/leaving", {"Call-Mode": "stream"}), "canceled")

    async def test_visitors_may_go(self, stage: Stage):
        """Who reads a job, or was answered, leaves nothing behind that is canceled."""
        started = await stage.start("/leaving")
        job_id = job_of(started)
        for path in (f"/-/jobs/{job_id}/wait", f"/-/jobs/{job_id}/events", f"/-/jobs/{job_id}?wait=60"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stage.here("GET", path)
        await stage.ends(await self.leave(stage, "/leaving"), "canceled")
        assert (await stage.monitor(job_id))["cancel"]["requested"] is False

    async def test_one_of_many(self, stage: Stage):
        """Gives up its share; when the last one goes, the job is canceled."""
        headers = {"Call-On-Disconnect": "cancel"}
        other = asyncio.create_task(stage.there(path="/shared", json={"duration": 30, "id": "a"}, headers=headers))

        async def begun() -> bool:
            return bool(stage.simulator.jobs)

        await eventually(begun)
        known = await self.shared_by_two(stage, headers)
        assert (await stage.monitor(known))["cancel"]["requested"] is False
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other
        await stage.ends(known, "canceled")
        assert stage.simulator.counters.starts == 1

    async def shared_by_two(self, stage: Stage, headers: dict[str, str]) -> str:
        """Join the job that runs as a sync caller and go; return its id."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stage.here(path="/shared", json={"duration": 30, "id": "a"}, headers=headers)
        (job,) = stage.simulator.jobs.values()
        return job.reference

    async def test_a_word_that_is_none(self, stage: Stage):
        """400, and nothing is started."""
        answer = await stage.here(path="/jobs", json={}, headers={"Call-On-Disconnect": "explode"})
        check_problem(answer, 400, "bad-request")
        assert stage.simulator.counters.starts == 0

    async def test_a_replica_that_goes(self, redis_url):
        """Is no caller that does: its callers are answered, and their jobs go on."""
        shared, keyring = with_store(redis_url), generate()
        async with (
            simulated(QUICK) as (simulator, origin),
            fronting(origin + BASE_PATH, shared=shared, keyring=keyring, routes=ROUTES) as there,
        ):
            leaving = config(origin + BASE_PATH, shared=shared, keyring=keyring, routes=ROUTES, drain=100)
            async with contextlib.AsyncExitStack() as stack:
                addresses = await stack.enter_async_context(running(leaving))
                async with calling(f"http://{addresses['data']}") as here:
                    waiting = asyncio.create_task(here(path="/leaving", json={"duration": 30}))

                    async def runs() -> bool:
                        return bool(simulator.jobs)

                    await eventually(runs)
                    await stack.aclose()
                    answer = await waiting
            check_problem(answer, 504, "wait-timeout")
            view = (await there("GET", f"/-/jobs/{job_of(answer)}")).json
            assert (view["status"], view["cancel"]["requested"]) == ("running", False)
