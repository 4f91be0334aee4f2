"""Where callers park: each opens the process that their connections lead to, before an upstream of its own."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateways import callmode
from benchmarks.native import Upstream, WrongAnswersError, upstream
from benchmarks.processes import family, free_port, module, serving

WITHIN_S = 90
HOLD_S = 600
"""Proxies do not follow a long-poll's redirects, and callers who ask for it themselves would see one."""
TRIGGER = "/t/bench/job"


@dataclass(frozen=True)
class Place:
    """Somewhere to park."""

    pids: Callable[[], tuple[int, ...]]
    port: int
    path: str
    wait: Callable[[int], object]
    """Returns once so many callers in all were taken in."""
    release: Callable[[], int]
    """Has all callers answered; returns how many were taken in in all."""
    store: tuple[int, ...] = ()
    mode: str = ""
    """What the callers ask of the upstream themselves, where nobody does it for them."""


Opening = Callable[[Path], contextlib.AbstractContextManager[Place]]
"""Opens a place, with its files below a directory."""


@contextlib.contextmanager
def waiter(_: Path) -> Iterator[Place]:
    """Open the handler that awaits a future."""
    port = free_port()

    def told(method: str, path: str) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)) as connection:
            connection.request(method, path)
            return int(connection.getresponse().read())

    with serving(module("benchmarks.peers.naive_waiter", port), port) as pid:
        yield Place(
            pids=lambda: (pid,),
            port=port,
            path="/job",
            wait=lambda callers: told("GET", f"/came/{callers}"),
            release=lambda: told("POST", "/release"),
        )


@contextlib.contextmanager
def client_session(_: Path) -> Iterator[Place]:
    """Open the gateway that holds a long-poll of a `ClientSession` for each caller."""
    port = free_port()
    with (
        upstream() as origin,
        serving(module("benchmarks.peers.naive_long_poll", port, origin.url), port) as pid,
    ):
        yield _before(origin, lambda: (pid,), port, "/job")


def callmode_with(route: dict[str, Any], **settings: Any) -> Opening:
    """Return what opens callmode with a route and other settings, on an embedded store."""

    @contextlib.contextmanager
    def opening(directory: Path) -> Iterator[Place]:
        routes = [{"path": "/job", "trigger": TRIGGER, **route}]
        with upstream() as origin, callmode(origin.url, directory, routes, **settings) as gateway:
            yield _before(origin, lambda: gateway.pids, gateway.port, "/job", store=gateway.store)

    return opening


def proxied(proxy: Callable[..., contextlib.AbstractContextManager[tuple[int, int]]], callers: int) -> Opening:
    """Return what opens nginx or haproxy, for callers that ask for long-polls themselves."""

    @contextlib.contextmanager
    def opening(directory: Path) -> Iterator[Place]:
        directory.mkdir()
        with (
            upstream(hold=HOLD_S) as origin,
            proxy(origin.port, directory, callers=callers + 256) as (pid, port),
        ):
            yield _before(origin, lambda: family(pid), port, TRIGGER, mode="LongPolling")

    return opening


def _before(origin: Upstream, pids: Callable[[], tuple[int, ...]], port: int, path: str, **more: Any) -> Place:
    return Place(
        pids=pids,
        port=port,
        path=path,
        wait=lambda callers: origin.wait_started(callers, within=WITHIN_S),
        release=lambda: started(origin.release()),
        **more,
    )


def started(counts: dict[str, int]) -> int:
    """Return how many jobs were started. Raises `WrongAnswersError` if one was started twice."""
    if counts["twice"] or counts["refused"]:
        raise WrongAnswersError(f"the upstream counted {counts}")
    return counts["starts"]
