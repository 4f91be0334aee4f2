"""The gateway's own credentials by OAuth: what tokens cost, what their end costs, and that nobody sees one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from gateway.auth.keyring import generate
from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding
from gateway.simulator import Settings, Simulator
from gateway.upstream.settings import JobsApiSettings, OAuthSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, calling, check_problem, eventually, fronting, serving, written
from tests.e2e.test_secrets import everything_in, leaks
from tests.support.listening import free_port, listening
from tests.support.rig import BASE_PATH, TOKEN, policy, with_store

TRIGGERS = OAuthSettings("triggers", "canary-secret-of-triggers")
JOBS = OAuthSettings("jobs", "canary-secret-of-jobs", scope="OR.Jobs")
CLIENTS = {each.client_id: each.client_secret for each in (TRIGGERS, JOBS)}

BOUND = Binding(api=True, folder="Finance", slug="async", correlation="callmodeJob")
STARTED = Binding(api=True, folder="Finance", process="async")
ROUTES = (
    Route("trigger", "/trigger", "/t/Finance/async", policy=policy(reconcile_wait=20 * SECOND, binding=BOUND)),
    Route(
        "jobs", "/jobs", None,
        policy=policy(reconcile_wait=20 * SECOND, binding=STARTED, upstream_mode=UpstreamMode.JOBS),
    ),
    Route("plain", "/plain", "/t/Finance/async", policy=policy()),
)  # fmt: skip


@dataclass
class Tenant:
    """A simulated tenant with an identity server, which notes the bearers that each kind of call came with."""

    simulator: Simulator
    origin: str = ""
    bearers: dict[str, set[str]] = field(default_factory=lambda: {"triggers": set(), "jobs": set()})

    @property
    def url(self) -> str:
        """The upstream's base."""
        return self.origin + BASE_PATH

    @web.middleware
    async def note(self, request: web.Request, handler) -> web.StreamResponse:
        """Take note of a call's bearer."""
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            kind = "jobs" if "/odata/" in request.path else "triggers"
            self.bearers[kind].add(authorization.removeprefix("Bearer "))
        return await handler(request)

    async def order(self, fault: str, on: str, times: int | None) -> None:
        """Have the next calls of a kind go wrong; None: all."""
        await self._admin("faults", {"fault": fault, "on": on, "times": times})

    async def expire(self) -> int:
        """End every token; return how many were live."""
        return (await self._admin("tokens/expire")).json["expired"]

    async def heal(self) -> None:
        """Have nothing go wrong any more; the counters begin anew."""
        await self._admin("reset")

    async def _admin(self, path: str, body: object = None) -> Answer:
        async with calling(self.origin, token=None) as admin:
            answer = await admin("POST", f"/_sim/{path}", json=body)
        assert answer.status == 200, answer
        return answer


@contextlib.asynccontextmanager
async def tenant(**settings) -> AsyncIterator[Tenant]:
    """Run a tenant on which only its own tokens are good, and those in `tokens`."""
    it = Tenant(Simulator(Settings(oauth_clients=CLIENTS, **settings)))
    app = it.simulator.app()
    app.middlewares.append(it.note)
    async with listening(app, handler_cancellation=True) as it.origin:
        yield it


@contextlib.asynccontextmanager
async def gateway(
    it: Tenant, redis_url: str, *, oauth: OAuthSettings | None = TRIGGERS, api: OAuthSettings | None = None
) -> AsyncIterator[Caller]:
    """Run a gateway with credentials of its own; `api`: another for the Jobs API. Give a caller without any."""
    async with fronting(
        it.url, shared=with_store(redis_url), routes=ROUTES, oauth=oauth, jobs_api=JobsApiSettings(oauth=api)
    ) as caller:
        yield caller


def call(caller: Caller, tag: str, path: str = "/plain", **arguments) -> asyncio.Future[Answer]:
    """Call a route; the caller is blocked until the outcome."""
    return asyncio.ensure_future(caller(path=path, json={"id": tag, **arguments}))


@pytest.mark.parametrize("path", ["/plain", "/jobs"])
async def test_two_hundred_callers_cost_one_token(redis_url, path):
    """They wait for the one that the first of them asks for; and each start is one."""
    async with tenant() as it, gateway(it, redis_url) as caller:
        answers = await asyncio.gather(*(call(caller, str(n), path, duration=0.2) for n in range(200)))
        assert [(answer.status, answer.json) for answer in answers] == [(200, {"id": str(n)}) for n in range(200)]
        assert (it.simulator.counters.token_requests, it.simulator.counters.refused) == (1, 0)
        assert it.simulator.counters.starts == 200
        assert len(it.bearers["triggers"] | it.bearers["jobs"]) == 1


async def test_the_jobs_api_has_a_credential_of_its_own(redis_url):
    """Triggers are called under one, jobs looked for and read under the other."""
    async with tenant() as it, gateway(it, redis_url, api=JOBS) as caller:
        found = await call(caller, "a", "/trigger", duration=0.2, fault="502-after")
        assert (found.status, found.json["id"]) == (200, "a")
        assert (await call(caller, "b", "/jobs", duration=0.2)).status == 200
        assert it.simulator.counters.token_requests == 2
        assert it.bearers["triggers"].isdisjoint(it.bearers["jobs"])
        assert (len(it.bearers["triggers"]), len(it.bearers["jobs"])) == (1, 1)


async def test_callers_own_bearers_start_and_the_gateways_looks_for_what_came_of_it(redis_url):
    """A caller need not be allowed to list jobs, and its token goes nowhere but to the trigger."""
    async with tenant(tokens=frozenset({TOKEN})) as it, gateway(it, redis_url, oauth=None, api=JOBS) as caller:
        found = await call(caller, "a", "/trigger", duration=0.2, fault="reset-after")
        assert (found.status, found.json["id"]) == (200, "a")
        assert it.bearers["triggers"] == {TOKEN}
        assert TOKEN not in it.bearers["jobs"]
        assert len(it.bearers["jobs"]) == 1


@pytest.mark.parametrize("path", ["/plain", "/jobs"])
async def test_a_token_that_ends_while_jobs_are_polled_costs_one_more(redis_url, path):
    """Fifty jobs, whose next reads are refused: one token is asked for, no answer is wrong, nothing starts twice."""
    async with tenant() as it, gateway(it, redis_url) as caller:
        calls = [call(caller, str(n), path, duration=1.5) for n in range(50)]

        async def polled() -> bool:
            counters = it.simulator.counters
            # One list may tell of all of them.
            return counters.jobs == 50 and counters.polls + counters.job_reads + 50 * counters.lists >= 50

        await eventually(polled)
        assert await it.expire() == 1
        answers = await asyncio.gather(*calls)
        assert [(answer.status, answer.json) for answer in answers] == [(200, {"id": str(n)}) for n in range(50)]
        counters = it.simulator.counters
        assert (counters.token_requests, counters.starts, counters.jobs) == (2, 50, 50)
        assert 1 <= counters.refused <= 50


@pytest.mark.parametrize("path", ["/plain", "/jobs"])
async def test_a_start_that_was_refused_for_its_token_is_sent_once_more(redis_url, path):
    """Authentication comes before anything runs; the caller notices nothing."""
    async with tenant() as it, gateway(it, redis_url) as caller:
        assert (await call(caller, "a", path, duration=0)).status == 200
        await it.expire()
        assert (await call(caller, "b", path, duration=0)).status == 200
        assert it.simulator.starts_by_argument == {"a": 1, "b": 1}
        assert it.simulator.counters.token_requests == 2


@pytest.mark.parametrize("path", ["/plain", "/trigger", "/jobs"])
@pytest.mark.parametrize("fault", ["502-before", "503-before", "reset-before", "429"])
async def test_while_no_token_is_to_be_had_nothing_is_sent(redis_url, path, fault):
    """502 `upstream-unreachable`, safe to retry, at once; the key is free, and the same call runs when there is one."""
    async with tenant() as it, gateway(it, redis_url) as caller:
        await it.order(fault, "token", None)
        key = {"Idempotency-Key": "k"}
        for _ in range(3):
            told = await caller(path=path, json={"id": "a"}, headers=key)
            detail = check_problem(told, 502, "upstream-unreachable")
            assert detail.startswith("nothing was sent: ")
            assert told.json["retryable"] is True
        assert it.simulator.counters.starts == 0
        # Whoever failed to get one a moment ago does not ask again for every caller.
        assert it.simulator.counters.token_requests <= 2
        await it.heal()

        async def answered() -> Answer | None:
            answer = await caller(path=path, json={"id": "a", "duration": 0}, headers=key)
            return answer if answer.status == 200 else None

        assert (await eventually(answered)).json["id"] == "a"
        assert it.simulator.counters.starts == 1


async def test_an_identity_server_that_is_not_there_is_an_upstream_that_is_not(redis_url):
    """The same: nothing was sent."""
    nowhere = OAuthSettings("triggers", "s", token_url=f"http://127.0.0.1:{free_port()}/connect/token")
    async with tenant() as it, gateway(it, redis_url, oauth=nowhere) as caller:
        check_problem(await call(caller, "a"), 502, "upstream-unreachable")
        assert it.simulator.counters.starts == 0


async def test_a_secret_that_is_wrong_is_the_gateways_matter(redis_url):
    """502 `upstream-credentials`: no caller can do anything about it; nothing was sent."""
    wrong = OAuthSettings("triggers", "canary-that-is-wrong")
    async with tenant() as it, gateway(it, redis_url, oauth=wrong) as caller:
        told = await call(caller, "a")
        check_problem(told, 502, "upstream-credentials")
        assert "canary" not in str(told)
        assert it.simulator.counters.starts == 0


async def test_the_jobs_apis_token_is_missed_only_where_it_is_needed(redis_url):
    """While there is none, triggers are called as ever; a doubt waits, and is resolved when there is one."""
    late = {"duration": 0.2, "fault": "502-after"}
    async with tenant() as it, gateway(it, redis_url, api=JOBS) as caller:
        assert (await call(caller, "a", duration=0)).status == 200
        await it.order("503-before", "token", 3)
        doubtful = call(caller, "b", "/trigger", **late)
        assert (await call(caller, "c", duration=0)).status == 200
        answer = await doubtful
        assert (answer.status, answer.json["id"]) == (200, "b")
        assert it.simulator.starts_by_argument == {"a": 1, "b": 1, "c": 1}


def configured(url: str, store_url: str, prefix: str) -> str:
    """Return a configuration that has its secrets from the environment."""
    oauth = "oauth: {client_id: %s, client_secret: '${env:%s}'}"
    return (
        f"upstream:\n  url: {url}\n  {oauth % ('triggers', 'FIRST')}\n"
        f"  jobs_api:\n    {oauth % ('jobs', 'SECOND')}\n"
        "auth: none\nlisten: 127.0.0.1:0\nlog: {level: debug}\n"
        f"store: {{url: '{store_url}', prefix: {prefix}}}\n"
        "routes:\n"
        "  - {path: /plain, trigger: /t/Finance/async}\n"
        "  - {path: /trigger, trigger: /t/Finance/async, correlation: callmodeJob}\n"
        "  - {path: /jobs, process: async, folder: Finance, upstream_mode: Jobs}\n"
    )


async def test_neither_secrets_nor_tokens_come_out(tmp_path, redis_url):
    """In no log line, no answer, nothing of the store: tokens fresh, ended and refused, requests for them failing."""
    prefix = with_store(redis_url).prefix
    env = {"CALLMODE_KEYRING": generate(), "FIRST": TRIGGERS.client_secret, "SECOND": JOBS.client_secret}
    async with (
        tenant() as it,
        serving(written(tmp_path, configured(it.url, redis_url, prefix)), env=env) as process,
        calling(process.url) as caller,
    ):
        answers = []
        for round_ in range(2):
            for path in ("/plain", "/trigger", "/jobs"):
                answers.append(await call(caller, f"{path}{round_}", path, duration=0.1))
                answers.append(await call(caller, f"{path}{round_} lost", path, duration=0.1, fault="502-after"))
            await it.expire()
        await it.order("502-before", "token", None)
        answers += [await call(caller, "none", path) for path in ("/plain", "/jobs")]
        assert {answer.status for answer in answers} == {200, 502}
        tokens = it.bearers["triggers"] | it.bearers["jobs"]
        assert len(tokens) == 4
        secrets = {f"token {n}": token for n, token in enumerate(tokens)} | CLIENTS
        kept = b"\n".join(key.encode() + value for key, value in (await everything_in(redis_url, prefix)).items())
        assert await process.stop() == 0
        log = json.dumps(process.log).encode()
        assert b"upstream_calls" in log
        told = b"\n".join(answer.body + repr(sorted(answer.headers.items())).encode() for answer in answers)
        assert [leaks(text, secrets) for text in (told, kept, log)] == [[], [], []]
