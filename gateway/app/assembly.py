"""The parts of one gateway, and how they are put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from functools import cached_property

import structlog

from gateway.auth.keyring import Keyring
from gateway.auth.links import Signer
from gateway.config import Config
from gateway.core.events import Event
from gateway.core.job import Job
from gateway.core.retention import kept_for
from gateway.observability.frequent import Frequent
from gateway.observability.job_log import JobLog, routine
from gateway.observability.traces import JobTraces, provider
from gateway.store.port import NewJob
from gateway.store.redis import RedisStore
from gateway.upstream.assembly import UpstreamAssembly
from gateway.upstream.orchestrator import Orchestrator
from gateway.web.drain import Drain
from gateway.web.gateway import Gateway
from gateway.web.routing import RoutePolicies
from gateway.worker.acceptances import Acceptances
from gateway.worker.callback_secrets import CallbackSecrets
from gateway.worker.callbacks import Callbacks
from gateway.worker.clock import Clock
from gateway.worker.deliveries import Deliveries
from gateway.worker.disown import disown
from gateway.worker.driver import Driver
from gateway.worker.feed import Feed
from gateway.worker.guard import Guard
from gateway.worker.held import Held
from gateway.worker.hints import Hints
from gateway.worker.intake import Intake
from gateway.worker.learning import Learning
from gateway.worker.leases import Leases
from gateway.worker.links import Links
from gateway.worker.port import Observer, Policies
from gateway.worker.postman import Postman
from gateway.worker.tasks import Tasks
from gateway.worker.told import Told, both
from gateway.worker.vault import Vault
from gateway.worker.watches import Watches

_log = structlog.get_logger("gateway")


class Assembly:
    """Every part of one gateway, made when it is first asked for; what must be closed is closed by `stack`."""

    def __init__(
        self,
        config: Config,
        store: RedisStore,
        keyring: Keyring,
        stack: contextlib.AsyncExitStack,
        *,
        drain: Drain | None = None,
        named: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._own_credential = config.upstream.own_credential
        self._stack = stack
        self._named = named
        self.store = store
        self.keyring = keyring
        self.clock = Clock()
        self.feed = Feed()
        self.drain = drain or Drain()
        self.vault = Vault(keyring)
        self.signer = Signer(keyring)
        self.guard = Guard(config.worker.callbacks)
        self.learning = Learning(
            store,
            RoutePolicies(config.web),
            name=lambda route: keyring.hash("durations", route),
            random=os.urandom,
            failed=defect,
        )
        self.policies: Policies = self.learning
        self.told = Told(self.policies, self.clock, on=bool(config.web.hook_secrets))
        self.held = Held(config.worker.held_connections)
        self.links = Links(self.policies, None if self._own_credential else self.signer)

    @cached_property
    def tasks(self) -> Tasks:
        """What runs beside the requests."""
        return Tasks(defect)

    @cached_property
    def upstream(self) -> Orchestrator:
        """Orchestrator, over its pool of connections."""
        return UpstreamAssembly(
            self._config.upstream,
            self.tasks.spawn,
            self._stack,
            replicas=lambda: self.leases.living,
            ended=lambda key: self.driver.hurry_key(key),  # noqa: PLW0108 - the driver needs the upstream first
        ).orchestrator

    @cached_property
    def job_log(self) -> JobLog:
        """What happens to jobs, in the log."""
        return JobLog(structlog.get_logger("jobs").bind(), Frequent("job", routine))

    @cached_property
    def observers(self) -> tuple[Observer, ...]:
        """Who is told of what happens to jobs."""
        always = (self.job_log, Acceptances(self.store, self.clock, self.tasks))
        traces = provider()
        if traces is None:
            return always
        self._stack.callback(traces.shutdown)
        return (*always, JobTraces(traces.get_tracer("callmode")))

    @cached_property
    def deliveries(self) -> Deliveries:
        """Callbacks on their way."""
        postman = Postman(
            self._config.worker.callbacks,
            self.guard,
            self.policies,
            self.callback_secrets,
            # A receiver sees the gateway where the job's starter saw it.
            urls=lambda job: self.links.urls(job, job.origin),
        )
        self._stack.push_async_callback(postman.close)
        return Deliveries(
            self.store, postman, self.clock, self.tasks, told=self.job_log.delivered, receiver=self._receiver
        )

    def _receiver(self, principal: str, url: str) -> str:
        return self.keyring.hash("receiver", principal, url)

    @cached_property
    def callback_secrets(self) -> CallbackSecrets:
        """What signs them."""
        return CallbackSecrets(self._config.worker.callbacks, self.policies, self.keyring)

    @cached_property
    def callbacks(self) -> Callbacks:
        """Callbacks as callers and operators have them."""
        return Callbacks(
            self.store,
            self.guard,
            self.vault,
            self.clock,
            naming=lambda: self.leases.naming(),  # noqa: PLW0108 - leases need the deliveries first
            follow=self.deliveries.follow,
            receiver=self._receiver,
        )

    @cached_property
    def driver(self) -> Driver:
        """The jobs that are followed here."""
        hooks = bool(self._config.web.hook_secrets)
        return Driver(
            store=self.store,
            upstream=self.upstream,
            vault=self.vault,
            policies=self.told if hooks else self.policies,
            clock=self.clock,
            feed=self.feed,
            tasks=self.tasks,
            observe=_all(self.observers),
            ended=both(self.learning.ended, self.told.ended) if hooks else self.learning.ended,
            random=os.urandom,
            deliver=self.deliveries.follow,
            lost=lambda job_id: self.watches.resume(job_id),  # noqa: PLW0108 - watches need the driver first
            holds=lambda follower: self.leases.holds(follower),  # noqa: PLW0108 - so do leases
            paused=lambda: self.leases.paused,
            failed=defect,
            held=self.held,
            answer_unsaved=self._config.worker.answer_unsaved,
        )

    @cached_property
    def leases(self) -> Leases:
        """The right to follow them."""
        return Leases(
            self.store,
            self.clock,
            self.driver,
            deliver=self.deliveries.follow,
            renamed=lambda: self.watches.resume_all(),  # noqa: PLW0108 - watches need the leases first
            new_name=self._new_name,
            took=_taken_over,
            failed=defect,
            lease=self._config.store.lease,
            granted=self._config.store.granted,
        )

    @cached_property
    def watches(self) -> Watches:
        """Who waits for jobs here, whoever follows them."""
        return Watches(
            self.store,
            self.feed,
            self.clock,
            self.tasks,
            followed=self.driver.job,
            me=lambda: self.leases.incarnation,
            heed=self.driver.heed,
            hinted=self.hints.take,
            left=self.leases.hurry,
        )

    @cached_property
    def hints(self) -> Hints:
        """What Orchestrator's webhooks say."""
        return Hints(self.driver, self.policies, self.clock, told=self.told.hinted)

    @cached_property
    def intake(self) -> Intake:
        """The way in."""
        return Intake(
            self.store,
            self.driver,
            self.clock,
            self.vault,
            naming=self.leases.naming,
            random=os.urandom,
            disown=self._disown,
        )

    @cached_property
    def gateway(self) -> Gateway:
        """All of it that the web layer sees."""
        return Gateway(
            settings=self._config.web,
            policies=self.policies,
            upstream_url=self._config.upstream.url,
            own_credential=self._own_credential,
            keyring=self.keyring,
            signer=self.signer,
            links=self.links,
            vault=self.vault,
            store=self.store,
            upstream=self.upstream,
            clock=self.clock,
            tasks=self.tasks,
            driver=self.driver,
            leases=self.leases,
            intake=self.intake,
            held=self.held,
            hints=self.hints,
            told=self.told,
            watches=self.watches,
            callbacks=self.callbacks,
            callback_secrets=self.callback_secrets,
            drain=self.drain,
        )

    def _new_name(self) -> str:
        """Return a name for one life of this replica: readable in the store, and never used twice."""
        name = f"{socket.gethostname()}-{secrets.token_hex(6)}"
        if self._named is not None:
            self._named(name)
        return name

    def _disown(self, new: NewJob, follower: str) -> asyncio.Task[bool]:
        now, policy = self.clock.now(), self.policies.policy(new.job.route)
        keep, shown = kept_for(new.job, policy, now), policy.refused_retention
        disowning = disown(self.store, new, follower, keep=keep, shown=shown, now=now)
        return self.tasks.spawn(disowning, name=f"disown {new.job.id}")


def _all(observers: tuple[Observer, ...]) -> Observer:
    """Return what tells all of them."""

    def observe(job: Job, event: Event) -> None:
        for observer in observers:
            observer(job, event)

    return observe


def _taken_over(former: str, rows: int) -> None:
    _log.info("taken over", former=former, rows=rows)


def defect(error: BaseException) -> None:
    """Tell of a failure that nobody waits for."""
    _log.error("defect", exc_info=error)
