"""The composition root: the only module that names concrete adapters, and the order in which they live and die."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

import structlog

from gateway.auth.keyring import Keyring, KeyringError, load, load_or_create, parse
from gateway.auth.links import Signer
from gateway.config import Config
from gateway.core.events import Event
from gateway.core.job import Job
from gateway.core.retention import kept_for
from gateway.observability.job_log import JobLog
from gateway.observability.traces import JobTraces, provider
from gateway.store.embedded import EmbeddedServer
from gateway.store.port import NewJob, StoreDown
from gateway.store.redis import RedisStore, connect
from gateway.upstream.assembly import UpstreamAssembly
from gateway.upstream.orchestrator import Orchestrator
from gateway.web.drain import Drain
from gateway.web.gateway import Gateway
from gateway.web.routing import RoutePolicies
from gateway.web.servers import serving
from gateway.web.settings import Address
from gateway.worker.acceptances import Acceptances
from gateway.worker.callback_secrets import CallbackSecrets
from gateway.worker.callbacks import Callbacks
from gateway.worker.clock import Clock
from gateway.worker.deliveries import Deliveries
from gateway.worker.disown import disown
from gateway.worker.driver import Driver
from gateway.worker.feed import Feed
from gateway.worker.guard import Guard
from gateway.worker.hints import Hints
from gateway.worker.intake import Intake
from gateway.worker.leases import Leases
from gateway.worker.links import Links
from gateway.worker.port import Observer
from gateway.worker.postman import Postman
from gateway.worker.tasks import Tasks
from gateway.worker.vault import Vault
from gateway.worker.watches import Watches

_ANSWER_LAST = 3.0
"""Seconds of the drain kept for answers that are given because the replica goes."""

_HAND_OVER = 10.0
"""Seconds after the drain for starts that are unanswered still: one that is cut off leaves its job in doubt."""

_log = structlog.get_logger("gateway")


@asynccontextmanager
async def running(config: Config, *, store: RedisStore | None = None) -> AsyncIterator[dict[str, Address]]:
    """Run the gateway; give the addresses it listens on. Leaving drains it. `store`: one that is already connected.

    Raises `EmbeddedStoreError`, `KeyringError`, `StoreDown`, `OSError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = store or await _store(stack, config)
        keyring = _keyring(config)
        if not await store.acknowledge(keyring.marks):
            raise KeyringError(
                "the store's jobs were made under another keyring: they would be lost, and repeated calls would start "
                "anew. Give that keyring, on top of it a new key if you like, or another store.prefix"
            )
        parts = Assembly(config, store, keyring, stack)
        gateway = parts.gateway
        # After all that its tasks use was made, so that they end before any of it is closed.
        stack.push_async_callback(gateway.tasks.close)
        background = Tasks(_defect)
        stack.push_async_callback(background.close)
        await gateway.leases.join(alone=config.store.url is None)
        background.spawn(gateway.leases.run(), name="leases")
        background.spawn(gateway.watches.listen(), name="wake-ups")
        stack.push_async_callback(_stop, parts)
        async with serving(gateway) as addresses:
            for name, address in addresses.items():
                _log.info("listening", port=name, address=str(address), upstream=config.upstream.url)
            try:
                yield addresses
            finally:
                await _drain(gateway, parts.feed)


async def _store(stack: contextlib.AsyncExitStack, config: Config) -> RedisStore:
    settings = config.store
    url = settings.url
    if url is None:
        server = EmbeddedServer(
            settings.data_dir,
            durability=settings.durability,
            on_event=_told_by_server,
        )
        url = await server.start()
        stack.push_async_callback(server.close)
    store = connect(settings, url)
    stack.push_async_callback(_closed, store)
    await store.check()
    return store


async def _closed(store: RedisStore) -> None:
    with contextlib.suppress(StoreDown):
        await store.close()


def _keyring(config: Config) -> Keyring:
    auth = config.auth
    if auth.keyring is not None:
        return parse(auth.keyring)
    if auth.keyring_file is None:
        raise KeyringError("there is no keyring: give keyring, keyring_file or CALLMODE_KEYRING")
    # A keyring of their own would leave replicas unable to resume each other's jobs: only the embedded store gets one.
    return load_or_create(auth.keyring_file) if config.store.url is None else load(auth.keyring_file)


class Assembly:
    """Every part of one gateway, made when it is first asked for; what must be closed is closed by `stack`."""

    def __init__(self, config: Config, store: RedisStore, keyring: Keyring, stack: contextlib.AsyncExitStack) -> None:
        self._config = config
        self._own_credential = config.upstream.own_credential
        self._stack = stack
        self.store = store
        self.keyring = keyring
        self.clock = Clock()
        self.feed = Feed()
        self.drain = Drain()
        self.vault = Vault(keyring)
        self.signer = Signer(keyring)
        self.guard = Guard(config.worker.callbacks)
        self.policies = RoutePolicies(config.web)
        self.links = Links(self.policies, None if self._own_credential else self.signer)

    @cached_property
    def tasks(self) -> Tasks:
        """What runs beside the requests."""
        return Tasks(_defect)

    @cached_property
    def upstream(self) -> Orchestrator:
        """Orchestrator, over its pool of connections."""
        return UpstreamAssembly(self._config.upstream, self.tasks.spawn, self._stack).orchestrator

    @cached_property
    def job_log(self) -> JobLog:
        """What happens to jobs, in the log."""
        return JobLog(structlog.get_logger("jobs"))

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
        return Driver(
            store=self.store,
            upstream=self.upstream,
            vault=self.vault,
            policies=self.policies,
            clock=self.clock,
            feed=self.feed,
            tasks=self.tasks,
            observe=self._observe,
            random=secrets.token_bytes,
            deliver=self.deliveries.follow,
            lost=lambda job_id: self.watches.resume(job_id),  # noqa: PLW0108 - watches need the driver first
            holds=lambda follower: self.leases.holds(follower),  # noqa: PLW0108 - so do leases
            failed=_defect,
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
            new_name=_incarnation,
            took=_taken_over,
            failed=_defect,
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
            hinted=self.hints,
            left=self.leases.hurry,
        )

    @cached_property
    def hints(self) -> Hints:
        """What Orchestrator's webhooks say."""
        return Hints(self.driver, self.policies, self.clock)

    @cached_property
    def intake(self) -> Intake:
        """The way in."""
        return Intake(
            self.store,
            self.driver,
            self.clock,
            self.vault,
            naming=self.leases.naming,
            random=secrets.token_bytes,
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
            watches=self.watches,
            guard=self.guard,
            callbacks=self.callbacks,
            callback_secrets=self.callback_secrets,
            drain=self.drain,
        )

    def _observe(self, job: Job, event: Event) -> None:
        for observer in self.observers:
            observer(job, event)

    def _disown(self, new: NewJob, follower: str) -> asyncio.Task[bool]:
        now, policy = self.clock.now(), self.policies.policy(new.job.route)
        keep, shown = kept_for(new.job, policy, now), policy.refused_retention
        disowning = disown(self.store, new, follower, keep=keep, shown=shown, now=now)
        return self.tasks.spawn(disowning, name=f"disown {new.job.id}")


async def _drain(gateway: Gateway, feed: Feed) -> None:
    """Answer those who wait: as their jobs end while there is time, then with where their job will be."""
    drain, settings = gateway.drain, gateway.settings
    drain.begin(settings.drain / 1000)
    _log.info("draining", seconds=settings.drain / 1000, following=len(gateway.driver))
    await asyncio.sleep(min(settings.drain_notice / 1000, drain.left))
    await drain.idle(max(0.0, drain.left - _ANSWER_LAST))
    # Even if nobody waits: whoever comes before the ports are closed must not be left waiting behind them.
    drain.hurry = True
    feed.wake_all()
    await drain.idle(_ANSWER_LAST)


async def _stop(parts: Assembly) -> None:
    """Follow nothing any more, whatever the reason for leaving, and let others follow it at once."""
    parts.deliveries.stop()
    await parts.gateway.driver.stop(parts.drain.left + _HAND_OVER)
    with contextlib.suppress(StoreDown):
        await parts.gateway.leases.leave()


def _incarnation() -> str:
    """Return a name for one life of this replica: readable in the store, and never used twice."""
    return f"{socket.gethostname()}-{secrets.token_hex(6)}"


def _taken_over(former: str, rows: int) -> None:
    _log.info("taken over", former=former, rows=rows)


def _told_by_server(event: str, fields: dict[str, object]) -> None:
    _log.info(event, **fields)


def _defect(error: BaseException) -> None:
    _log.error("defect", exc_info=error)


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set, in a process of its own."""
    async with running(config):
        _collect_seldom()
        await stop.wait()


def _collect_seldom() -> None:
    """Leave what start-up made to no collection, and run them seldom: they took a tenth of a job's CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
