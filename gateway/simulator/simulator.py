"""Puts the parts of a simulated tenant together, behind one aiohttp application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from gateway.simulator.admin import Admin
from gateway.simulator.clock import WallClock
from gateway.simulator.counters import Counters
from gateway.simulator.job import Job
from gateway.simulator.jobs import JobTable
from gateway.simulator.settings import Settings
from gateway.simulator.tenant import Tenant
from gateway.simulator.webhook_admin import WebhookAdmin
from gateway.simulator.webhooks import Webhooks

_MAX_BODY = 64 * 1024 * 1024


class Simulator:
    """One simulated tenant. `app()` serves it; the rest is for whoever runs in the same process to look at.

    Nothing runs until the application does; its clean-up cancels all timers and releases all held calls. Raises
    ValueError where the settings name a fault that there is none of.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.counters = Counters()
        self._clock = clock = WallClock(self.settings.clock_skew)
        self._webhooks = Webhooks(self.settings, self.counters, clock)
        self._table = JobTable(
            retention=self.settings.retention,
            seed=self.settings.seed,
            on_start=self._webhooks.job_created,
            on_end=self._webhooks.job_ended,
        )
        self._tenant = Tenant(self.settings, self._table, self.counters, clock)
        self._webhook_admin = WebhookAdmin(self._webhooks)
        self._admin = Admin(
            self._table,
            self.counters,
            self._tenant.plan,
            self._tenant.tokens,
            (self._webhooks.reset, *self._tenant.resets),
        )

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Every job that still has a record, by id."""
        return self._table.by_id

    @property
    def starts_by_argument(self) -> Mapping[str, int]:
        """How many starts were seen for each value of the argument `id`, whether a job came of them or not."""
        return self._table.starts_by_argument

    @property
    def jobs_by_argument(self) -> Mapping[str, int]:
        """How many jobs ran for each value of the argument `id`: more than one is a double start."""
        return self._table.jobs_by_argument

    @property
    def starts_by_reference(self) -> Mapping[str, int]:
        """How many starts were seen for each reference that was given to `StartJobs`."""
        return self._table.starts_by_reference

    @property
    def jobs_by_reference(self) -> Mapping[str, int]:
        """How many jobs ran for each reference that was given to `StartJobs`."""
        return self._table.jobs_by_reference

    @property
    def ended_at(self) -> Mapping[str, float]:
        """The loop time at which the job of each value of the argument `id` ended."""
        return self._table.ended_at

    def app(self) -> web.Application:
        """Return a new application that serves this tenant."""
        app = web.Application(client_max_size=_MAX_BODY)
        self._admin.add_routes(app.router)
        self._webhook_admin.add_routes(app.router)
        app.router.add_route("*", "/{target:.*}", self._tenant.dispatch)
        app.on_shutdown.append(self._let_go)
        app.cleanup_ctx.append(self._webhooks.lifetime)
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def _let_go(self, _: web.Application) -> None:
        """Release held calls before the server waits for its handlers to finish."""
        self._table.let_go()
        self._tenant.let_go()

    async def _lifetime(self, _: web.Application) -> AsyncIterator[None]:
        self._clock.fix()
        yield
        self._table.stop()
