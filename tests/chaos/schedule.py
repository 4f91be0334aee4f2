"""The plan: what is done to whom and when, as data that a seed alone decides.

Each replica and the store have a line of their own, on which one fault follows another with pauses between them; calm
stretches, in which nothing is done to anybody, come in regular turns, so that waits can be judged in health too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from random import Random

import msgspec

from tests.chaos.history import REDIS


class Kind(enum.StrEnum):
    """What can be done."""

    KILL = "kill"
    """kill -9, and a new process a while later. Of the store: on the same append-only file."""
    STOP = "stop"
    """SIGSTOP, longer than a lease, then SIGCONT."""
    TERM = "term"
    """SIGTERM, then a new process."""
    STORE_PARTITION = "store-partition"
    STORE_BLACK_HOLE = "store-black-hole"
    STORE_STALL = "store-stall"
    STORE_RESET = "store-reset"
    STORE_CUT_BEFORE_REPLY = "store-cut-before-reply"
    STORE_CUT_MID_REPLY = "store-cut-mid-reply"
    STORE_LATENCY = "store-latency"
    UPSTREAM_PARTITION = "upstream-partition"
    UPSTREAM_BLACK_HOLE = "upstream-black-hole"
    UPSTREAM_STALL = "upstream-stall"
    UPSTREAM_RESET = "upstream-reset"
    UPSTREAM_CUT_BEFORE_REPLY = "upstream-cut-before-reply"
    UPSTREAM_CUT_MID_REPLY = "upstream-cut-mid-reply"
    UPSTREAM_LATENCY = "upstream-latency"


class Step(msgspec.Struct, frozen=True, order=True):
    """Do `kind` to `target` (a replica's number, or `REDIS`) at `at`, for `lasts` seconds; seconds from the start."""

    at: float
    target: int
    kind: Kind
    lasts: float


class Terms(msgspec.Struct, frozen=True):
    """What a plan is made of."""

    seed: int
    seconds: float
    replicas: int = 3
    lease: float = 1.5
    pause: float = 3.0
    """Seconds between two faults of one line, on average."""
    store_pause: float = 12.0
    calm_every: float = 25.0
    calm: float = 7.0


_LASTS = {
    Kind.KILL: (0.2, 2.5),
    Kind.TERM: (0.0, 0.5),
    Kind.STORE_CUT_BEFORE_REPLY: (0.1, 0.6),
    Kind.STORE_CUT_MID_REPLY: (0.1, 0.6),
    Kind.UPSTREAM_CUT_BEFORE_REPLY: (0.1, 0.6),
    Kind.UPSTREAM_CUT_MID_REPLY: (0.1, 0.6),
    Kind.STORE_RESET: (0.0, 0.0),
    Kind.UPSTREAM_RESET: (0.0, 0.0),
}
_USUAL = (0.3, 3.0)
_APART = 0.05

_WEIGHTS = dict.fromkeys(Kind, 1.0) | {Kind.KILL: 4.0, Kind.STOP: 4.0, Kind.TERM: 2.0}
_OF_THE_STORE = {Kind.KILL: 2.0, Kind.STOP: 1.0}


def plan(terms: Terms) -> tuple[Step, ...]:
    """Return the steps of a run, in order of time. The same terms give the same plan."""
    steps: list[Step] = []
    for target in range(terms.replicas):
        random = Random(f"{terms.seed} replica {target}")
        steps += _line(terms, target, terms.pause, _WEIGHTS, random)
    steps += _line(terms, REDIS, terms.store_pause, _OF_THE_STORE, Random(f"{terms.seed} store"))
    return tuple(sorted(steps))


def _line(terms: Terms, target: int, pause: float, weights: dict[Kind, float], random: Random) -> Iterator[Step]:
    at = random.uniform(0.5, pause)
    while at < terms.seconds:
        [kind] = random.choices(list(weights), weights=list(weights.values()))
        lasts = _lasts(kind, target, terms, random)
        if at + lasts < _next_calm(at, terms):
            yield Step(round(at, 3), target, kind, round(lasts, 3))
            at += lasts + _APART + random.expovariate(1 / pause)
        else:
            at = _next_calm(at, terms) + terms.calm + random.uniform(0.0, pause)


def _lasts(kind: Kind, target: int, terms: Terms, random: Random) -> float:
    if kind is Kind.STOP and target != REDIS:
        return random.uniform(0.8, 2.5) * terms.lease
    return random.uniform(*_LASTS.get(kind, _USUAL))


def _next_calm(at: float, terms: Terms) -> float:
    """Return when the next calm stretch begins, or the one that `at` is in."""
    turn = terms.calm_every + terms.calm
    return int(at // turn) * turn + terms.calm_every
