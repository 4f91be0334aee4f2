"""What one run is like, and the configuration files that follow from it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.chaos.schedule import Step, Terms, plan

PREFIX = "chaos"
BASE_PATH = "/acme/prod/orchestrator_"

FOLDER = "chaos"
RECONCILE_WAIT = 5
"""Seconds for which callers wait to hear what became of a start in doubt, where that can be found out."""
WEBHOOK_SECRET = "secret-of-webhooks"

ROUTES = {
    "async": "trigger: /t/chaos/async, upstream_mode: AsyncRequestReply",
    "long-poll": "trigger: /t/chaos/long-poll, upstream_mode: LongPolling",
    "forget": "trigger: /t/chaos/forget, upstream_mode: FireAndForget",
    # What repeats another within the window is that call, key or no key.
    "again": "trigger: /t/chaos/async-again, upstream_mode: AsyncRequestReply, "
    "deduplicate: {window: 3h, by: [caller, arguments]}",
    # A start in doubt is looked for: by an argument that carries the job's id, or by the Reference of a start.
    "found": "trigger: /t/chaos/async-found, upstream_mode: AsyncRequestReply, correlation: callmodeJob, "
    f"reconcile_wait: {RECONCILE_WAIT}s",
    "jobs": f"process: jobs, folder: {FOLDER}, upstream_mode: Jobs, reconcile_wait: {RECONCILE_WAIT}s",
}
"""The gateway's routes: what the configuration says of each besides its path."""

FOUND = frozenset({"found", "jobs"})
"""Routes whose jobs the Jobs API can find, and stop."""


class Settings(msgspec.Struct, frozen=True):
    """One run. Seconds."""

    seed: int
    seconds: float
    directory: Path
    """For logs, the history and the store's files."""
    replicas: int = 3
    rate: float = 6.0
    """Calls a second."""
    lease: float = 1.5
    wait: float = 6.0
    """How long a sync caller is held."""
    hold: float = 2.0
    """How long a long-poll caller is held before each redirect."""
    start_wait: float = 1.0
    unknown_ttl: float = 30.0
    drain: float = 2.5
    patches: tuple[str, ...] = ()
    """What is wrong with the gateways: `tests.support.failing_gateway`."""
    steps: tuple[Step, ...] | None = None
    """Done instead of what the seed plans."""
    modes: tuple[str, ...] = ("sync", "async", "long-poll", "forget", "callback", "stream")
    routes: tuple[str, ...] = tuple(ROUTES)
    faults: bool = True
    """Whether calls ask the simulator to go wrong."""
    patience: float = 45.0
    """How long a client goes on asking."""
    settle: float = 330.0
    """How long the jobs may take to end after all is healed, besides `unknown_ttl`: one that was taken over again and
    again is gone on with after a pause, five minutes at most."""

    @property
    def planned(self) -> tuple[Step, ...]:
        """The steps of the nemesis."""
        if self.steps is not None:
            return self.steps
        return plan(Terms(self.seed, self.seconds, self.replicas, self.lease))


_CONFIG = """\
listen: 127.0.0.1:{listen}
admin: off
drain: {drain}ms
upstream:
  url: http://127.0.0.1:{upstream}{base}
  allowed_hosts: [{hosts}]
  connect_timeout: 1s
  jobs_api: {{calls_per_minute: 30}}
store:
  url: redis://127.0.0.1:{store}/0
  prefix: {prefix}
  durability: disk
  lease: {lease}ms
  timeout: {timeout}ms
callbacks: {{allow: [127.0.0.0/8], insecure: on, timeout: 2s}}
webhooks: {{secrets: [{webhook_secret}]}}
log: {{format: json, level: info}}
defaults:
  wait: {wait}ms
  hold: {hold}ms
  max_hops: 50
  start_wait: {start_wait}ms
  start_timeout: 3s
  start_retry: 4s
  read_timeout: 2s
  upstream_hold: 2s
  hold_margin: 2s
  poll_ceiling: 1s
  unknown_ttl: {unknown_ttl}ms
  refused_retention: 24h
routes:
"""
_ROUTE = "  - {{path: /{name}, {keys}}}\n"


def config(settings: Settings, *, listen: int, store: int, upstream: int, upstreams: list[int]) -> str:
    """Return the configuration of one replica: its ports, and the ports of every replica's way upstream.

    Locations name the way that a job was started by, and whoever takes the job over goes on by it.
    """
    head = _CONFIG.format(
        listen=listen,
        store=store,
        upstream=upstream,
        base=BASE_PATH,
        hosts=", ".join(f"'127.0.0.1:{port}'" for port in upstreams),
        prefix=PREFIX,
        webhook_secret=WEBHOOK_SECRET,
        drain=round(settings.drain * 1000),
        lease=round(settings.lease * 1000),
        # A command that takes longer than the lease would lose the jobs: the configuration refuses that.
        timeout=round(settings.lease * 1000 * 2 / 3),
        wait=round(settings.wait * 1000),
        hold=round(settings.hold * 1000),
        start_wait=round(settings.start_wait * 1000),
        unknown_ttl=round(settings.unknown_ttl * 1000),
    )
    return head + "".join(_ROUTE.format(name=name, keys=keys) for name, keys in ROUTES.items())
