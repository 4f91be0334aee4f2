"""`/_sim`: what tests, the demo and a developer at the keyboard ask of the simulator itself. No token is needed.

GET  /_sim                 the arguments that drive a job, and the faults, each with its meaning
GET  /_sim/counters        counts, and the jobs that run now
GET  /_sim/arguments       for each value of the argument `id`: starts seen, jobs run, when the job ended
GET  /_sim/references      for each reference given to StartJobs: starts seen, jobs run
GET  /_sim/jobs            every job; times are those of the loop, `now` among them (CLOCK_MONOTONIC, in a real one)
POST /_sim/jobs/{id}/end   end a running job now
GET  /_sim/faults          the faults ordered and not yet spent
POST /_sim/faults          {"fault": name, "on": point, "times": n or null, "slug": slug or null}
POST /_sim/tokens/expire   end every token that the identity server has issued
POST /_sim/reset           forget all jobs, counts and orders
     /_sim/webhooks        see `webhook_admin`
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from gateway.simulator.answers import json_answer
from gateway.simulator.arguments import CONTROLS
from gateway.simulator.counters import Counters
from gateway.simulator.faults import FAULTS, Point, read_fault
from gateway.simulator.job import Job
from gateway.simulator.jobs import JobTable
from gateway.simulator.oauth import Tokens
from gateway.simulator.planning import FaultPlan, Order
from gateway.simulator.settings import WEBHOOK_EVENTS


class Admin:
    """The handlers below `/_sim`."""

    def __init__(
        self,
        jobs: JobTable,
        counters: Counters,
        plan: FaultPlan,
        tokens: Tokens,
        resets: Iterable[Callable[[], None]],
    ) -> None:
        self._jobs = jobs
        self._tokens = tokens
        self._counters = counters
        self._plan = plan
        self._resets = (jobs.clear, counters.reset, plan.clear, *resets)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes of the table above; they have to come before any that catches all paths."""
        router.add_get("/_sim", self.describe)
        router.add_get("/_sim/counters", self.counters)
        router.add_get("/_sim/arguments", self.arguments)
        router.add_get("/_sim/references", self.references)
        router.add_get("/_sim/jobs", self.jobs)
        router.add_post("/_sim/jobs/{id}/end", self.end)
        router.add_get("/_sim/faults", self.orders)
        router.add_post("/_sim/faults", self.order)
        router.add_post("/_sim/tokens/expire", self.expire)
        router.add_post("/_sim/reset", self.reset)

    async def describe(self, _: web.Request) -> web.Response:
        """Answer with everything that can be asked of a job."""
        faults = {fault.name: {"meaning": fault.meaning, "stage": fault.stage.value} for fault in FAULTS.values()}
        return _ok({"arguments": CONTROLS, "faults": faults, "on": list(Point), "events": sorted(WEBHOOK_EVENTS)})

    async def counters(self, _: web.Request) -> web.Response:
        """Answer with the counts."""
        return _ok({**self._counters.as_dict(), "running": self._jobs.running})

    async def arguments(self, _: web.Request) -> web.Response:
        """Answer with what is known by correlation tag."""
        table = self._jobs
        return _ok(
            {
                tag: {
                    "starts": starts,
                    "jobs": table.jobs_by_argument[tag],
                    "ended_at": table.ended_at.get(tag),
                }
                for tag, starts in table.starts_by_argument.items()
            }
        )

    async def references(self, _: web.Request) -> web.Response:
        """Answer with what is known by reference."""
        table = self._jobs
        return _ok(
            {
                reference: {"starts": starts, "jobs": table.jobs_by_reference[reference]}
                for reference, starts in table.starts_by_reference.items()
            }
        )

    async def jobs(self, _: web.Request) -> web.Response:
        """Answer with every job that still has a record."""
        now = asyncio.get_running_loop().time()
        return _ok({"now": now, "jobs": [_job(job, now) for job in self._jobs.by_id.values()]})

    async def end(self, request: web.Request) -> web.Response:
        """End a job; 404 where there is none, and no change where it has ended."""
        job = self._jobs.by_id.get(request.match_info["id"])
        if job is None:
            return _refuse(404, "no job has this id")
        self._jobs.end(job)
        return _ok(_job(job, asyncio.get_running_loop().time()))

    async def orders(self, _: web.Request) -> web.Response:
        """Answer with the orders that are not spent."""
        return _ok([order.as_dict() for order in self._plan.orders if order.times != 0])

    async def order(self, request: web.Request) -> web.Response:
        """Order a fault for the next calls of a kind; 400 says what was wrong with an order."""
        try:
            order = _read_order(await request.json())
        except (ValueError, TypeError) as wrong:
            return _refuse(400, str(wrong))
        self._plan.orders.append(order)
        return _ok(order.as_dict())

    async def expire(self, _: web.Request) -> web.Response:
        """End every token; say how many were live."""
        return _ok({"expired": self._tokens.expire()})

    async def reset(self, _: web.Request) -> web.Response:
        """Forget everything but the settings and the connections."""
        for forget in self._resets:
            forget()
        return _ok({})


def _read_order(given: Any) -> Order:
    """Return the order that a JSON body places. Raises ValueError or TypeError."""
    if not isinstance(given, dict) or not isinstance(given.get("fault"), str):
        raise TypeError('an order is {"fault": name, "on": point, "times": n, "slug": slug}')
    unknown = set(given) - {"fault", "on", "times", "slug"}
    if unknown:
        raise ValueError(f"an order has no {', '.join(sorted(unknown))}")
    times = given.get("times", 1)
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise ValueError(f"times is a count from 1, or null for until reset, not {json.dumps(times)}")
    fault, point = read_fault(f"{given['fault']}@{given.get('on', Point.START.value)}")
    return Order(fault, point or Point.START, times, given.get("slug"))


def _job(job: Job, now: float) -> dict[str, Any]:
    """Return a job for people and scripts to read."""
    return {
        "id": job.id,
        "number": job.number,
        "key": job.key,
        "folder": job.process.folder.name,
        "slug": job.slug,
        "mode": job.mode,
        "source": job.source,
        "reference": job.reference,
        "state": job.state(now),
        "tag": job.arguments.tag,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "reads": job.reads,
        "hops": job.hops,
        "arguments": job.arguments.values,
    }


def _ok(value: Any) -> web.Response:
    return json_answer(200, value).response()


def _refuse(status: int, message: str) -> web.Response:
    return json_answer(status, {"error": message}).response()
