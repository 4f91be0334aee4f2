"""The calls that clients make: what each asks for, drawn from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import urlencode

from tests.chaos.history import Call
from tests.chaos.settings import FOUND, Settings

_METHODS = {"POST": 6, "PUT": 2, "DELETE": 1, "GET": 1}

_KEYED, _CHOSEN, _FAULTY, _CANCELED = 0.5, 0.1, 0.2, 0.1
"""How often a call has a key, chooses its job's id, asks for a fault, is canceled."""

_ON_START = ("502-after", "502-before", "504-after", "reset-after", "reset-before", "close-after", "stall", "500-cold")
_ON_READ = ("502-before", "503-before", "reset-before", "close-before", "stall-before", "401")
_ON_OUTPUT = ("truncated", "truncated-close", "reset-in-head", "reset-in-body", "502-before")
_ON_JOB = ("502-before", "503-before", "reset-before", "stall-before")
_READS = {"async": "status", "again": "status", "found": "status", "long-poll": "leg"}


def calls(settings: Settings, random: Random) -> Iterator[Call]:
    """Yield calls without end; `at` is to be set when one is made."""
    number = 0
    while True:
        number += 1
        route = random.choice(settings.routes)
        tag = f"call-{settings.seed}-{number}-{random.getrandbits(48):012x}"
        chosen = random.random() < _CHOSEN
        yield Call(
            call=tag,
            at=0.0,
            mode=random.choice(settings.modes),
            route=route,
            method=random.choices(list(_METHODS), weights=list(_METHODS.values()))[0],
            token="a" if random.random() < 0.7 else "b",
            key=f"key-{tag}" if chosen or random.random() < _KEYED else None,
            duration=round(random.choice((0.0, random.uniform(0.1, 1.0), random.uniform(0.5, 4.0))), 3),
            fault=_fault(route, random) if settings.faults and random.random() < _FAULTY else None,
            chosen=chosen,
            cancel=route in FOUND and random.random() < _CANCELED,
        )


def _fault(route: str, random: Random) -> str:
    kinds = [[f"{name}@start" for name in _ON_START] + ["429@start"]]
    if route == "jobs":
        kinds.append([f"{name}@job" for name in _ON_JOB])
    if route in _READS:
        kinds.append([f"{name}@{_READS[route]}" for name in _ON_READ])
        kinds.append([f"{name}@output" for name in _ON_OUTPUT])
    return random.choice(random.choice(kinds))


def arguments(call: Call) -> dict[str, Any]:
    """Return the job's arguments: those of the call, and what drives the simulator."""
    told: dict[str, Any] = {"id": call.call, "duration": call.duration}
    if call.fault is not None:
        name, _, point = call.fault.partition("@")
        told |= {"fault": name, "fault_on": point}
        if name == "429":
            told["fault_times"] = 1
    return told


def request_of(call: Call) -> tuple[str, str, dict[str, Any]]:
    """Return the method and the path of a call, and its body as arguments for aiohttp; a GET has all in its query."""
    told = arguments(call)
    if call.chosen:
        return "PUT", f"/-/jobs/{call.key}?route={call.route}", {"json": told}
    if call.method == "GET":
        return "GET", f"/{call.route}?{urlencode(told)}", {}
    return call.method, f"/{call.route}", {"json": told}


def key_header(call: Call) -> dict[str, str]:
    """Return the fields that tell repetitions of a call."""
    return {} if call.key is None or call.chosen else {"Idempotency-Key": call.key}
