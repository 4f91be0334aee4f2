"""The simulation of scale: queues against closed forms, the same for each seed, and the figures in docs/scaling.md."""

from __future__ import annotations

import random
import statistics

import msgspec
import pytest

from benchmarks.scale import check, costs, tables
from benchmarks.scale.__main__ import CHECKED
from benchmarks.scale.engine import Bulk, Engine, Fifo, arrivals
from benchmarks.scale.formula import Machines, Workload, mg1_wait, needs, walls
from benchmarks.scale.gateway import Setup
from benchmarks.scale.plans import VOLUMES, Plan, plan
from benchmarks.scale.scenarios import Installation


def poisson(rate, until, seed=1):
    """Give times of independent arrivals."""
    chance = random.Random(seed)
    time = chance.expovariate(rate)
    while time < until:
        yield time
        time += chance.expovariate(rate)


@pytest.mark.parametrize(
    ("rate", "services"),
    [(0.5, [1.0]), (0.8, [1.0]), (0.6, [0.2, 0.4, 2.4])],
    ids=["M/D/1 half busy", "M/D/1 busy", "M/G/1"],
)
def test_a_queue_waits_as_the_closed_form_says(rate, services):
    """Pollaczek and Khinchine's mean wait, and a server as busy as its load."""
    engine, chance = Engine(), random.Random(2)
    server = Fifo(engine)

    def visit(_):
        yield server, chance.choice(services)

    arrivals(engine, poisson(rate, 150_000), visit)
    engine.run(150_000)
    assert statistics.mean(server.waited) == pytest.approx(mg1_wait(rate, services), rel=0.06)
    assert server.busy / 150_000 == pytest.approx(rate * statistics.mean(services), rel=0.02)


def test_one_turn_serves_all_who_wait():
    """A disk that takes 3 ms bounds turns, not writes: a thousand a second wait for two turns at most."""
    engine = Engine()
    server = Bulk(engine, lambda: (0.003, 0.003))

    def visit(_):
        yield server, 20e-6

    arrivals(engine, poisson(1_000, 20), visit)
    engine.run(20)
    assert server.turns < 20 / 0.003
    assert len(server.took) > 3 * server.turns
    assert max(server.took) < 2 * 0.0035
    assert server.cpu / 20 == pytest.approx(1_000 * 20e-6, rel=0.05)


def test_a_paused_server_serves_later():
    """Whoever came meanwhile is served in one turn when it goes on."""
    engine, done = Engine(), []
    server = Bulk(engine, lambda: (0.0, 0.0))
    server.pause(5.0)

    def visit(_):
        yield server, 0.001
        done.append(engine.now)

    arrivals(engine, iter([1.0, 2.0, 3.0]), visit)
    engine.run(10)
    assert done == pytest.approx([5.001, 5.003, 5.003])
    assert server.turns == 2


def test_a_quiet_gateway_adds_what_its_parts_take():
    """Nobody waits: a start takes its CPU, two round trips and two turns, and no more."""
    given = costs.load()
    even = msgspec.structs.replace(given, replica=msgspec.structs.replace(given.replica, shape=[1.0]))
    setup = Setup(replicas=2, stores=1, network=0.001)
    result = Installation(setup, even, window=20).constant(1.0, "quiet")
    store = 2 * (0.001 + (even.store.script + even.store.turn) * 1e-6)
    assert result.start_p50 == pytest.approx((0.7 * even.replica.job * 1e-6 + store) * 1000, rel=0.01)
    assert result.answer_p50 == pytest.approx((0.3 * even.replica.job * 1e-6 + store / 2) * 1000, rel=0.01)


def test_more_than_it_holds_is_seen():
    """At twice what a replica's core can do, it is always busy and calls wait for seconds."""
    given = costs.load()
    rate = 2e6 / given.replica.job
    result = Installation(Setup(replicas=1, stores=1, duration=2.0), given, window=4).constant(rate, "too much")
    assert result.replica_busy == pytest.approx(1.0, abs=0.01)
    assert result.start_p99 > 500


def test_a_seed_says_it_all():
    """The same seed gives the same figures, another one others."""
    given = costs.load()
    once, again, other = (plan(given, VOLUMES[0], seed=seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_the_wall_is_where_the_second_machine_begins():
    """What the formula calls full is what it plans one machine for."""
    given = costs.load()
    first = {wall.what: wall.jobs for wall in walls(given, Workload(1.0))}
    for jobs, stores in ((0.99, 1), (1.01, 2)):
        assert needs(given, Workload(first["one Redis server's memory"] * jobs)).stores == stores
    twice = Machines(store_memory=2 * Machines().store_memory)
    assert walls(given, Workload(1.0), twice) != walls(given, Workload(1.0))


def test_the_simulation_agreed_with_a_real_run():
    """When the costs were measured last."""
    compared = msgspec.json.decode(CHECKED.read_bytes(), type=list[check.Compared])
    assert {each.what for each in compared} > set(check.CPUS)
    assert check.agrees(compared)


def test_the_document_shows_what_was_measured():
    """The tables that are arithmetic, at least: `python -m benchmarks.scale --write` writes them all."""
    given, text = costs.load(), tables.DOCUMENT.read_text()
    volumes = [Plan(Workload(jobs), needs(given, Workload(jobs)), 1, ()) for jobs in VOLUMES]
    for part in (tables.measured(given), tables.walled(given), tables.planned(volumes, given)):
        assert part in text
