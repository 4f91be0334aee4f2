"""Orchestrator's webhooks over the wire: they make outcomes come sooner, and are never believed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway.app.lifecycle import running
from gateway.auth.keyring import generate
from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding, Pace
from gateway.simulator import Settings, Simulator
from gateway.simulator.settings import Webhook, WebhookTraffic
from gateway.store.port import Hint, StoreDown
from gateway.store.redis import RedisStore
from gateway.web.settings import Route
from gateway.worker.leases import Leases
from tests.e2e.support import Answer, Caller, calling, check_problem, eventually
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, config, policy, simulated, with_store

OLD, NEW = "secret-of-yesterday", "secret-of-today"
FOLDER = "1d9c2f6e-4b7a-4c35-9e0d-8a2b6f4c1e57"
HOOK = "/-/hooks/orchestrator"

SLOW = Pace(typical=20 * SECOND)
"""Whose first read comes after six seconds: whatever ends sooner was told by a webhook."""
ROUTES = (
    Route("jobs", "/jobs", None, policy=policy(
        upstream_mode=UpstreamMode.JOBS, binding=Binding(api=True, process="add", folder="Shared"), pace=SLOW,
    )),
    Route("trigger", "/trigger", f"/t/{FOLDER}/async", policy=policy(pace=SLOW, binding=Binding(folder=FOLDER))),
)  # fmt: skip


@dataclass
class Stage:
    """Two replicas over one store; the tenant's webhooks come to the one that no job is started at."""

    simulator: Simulator
    here: Caller
    there: Caller

    async def running(self, answer: Answer) -> str:
        """Wait until a job that was started is followed; return its id."""
        job_id = answer.headers["Job-Id"]

        async def look() -> bool:
            return (await self.there("GET", f"/-/jobs/{job_id}")).json["status"] == "running"

        await eventually(look)
        return job_id

    @property
    def reads(self) -> int:
        """How often the upstream was asked for jobs that run."""
        counters = self.simulator.counters
        return counters.polls + counters.job_reads + counters.lists


@contextlib.asynccontextmanager
async def staged(redis_url: str, *, hooked: bool = True, **traffic: Any) -> AsyncIterator[Stage]:
    """Run both replicas and a tenant; `traffic` is what goes wrong with its webhooks."""
    port = free_port()
    settings = config(
        f"http://127.0.0.1:{port}{BASE_PATH}", shared=with_store(redis_url), keyring=generate(), routes=ROUTES
    )
    settings = msgspec.structs.replace(settings, web=msgspec.structs.replace(settings.web, hook_secrets=(NEW, OLD)))
    async with (
        running(settings) as first,
        running(settings) as second,
        calling(f"http://{first['data']}") as here,
        calling(f"http://{second['data']}") as there,
    ):
        hooks = (Webhook(url=there.url + HOOK, secret=NEW),) if hooked else ()
        tenant = Settings(webhooks=hooks, webhook_traffic=WebhookTraffic(**{"breaker": 0.0} | traffic))
        async with simulated(tenant, port=port) as (simulator, _):
            yield Stage(simulator, here, there)


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    """A tenant without webhooks of its own: the test makes them up."""
    async with staged(redis_url, hooked=False) as running_stage:
        yield running_stage


def signed(body: bytes, secret: str = NEW) -> str:
    """Return the signature of a body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def event(kind: str = "job.completed", **members: Any) -> bytes:
    """Return an event."""
    return json.dumps({"Type": kind, "EventId": "e1", "TenantId": 1, **members}).encode()


async def post(caller: Caller, body: bytes, signature: str | None = None, **headers: str) -> Answer:
    """Deliver an event, well signed unless `signature` says otherwise; without one where that is empty."""
    signature = signed(body) if signature is None else signature
    given = {"X-UiPath-Signature": signature} if signature else {}
    return await caller("POST", HOOK, data=body, headers={"Authorization": "", **given, **headers})


@pytest.mark.parametrize("form", ["base64", "sha256=base64", "sha256=hex"])
@pytest.mark.parametrize("path", ["/jobs", "/trigger"])
async def test_an_end_is_known_when_it_comes(redis_url, path: str, form: str):
    """In each form of signature, at a replica that does not follow the job, which polling would read much later."""
    async with staged(redis_url, signature=form) as stage:
        begun = time.monotonic()
        answer = await stage.here(path=path, json={"id": "a", "duration": 0.5})
        assert (answer.status, answer.json) == (200, {"id": "a"})
        assert 0.5 <= time.monotonic() - begun < 3
        assert stage.reads <= 2


async def test_without_them_it_is_polled_for(redis_url):
    """The same job, told by nobody: what the test above compares with."""
    async with staged(redis_url, hooked=False) as stage:
        begun = time.monotonic()
        answer = await stage.here(path="/jobs", json={"id": "a", "duration": 0.5})
        assert (answer.status, answer.json) == (200, {"id": "a"})
        assert time.monotonic() - begun > 4


async def test_lost_doubled_late_and_forged(redis_url):
    """Whatever happens to webhooks, each job has its own outcome, once; the upstream is asked no more than a little."""
    count = 30
    traffic = {"lose_every": 5, "double_every": 2, "delay_every": 3, "delay": 0.7, "forge_every": 7}
    async with staged(redis_url, **traffic) as stage:
        paths = ("/jobs", "/trigger")

        async def call(number: int) -> Answer:
            caller = (stage.here, stage.there)[number % 2]
            arguments = {"id": str(number), "duration": 0.2 + number % 7 / 10}
            return await caller(path=paths[number % 3 % 2], json=arguments)

        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(number)) for number in range(count)]
        assert [(task.result().status, task.result().json) for task in tasks] == [
            (200, {"id": str(number)}) for number in range(count)
        ]
        assert time.monotonic() - begun < 12
        counters = stage.simulator.counters
        assert counters.starts == counters.jobs == count
        assert counters.webhooks_lost > 0
        assert counters.webhooks > count
        # One read for each end, one each for events that name only a folder, and a few polls of what was not told.
        assert stage.reads <= 4 * count


class TestBelief:
    """What an event says of a job is nothing."""

    async def test_a_job_that_has_not_ended(self, stage: Stage):
        """It is read once, runs on, and ends as Orchestrator's API says."""
        job_id = await stage.running(
            await stage.here(path="/jobs", json={"id": "a", "duration": 1.5}, headers={"Call-Mode": "async"})
        )
        (job,) = stage.simulator.jobs.values()
        told = {"Key": job.key, "State": "Faulted", "OutputArguments": {"id": "forged"}}
        assert (await post(stage.there, event("job.faulted", Job=told))).status == 204

        async def read() -> bool:
            return stage.reads > 0

        await eventually(read)
        assert (await stage.here("GET", f"/-/jobs/{job_id}")).json["status"] == "running"
        await asyncio.sleep(1.5 - (asyncio.get_running_loop().time() - job.started_at))
        await post(stage.there, event(EventId="e2", Job={"Key": job.key}))
        assert (await stage.here("GET", f"/-/jobs/{job_id}?wait=4")).json["status"] == "succeeded"
        assert (await stage.here("GET", f"/-/jobs/{job_id}/result")).json == {"id": "a"}

    async def test_an_event_that_comes_again(self, stage: Stage):
        """Is known: fifty deliveries of one are one read, fifty events no more than the route's pace allows."""
        await stage.running(
            await stage.here(path="/jobs", json={"id": "a", "duration": 30}, headers={"Call-Mode": "async"})
        )
        (job,) = stage.simulator.jobs.values()
        body = event(Job={"Key": job.key})
        for _ in range(25):
            assert [(await post(each, body)).status for each in (stage.here, stage.there)] == [204, 204]

        async def read() -> bool:
            return stage.reads > 0

        await eventually(read)
        assert stage.reads == 1
        begun = time.monotonic()
        for number in range(50):
            await post(stage.there, event(EventId=f"more {number}", Job={"Key": job.key}))
        assert stage.reads <= 2 + (time.monotonic() - begun) / (SLOW.floor / 1000)

    @pytest.mark.parametrize("away", [False, True])
    async def test_a_job_that_may_be_another_s_by_now(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, away: bool):
        """All are told, if they can be: who follows it now would else read it when it is due."""
        await stage.running(
            await stage.here(path="/jobs", json={"id": "a", "duration": 30}, headers={"Call-Mode": "async"})
        )
        (job,) = stage.simulator.jobs.values()
        announce, announced = RedisStore.announce, []

        async def told(store: RedisStore, hint: Hint, *, keep: int) -> bool:
            announced.append(hint)
            if away:
                raise StoreDown("away")
            return await announce(store, hint, keep=keep)

        monkeypatch.setattr(RedisStore, "announce", told)
        monkeypatch.setattr(Leases, "holds", lambda _leases, _follower: False)
        assert (await post(stage.here, event(Job={"Key": job.key}))).status == 204
        assert len(announced) == 1

        async def read() -> bool:
            return stage.reads == 1

        await eventually(read)

    async def test_many_jobs_in_one(self, stage: Stage):
        """Each of `Jobs` is looked at."""
        for name in "abc":
            await stage.running(
                await stage.here(path="/jobs", json={"id": name, "duration": 30}, headers={"Call-Mode": "async"})
            )
        listed = [{"Key": job.key} for job in stage.simulator.jobs.values()]
        assert (await post(stage.there, event("job.stopped", Jobs=listed))).status == 204

        async def read() -> bool:
            return stage.reads == 3

        await eventually(read)

    @pytest.mark.parametrize("kind", ["job.created", "job.started", "queueItem.added", "process.deleted", ""])
    async def test_events_of_no_end(self, stage: Stage, kind: str):
        """Are taken, and cause nothing."""
        await stage.running(
            await stage.here(path="/jobs", json={"id": "a", "duration": 30}, headers={"Call-Mode": "async"})
        )
        (job,) = stage.simulator.jobs.values()
        assert (await post(stage.there, event(kind, Job={"Key": job.key}))).status == 204
        await asyncio.sleep(0.5)
        assert stage.reads == 0

    @pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b"{}", b'{"Type":1}', b"\xff", b"[" * 100_000])
    async def test_what_is_no_event(self, stage: Stage, body: bytes):
        """Is taken if it is signed: a refusal would disable the webhook."""
        answer = await post(stage.there, body)
        assert (answer.status, answer.body) == (204, b"")


class TestSignatures:
    """Only Orchestrator, which knows the secret."""

    @pytest.mark.parametrize("secret", [NEW, OLD])
    async def test_any_of_the_secrets(self, stage: Stage, secret: str):
        """While one takes the place of another, both are good."""
        body = event()
        assert (await post(stage.there, body, signed(body, secret))).status == 204

    @pytest.mark.parametrize(
        "signature",
        [
            "", "x", "sha256=", "=", "sha256", signed(b"another"), signed(event(), "another"), "a" * 64, "\u00e9",
            f"md5={signed(event())}", signed(event())[:-2], base64.b64encode(bytes(32)).decode(),
        ],
    )  # fmt: skip
    async def test_a_wrong_one(self, stage: Stage, signature: str):
        """401 with a challenge, and not a word of what would have been right."""
        answer = await post(stage.there, event(), signature)
        detail = check_problem(answer, 401, "signature-invalid")
        assert answer.headers["WWW-Authenticate"] == "X-UiPath-Signature"
        assert signed(event()) not in detail

    async def test_a_body_that_was_changed(self, stage: Stage):
        """A signature is of every byte."""
        answer = await post(stage.there, event() + b" ", signed(event()))
        check_problem(answer, 401, "signature-invalid")

    async def test_two_of_them(self, stage: Stage):
        """400: whoever is in between may have checked the other."""
        headers = [("X-UiPath-Signature", signed(event())), ("X-UiPath-Signature", "x")]
        answer = await stage.there("POST", HOOK, data=event(), headers=headers)
        check_problem(answer, 400, "ambiguous-header")

    async def test_too_much(self, stage: Stage):
        """413 before anything is read whole."""
        body = io.BytesIO(b" " * (1024 * 1024 + 1))
        answer = await stage.there("POST", HOOK, data=body, headers={"X-UiPath-Signature": "x"})
        check_problem(answer, 413, "body-too-large")

    async def test_only_post(self, stage: Stage):
        """Nothing else is a delivery."""
        check_problem(await stage.there("GET", HOOK), 405, "method-not-allowed")

    async def test_without_a_secret(self, redis_url):
        """There is nothing there: anybody could sign with none."""
        settings = config(f"http://127.0.0.1:1{BASE_PATH}", shared=with_store(redis_url))
        async with running(settings) as addresses, calling(f"http://{addresses['data']}") as caller:
            check_problem(await post(caller, event(), signed(event(), "")), 404, "not-a-trigger")
