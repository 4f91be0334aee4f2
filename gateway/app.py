"""The composition root: the only module that names concrete adapters, and the order in which they live and die."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from gateway.auth.keyring import Keyring, KeyringError, load_or_create, parse
from gateway.auth.links import Signer
from gateway.caller.links import JobUrls
from gateway.config import Config
from gateway.core.events import Event
from gateway.core.job import Job
from gateway.core.outcome import Origins
from gateway.core.policy import Policy
from gateway.observability.job_log import JobLog
from gateway.observability.traces import JobTraces, provider
from gateway.store.embedded import EmbeddedServer
from gateway.store.port import NewJob, StoreDown
from gateway.store.redis import RedisStore, connect
from gateway.upstream.http1 import ClientOptions, Http1Client
from gateway.upstream.triggers import Triggers
from gateway.web.drain import Drain
from gateway.web.gateway import Gateway
from gateway.web.servers import serving
from gateway.web.settings import Address, WebSettings
from gateway.worker.clock import Clock
from gateway.worker.deliveries import Deliveries
from gateway.worker.disown import disown
from gateway.worker.driver import Driver, kept_for
from gateway.worker.feed import Feed
from gateway.worker.guard import Guard
from gateway.worker.intake import Intake
from gateway.worker.leases import Leases
from gateway.worker.port import Observer
from gateway.worker.postman import Postman
from gateway.worker.tasks import Tasks
from gateway.worker.vault import Vault
from gateway.worker.watches import Watches

_KEYRING_FILE = "keyring"
"""Where the keyring of the embedded store is, in the data directory."""

_ANSWER_LAST = 3.0
"""Seconds of the drain kept for answers that are given because the replica goes."""

_log = structlog.get_logger("gateway")


class RoutePolicies:
    """The routes' policies, as configured."""

    def __init__(self, settings: WebSettings) -> None:
        self._policies = {route.name: route.policy for route in settings.routes}
        self._default = settings.default_policy

    def policy(self, route: str) -> Policy:
        """Return the policy of a route; the default one for a route that is no longer there."""
        return self._policies.get(route, self._default)


@asynccontextmanager
async def running(config: Config, *, store: RedisStore | None = None) -> AsyncIterator[dict[str, Address]]:
    """Run the gateway; give the addresses it listens on. Leaving drains it. `store`: one that is already connected.

    Raises `EmbeddedStoreError`, `KeyringError`, `StoreDown`, `OSError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = store or await _store(stack, config)
        keyring = _keyring(config)
        gateway, feed, deliveries = await _assemble(stack, config, store, keyring)
        background = Tasks(_defect)
        stack.push_async_callback(background.close)
        await gateway.leases.join(alone=config.store.url is None)
        background.spawn(gateway.leases.run(), name="leases")
        background.spawn(gateway.watches.listen(), name="wake-ups")
        async with serving(gateway) as addresses:
            for name, address in addresses.items():
                _log.info("listening", port=name, address=str(address), upstream=config.upstream.url)
            try:
                yield addresses
            finally:
                await _drain(gateway, feed, config.web.drain / 1000)
        deliveries.stop()
        await gateway.driver.stop(config.web.drain / 1000)
        with contextlib.suppress(StoreDown):
            await gateway.leases.leave()


async def _store(stack: contextlib.AsyncExitStack, config: Config) -> RedisStore:
    settings = config.store
    url = settings.url
    if url is None:
        server = EmbeddedServer(
            settings.data_dir,
            durability="disk" if settings.durability == "disk" else "memory",
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
    if auth.keyring_file is not None and (config.store.url is not None or auth.keyring_file.exists()):
        try:
            return parse(auth.keyring_file.read_text())
        except OSError as error:
            raise KeyringError(f"the keyring file cannot be read: {error.strerror}") from error
    if config.store.url is not None:
        raise KeyringError("a shared store needs a shared keyring: keyring, keyring_file or CALLMODE_KEYRING")
    return load_or_create(config.store.data_dir / _KEYRING_FILE)


async def _assemble(
    stack: contextlib.AsyncExitStack, config: Config, store: RedisStore, keyring: Keyring
) -> tuple[Gateway, Feed, Deliveries]:
    upstream, job_log = config.upstream, JobLog(structlog.get_logger("jobs"))
    client = Http1Client(
        ClientOptions(
            connect_timeout=upstream.connect_timeout / 1000,
            connections_per_origin=upstream.max_connections,
            keep_alive=upstream.idle_timeout / 1000,
            max_body=upstream.max_answer,
            ca_file=upstream.ca_file,
        )
    )
    stack.push_async_callback(client.close)
    triggers = Triggers(client, Origins(upstream.url, upstream.allowed_hosts), upstream.bearer)
    policies, clock, feed, vault = RoutePolicies(config.web), Clock(), Feed(), Vault(keyring)
    signer, guard = Signer(keyring), Guard(config.worker.callbacks)
    tasks = Tasks(_defect)
    stack.push_async_callback(tasks.close)

    def urls(job: Job) -> JobUrls:
        if upstream.bearer is not None:
            return JobUrls(job.origin, job.id)
        expires = (job.finished or job.deadline) + policies.policy(job.route).retention
        return JobUrls(job.origin, job.id, signer.sign(job.id, expires))

    observers: list[Observer] = [job_log]
    if (traces := provider()) is not None:
        stack.callback(traces.shutdown)
        observers.append(JobTraces(traces.get_tracer("callmode")))

    def observe(job: Job, event: Event) -> None:
        for observer in observers:
            observer(job, event)

    postman = Postman(config.worker.callbacks, guard, policies, secret=keyring.derive("callbacks"), urls=urls)
    stack.push_async_callback(postman.close)
    deliveries = Deliveries(store, postman, clock, tasks, told=job_log.delivered)
    driver = Driver(
        store=store,
        upstream=triggers,
        vault=vault,
        policies=policies,
        clock=clock,
        feed=feed,
        tasks=tasks,
        observe=observe,
        random=secrets.token_bytes,
        deliver=deliveries.follow,
        lost=lambda job_id: watches.resume(job_id),  # noqa: PLW0108 - `watches` is made below
        failed=_defect,
        answer_unsaved=config.worker.answer_unsaved,
    )
    leases = Leases(
        store,
        clock,
        driver,
        deliver=deliveries.follow,
        renamed=lambda: watches.resume_all(),  # noqa: PLW0108 - `watches` is made below
        new_name=_incarnation,
        lease=config.worker.lease,
    )
    watches = Watches(store, feed, clock, tasks, followed=driver.job, me=lambda: leases.incarnation)

    def disown_job(new: NewJob, follower: str) -> None:
        keep = kept_for(new.job, policies.policy(new.job.route), clock.now())
        tasks.spawn(disown(store, new, follower, keep=keep, now=clock.now()), name=f"disown {new.job.id}")

    intake = Intake(
        store,
        driver,
        clock,
        vault,
        me=lambda: leases.incarnation,
        random=secrets.token_bytes,
        disown=disown_job,
    )
    gateway = Gateway(
        settings=config.web,
        upstream_url=upstream.url,
        own_credential=upstream.bearer is not None,
        keyring=keyring,
        signer=signer,
        vault=vault,
        store=store,
        triggers=triggers,
        clock=clock,
        tasks=tasks,
        driver=driver,
        leases=leases,
        intake=intake,
        watches=watches,
        guard=guard,
        drain=Drain(),
    )
    return gateway, feed, deliveries


async def _drain(gateway: Gateway, feed: Feed, seconds: float) -> None:
    """Answer those who wait: as their jobs end while there is time, then with where their job will be."""
    drain = gateway.drain
    drain.begun = True
    _log.info("draining", seconds=seconds, following=len(gateway.driver))
    if await drain.idle(max(0.0, seconds - _ANSWER_LAST)):
        return
    drain.hurry = True
    feed.wake_all()
    await drain.idle(_ANSWER_LAST)


def _incarnation() -> str:
    """Return a name for one life of this replica: readable in the store, and never used twice."""
    return f"{socket.gethostname()}-{secrets.token_hex(6)}"


def _told_by_server(event: str, fields: dict[str, object]) -> None:
    _log.info(event, **fields)


def _defect(error: BaseException) -> None:
    _log.error("defect", exc_info=error)


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set."""
    async with running(config):
        await stop.wait()
