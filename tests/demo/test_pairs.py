from __future__ import annotations

import os
from pathlib import Path

import gateway.demo
from gateway.config import load
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.demo.callers import CALLERS
from gateway.demo.pairs import PAIRS, ROUTES, Pair, Run
from gateway.demo.upstream_side import Seen

CONFIG = Path(gateway.demo.__file__).with_name("demo.yaml")
PAIR = Pair(UpstreamMode.ASYNC, CallerMode.SYNC)
ONCE = Seen(starts=1, jobs=1, reads=4, ended_at=10.0)


def test_no_mode_is_forgotten():
    """Every mode of either side has its route and its caller, and every pair is run under a name of its own."""
    assert set(ROUTES) == set(UpstreamMode)
    assert set(CALLERS) == set(CallerMode)
    assert len({pair.tag for pair in PAIRS}) == len(UpstreamMode) * len(CallerMode)


def test_the_configuration_stands_alone_and_has_the_routes(monkeypatch):
    """demo.yaml is good without the demo's variables, and fixes each route's upstream mode."""
    for name in [name for name in os.environ if name.startswith("CALLMODE_")]:
        monkeypatch.delenv(name)
    settings = load(CONFIG)
    assert {route.policy.upstream_mode: route.path for route in settings.web.routes} == ROUTES


def test_a_pair_is_well_only_if_exact_and_started_once():
    """An exact outcome of a job that ran twice, or of none that the upstream knows, is not well."""
    run = Run(PAIR, "200", 0, None, 10.1)
    assert run.well({PAIR.tag: ONCE})
    assert not Run(PAIR, "200", 0, "bytes differ", 10.1).well({PAIR.tag: ONCE})
    assert not run.well({})
    for starts, jobs in ((2, 1), (2, 2), (1, 0)):
        assert not run.well({PAIR.tag: Seen(starts, jobs, 4, 10.0)})


def test_the_delay_is_from_the_jobs_end_to_the_answer():
    """It is not said where there is no answer, no end, or no way to hear of the end."""
    assert round(Run(PAIR, "200", 0, None, 10.1).delay({PAIR.tag: ONCE}), 3) == 0.1
    assert Run(PAIR, "200", 0, None, 9.999).delay({PAIR.tag: ONCE}) == 0
    assert Run(PAIR, "", 0, "no outcome").delay({PAIR.tag: ONCE}) is None
    assert Run(PAIR, "200", 0, None, 10.1).delay({}) is None
    assert Run(PAIR, "200", 0, None, 10.1).delay({PAIR.tag: Seen(1, 1, 4, None)}) is None
    forgotten = Pair(UpstreamMode.FORGET, CallerMode.SYNC)
    assert Run(forgotten, "202", 0, None, 10.1).delay({forgotten.tag: ONCE}) is None
