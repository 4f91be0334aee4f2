"""One dispatcher over all that a tenant serves: jobs' URIs, blobs, triggers, APIs, tokens."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.access import Access
from gateway.simulator.answers import Answer
from gateway.simulator.attachments import Attachments
from gateway.simulator.catalog import Catalog
from gateway.simulator.clock import WallClock
from gateway.simulator.counters import Counters
from gateway.simulator.jobs import JobTable
from gateway.simulator.jobs_api import JobsApi
from gateway.simulator.links import Links, read_link
from gateway.simulator.metadata import Metadata
from gateway.simulator.oauth import IdentityServer, Tokens
from gateway.simulator.planning import FaultPlan
from gateway.simulator.service import Service
from gateway.simulator.settings import Settings
from gateway.simulator.targets import Identity, Invocation, Resource, read_target
from gateway.simulator.triggers import Triggers
from gateway.simulator.wire import BrokenResponse, Script, Stalls


class Tenant:
    """Puts the handlers together and sends every request to the one that it is for.

    `plan` decides on faults; `tokens` are those of the identity server; `resets` make the parts forget what they have
    seen (tokens are kept: a client that has one goes on).
    """

    def __init__(self, settings: Settings, jobs: JobTable, counters: Counters, clock: WallClock) -> None:
        self._settings = settings
        self._counters = counters
        self._stalls = Stalls()
        self.plan = FaultPlan(settings, counters)
        self.tokens = Tokens(settings.token_lifetime)
        self._identity = IdentityServer(settings, self.tokens, counters, self.plan)
        access = Access(settings, counters, self.tokens)
        catalog = Catalog(settings)
        links = Links(secrets.token_bytes(32))
        self._triggers = Triggers(
            settings, access=access, jobs=jobs, catalog=catalog, links=links, counters=counters, plan=self.plan
        )
        self._attachments = Attachments(settings, jobs, counters, clock)
        jobs_api = JobsApi(
            settings,
            jobs=jobs,
            catalog=catalog,
            counters=counters,
            plan=self.plan,
            clock=clock,
            uploaded=self._attachments.upload,
        )
        self._service = Service(access, catalog, jobs_api, self._attachments, Metadata(settings, catalog))
        self.resets: tuple[Callable[[], None], ...] = (jobs_api.reset, self._attachments.reset)

    def let_go(self) -> None:
        """Release every stalled call."""
        self._stalls.let_go()

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to the tenant."""
        self._counters.saw(request.transport)
        sent = await self._answer(request, _target(request))
        if isinstance(sent, Answer):
            return sent.response()
        return BrokenResponse(sent, self._stalls, self._settings.stall)

    async def _answer(self, request: web.Request, target: str) -> Answer | Script:
        origin = f"{request.scheme}://{self._settings.location_host or request.host}"
        link = read_link(target)
        if link is not None:
            return await self._triggers.read(request, target, link, origin)
        blob = await self._attachments.blob(request, target)
        if blob is not None:
            return blob
        match read_target(target):
            case Invocation() as invocation:
                return await self._triggers.start(request, invocation, origin)
            case Resource() as resource:
                return await self._service.answer(request, resource, origin)
            case Identity() as identity:
                return await self._identity.answer(request, identity, origin)
        return answers.error(404, "Not found.", 0)


def _target(request: web.Request) -> str:
    """Return the request target's path and query as sent; an absolute-form target without scheme and host."""
    raw = request.raw_path
    return raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]
