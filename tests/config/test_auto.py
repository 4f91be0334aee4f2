"""`upstream_mode: auto` in the configuration: what it means for a route, and what it needs."""

from __future__ import annotations

import pytest

from gateway.config import Config, ConfigError, Overrides, load
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding, LongPolls, Policy

UPSTREAM = "upstream: {url: 'https://cloud.example/org/tenant/orchestrator_', bearer: secret, jobs_api: on}\n"


@pytest.fixture
def loaded(tmp_path):
    """Write a file and load it."""

    def write_and_load(text: str) -> Config:
        path = tmp_path / "gateway.yaml"
        path.write_text(UPSTREAM + text, encoding="utf-8")
        return load(path, overrides=Overrides(), environment={"HOME": "/home/me"})

    return write_and_load


def test_it_is_not_the_default(loaded):
    """A start asks for async polling, as ever."""
    policy = loaded("").web.default_policy
    assert (policy.auto, policy.upstream_mode, policy.auto_long_poll) == (False, UpstreamMode.ASYNC, LongPolls.SAFE)


def test_for_all_routes_and_for_one(loaded):
    """A route may choose its own, and be left out of what the defaults say."""
    routes = loaded("""\
defaults: {upstream_mode: auto}
routes:
  - {path: /a, trigger: /t/f/a}
  - {path: /b, trigger: /t/f/b, upstream_mode: LongPolling}
  - {path: /c, trigger: /t/f/c, auto_long_poll: on}
  - {path: /d, trigger: /t/f/d, auto_long_poll: off}
""").web.routes
    assert [(route.policy.auto, route.policy.upstream_mode, route.policy.auto_long_poll) for route in routes] == [
        (True, UpstreamMode.ASYNC, LongPolls.SAFE),
        (False, UpstreamMode.LONG_POLL, LongPolls.SAFE),
        (True, UpstreamMode.ASYNC, LongPolls.ON),
        (True, UpstreamMode.ASYNC, LongPolls.OFF),
    ]


def test_under_pass_through(loaded):
    """Every trigger is called so."""
    assert loaded("defaults: {upstream_mode: auto}\n").web.default_policy == Policy(
        auto=True, binding=Binding(api=True)
    )


def test_a_process_has_one_start(loaded):
    """Where no trigger is named, the Jobs API is the only way."""
    (route,) = loaded("routes: [{path: /a, process: P, folder: F, upstream_mode: auto}]\n").web.routes
    assert (route.policy.auto, route.policy.upstream_mode) == (True, UpstreamMode.JOBS)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("{path: /a, upstream_mode: auto}", "routes[0].trigger: is missing"),
        ("{path: /a, process: P, upstream_mode: auto}", "routes[0].folder: is missing"),
        ("{path: /a, trigger: /t/f/a, process: P, upstream_mode: auto}", "routes[0].process: is for"),
        ("{path: /a, trigger: /t/f/a, auto_long_poll: maybe}", "must be one of safe, on, off"),
    ],
)
def test_what_it_needs(loaded, route: str, fault: str):
    """One way to start, and a word that means something."""
    with pytest.raises(ConfigError, match="routes") as refused:
        loaded(f"routes: [{route}]\n")
    assert any(fault in line for line in refused.value.lines)


def test_how_many_connections_may_wait(loaded):
    """On each replica; 0 never long-polls."""
    assert loaded("").worker.held_connections == 100
    assert loaded("limits: {held_connections: 0}\n").worker.held_connections == 0
