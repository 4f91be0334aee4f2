"""Whatever replicas do in whatever order, with replies lost, rows lost and time passing: the scripts do as the model.

The model says what every verb answers and what is kept for how long; besides, whatever it says, nobody is followed by
two, nothing stays forever, an end is an end, and what was refused has changed nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gateway.store.redis import RedisStore
from gateway.store.scripts import source
from gateway.store.settings import StoreSettings
from tests.store.conftest import Fake
from tests.store.machine import ORDERS, Replicas


class Bench:
    """The machine on `server`, with stores of the class `kind`."""

    def __init__(self, server: Any, kind: type[RedisStore] = RedisStore) -> None:
        self._server = server
        self._kind = kind
        self._quick = kind is not RedisStore

    def _open(self, chosen: StoreSettings, **more: Any) -> RedisStore:
        return self._server.store(chosen, self._kind, **more)

    def check(self, kinds: Sequence[str] = tuple(ORDERS), *, examples: int) -> None:
        """Let anything happen, with calls of these `kinds`."""
        options = settings(
            max_examples=examples,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            # Explaining a failure has every line traced, which takes ten times as long; and mutants need no example.
            phases=[Phase.generate] if self._quick else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        with asyncio.Runner() as runner, self._client(runner) as client:
            run_state_machine_as_test(lambda: Replicas(runner, self._open, client, kinds), settings=options)

    def play(self, scene: Callable[[Replicas], None]) -> None:
        """Let one thing happen after the other."""
        with asyncio.Runner() as runner, self._client(runner) as client:
            machine = Replicas(runner, self._open, client, tuple(ORDERS))
            try:
                scene(machine)
            finally:
                machine.teardown()

    @contextmanager
    def _client(self, runner: asyncio.Runner) -> Iterator[Any]:
        client = self._server.client()
        try:
            yield client
        finally:
            runner.run(client.aclose())


@pytest.fixture(autouse=True)
def few_partitions(monkeypatch):
    """A take-over asks eight partitions and not 256: all that is here is in two of them."""
    monkeypatch.setattr("gateway.store.keys.PARTITIONS", 8)


@pytest.mark.timeout(300)  # thousands of verbs, one after the other, on a machine that may be busy
@pytest.mark.parametrize(("name", "examples"), [("fakeredis", 20), ("debian_redis", 60)])
def test_the_scripts_do_as_the_model_says(request, name, examples):
    """On a server in Python, and on a real one."""
    Bench(Fake() if name == "fakeredis" else request.getfixturevalue(name)).check(examples=examples)


def without(script: str, protection: str, instead: str = "") -> type[RedisStore]:
    """Return the store with one protection less."""
    assert source(script).count(protection) == 1, "the script has changed: so must the mutant"

    class Mutant(RedisStore):
        """A store that is not to be used."""

        def _source(self, name: str) -> str:
            text = super()._source(name)
            return text.replace(protection, instead) if name == script else text

    return Mutant


MUTANTS = {
    "a save of anybody's": ("save", "held[2] ~= follower or "),
    "a save applied twice": ("save", "if held[3] == operation then", "if false then"),
    "an end that is followed on": ("save", "    redis.call('SREM', KEYS[2], id)\n"),
    "a row followed by two": ("take", "ARGV[3])\nredis.call('SREM', KEYS[3], ARGV[1])\n", "ARGV[3])\n"),
}
"""A script, the protection that it loses, and what stands there instead."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine_finds_what_it_is_for(debian_redis, mutant):
    """Each protection taken out of its script is missed: a machine that cannot fail would prove nothing."""
    bench = Bench(debian_redis, without(*MUTANTS[mutant]))
    with pytest.raises(AssertionError):
        bench.check(["plain"], examples=150)


def outdated(machine: Replicas) -> None:
    """The follower itself saves what follows a record that it has gone on from."""
    row = machine.accept("plain")
    machine.go_on(row)
    machine.go_on(row)


def over(machine: Replicas) -> None:
    """One that was paused puts a job back that has ended and was erased."""
    row = machine.accept("plain")
    machine.go_on(row, "end")
    machine.call("erase", row.id)
    machine.go_on(row, restores=True)


def chosen_again(machine: Replicas) -> None:
    """A call with an id that was chosen before comes when its key is free and its record gone."""
    row = machine.accept("chosen")
    machine.go_on(row, "refused")
    machine.call("erase", row.id)
    machine.accept("chosen")


def given_up(machine: Replicas) -> None:
    """A shared job that is being canceled goes on when an equal call has a job of its own."""
    row = machine.accept("run")
    machine.call("cancel", row.id, 1)
    machine.accept("run")
    machine.go_on(row)


def shared(machine: Replicas) -> None:
    """A call joins another's job, and its reply is lost; then the other gives its share up."""
    row = machine.accept("run")
    machine.accept("run", again=True)
    machine.call("cancel", row.id, 1)


def shared_and_lost(machine: Replicas) -> None:
    """One of two that share a job gives it up after it was put back; somebody joins."""
    row = machine.accept("run")
    machine.accept("run")
    machine.lose(row.id, rest=False)
    machine.go_on(row, restores=True)
    machine.call("cancel", row.id, 1)
    machine.accept("run")


SCENES = {
    "a save on any revision": (outdated, "save", " or tonumber(held[1]) > tonumber(expected)"),
    "a job that is over is put back": (over, "save", "elseif redis.call('EXISTS', KEYS[4])", "elseif 1 == 0 and 0"),
    "a job that is over begins again": (chosen_again, "create", " or redis.call('EXISTS', KEYS[3]) == 1"),
    "a key taken from its new job": (given_up, "save", "(not holder or holder == id) and key_keep", "key_keep"),
    "a share for every reply that was lost": (shared, "create", "if not mine then", "if true then"),
    "a cancel by one of many": (shared, "cancel", "< shares then", "< 1 then"),
    "a cancel by one of those forgotten": (shared_and_lost, "save", "ARGV[15] == 'shared'", "false"),
}
"""What chance takes long to come by: what happens, then as above."""


@pytest.mark.parametrize("mutant", SCENES)
def test_the_model_finds_what_chance_seldom_does(debian_redis, mutant):
    """The same for protections that few sequences need: the scripts as they are pass, those without it do not."""
    scene, *change = SCENES[mutant]
    Bench(debian_redis).play(scene)
    bench = Bench(debian_redis, without(*change))
    with pytest.raises(AssertionError):
        bench.play(scene)
