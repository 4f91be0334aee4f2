"""What the tests of doubts share: ways for a start to carry its job's id, and a gateway that can find jobs by it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.core.modes import UpstreamMode
from gateway.core.policy import SECOND, Binding, Policy
from gateway.simulator import Settings, Simulator
from gateway.upstream.settings import JobsApiSettings
from gateway.web.settings import Route
from tests.e2e.support import Answer, Caller, fronting
from tests.support.rig import BASE_PATH, policy, simulated, with_store

ARGUMENT = "callmodeJob"
FOLDER = "Finance"


@dataclass(frozen=True)
class Carrier:
    """A way for a start to carry the job's id: how its route is called."""

    path: str
    method: str

    async def call(self, caller: Caller, tag: str, *, key: str | None = None, mode: str = "sync", **more) -> Answer:
        """Call the route; `more` are arguments that drive the simulated job."""
        headers = {"Call-Mode": mode, **({"Idempotency-Key": key} if key else {})}
        return await caller.start(self.method, self.path, json={"id": tag, **more}, headers=headers)

    def outcome(self, tag: str, job_id: str) -> dict[str, str]:
        """Return what a job gives back: its arguments, with what its start carried."""
        return {"id": tag} if self is REFERENCE else {ARGUMENT: job_id, "id": tag}


BODY = Carrier("/trigger", "POST")
QUERY = Carrier("/trigger", "GET")
REFERENCE = Carrier("/jobs", "POST")
CARRIERS = {"body": BODY, "query": QUERY, "reference": REFERENCE}
"""An argument in the body, one in the query, and the `Reference` of a start by the Jobs API."""

FOUND = policy(start_timeout=700, reconcile_wait=20 * SECOND)


def routes(base: Policy = FOUND, slug: str = "async") -> tuple[Route, ...]:
    """Return a route to a trigger and one to a process, whose jobs can be found."""
    bound = Binding(api=True, folder=FOLDER, slug=slug, correlation=ARGUMENT, repeated=base.idempotent)
    started = Binding(api=True, folder=FOLDER, process=slug, repeated=base.idempotent)
    return (
        Route("trigger", BODY.path, f"/t/{FOLDER}/{slug}", policy=_with(base, binding=bound)),
        Route("jobs", REFERENCE.path, None, policy=_with(base, binding=started, upstream_mode=UpstreamMode.JOBS)),
    )


def _with(base: Policy, **changes: object) -> Policy:
    return policy(**{name: getattr(base, name) for name in base.__struct_fields__} | changes)


@dataclass
class Stage:
    """A gateway before a simulated tenant."""

    simulator: Simulator
    caller: Caller
    upstream_url: str

    def check_started_once(self, *tags: str) -> None:
        """See that each of these jobs was started, once, and ran."""
        assert {tag: self.simulator.starts_by_argument[tag] for tag in tags} == dict.fromkeys(tags, 1)
        assert {tag: self.simulator.jobs_by_argument[tag] for tag in tags} == dict.fromkeys(tags, 1)

    async def status(self, job_id: str) -> str:
        """Return what the monitor says of a job."""
        return (await self.caller("GET", f"/-/jobs/{job_id}")).json["status"]


@contextlib.asynccontextmanager
async def staged(
    redis_url: str,
    *,
    base: Policy = FOUND,
    simulator: Settings | None = None,
    api: JobsApiSettings | None = None,
    slug: str = "async",
) -> AsyncIterator[Stage]:
    """Run a gateway whose routes' jobs can be found."""
    async with (
        simulated(simulator) as (running, origin),
        fronting(
            origin + BASE_PATH,
            shared=with_store(redis_url),
            routes=routes(base, slug),
            jobs_api=api or JobsApiSettings(),
        ) as caller,
    ):
        yield Stage(running, caller, origin + BASE_PATH)


async def start_as_stranger(stage: Stage, arguments: dict) -> None:
    """Start the trigger beside the gateway."""
    url = f"{stage.upstream_url}/t/{FOLDER}/async"
    answer = await stage.caller("POST", url, json={"$callMode": "AsyncRequestReply", "duration": 30, **arguments})
    assert answer.status == 202, answer
