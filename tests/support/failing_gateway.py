"""The command line of the gateway with something wrong in it: tests kill, stop or cripple a replica at a chosen point.

    python -m tests.support.failing_gateway --patch kill@after-intent serve gateway.yaml
    python -m tests.support.failing_gateway --patch no-fence --patch no-take-over serve gateway.yaml

Product code has no failpoints. The adapters behind its ports are wrapped here, before the command line runs, so what
fails is an ordinary gateway at an exact place. `--patch` comes before the command and may be given again:

`SIGNAL@POINT[:N]`
    At the N-th passing of a point (the first, without N) the process sends itself a signal: `kill` (-9), `stop`
    (SIGSTOP: a paused replica, for whoever sends SIGCONT) or `term`. `POINTS` says where the points are.
`hold@POINT`
    Nothing that comes to the point gets past it, and each is told of on standard error, `{"event": "held", …}`: so many
    jobs can stand at one point when the process is killed from outside.
`NAME[:ARGUMENT]`
    A protection is switched off, or the host lies. `FLAWS` says what there is. They exist to prove that tests and
    checkers see what the protection is for.

An unknown patch, and one that finds nothing to change, ends the process: a test must not pass because nothing broke.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import inspect
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.core.job import Job, State
from gateway.store import codec, jobs, verbs
from gateway.store.port import Beat, Save, Saved
from gateway.store.redis import RedisStore
from gateway.upstream.orchestrator import Orchestrator
from gateway.worker.postman import Postman

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
HOLD = "hold"

Condition = Callable[..., bool]
"""Given the arguments of a call (without `self`), and its result as `result` once there is one."""


@dataclass(frozen=True)
class Point:
    """Where a process can be struck: before or after (`after`) a call of `owner.method` that meets `condition`."""

    owner: type
    method: str
    after: bool = False
    condition: Condition = lambda *_, **__: True


def _saves(*states: State) -> Condition:
    """Return the condition that a save is into one of `states`; without any, into an end."""
    return lambda save, *_, **__: save.job.state in states if states else save.job.state.terminal


def _any_rows(*_: Any, result: list[Any], **__: Any) -> bool:
    return bool(result)


POINTS = {
    # A call that is understood, and nothing of it is in the store.
    "before-create": Point(RedisStore, "create"),
    # The record is there, nobody follows it yet.
    "after-create": Point(RedisStore, "create", after=True),
    # It is followed; that the start is about to go out is not yet said.
    "before-intent": Point(RedisStore, "save", condition=_saves(State.STARTING)),
    # It is said, and no byte has left.
    "after-intent": Point(RedisStore, "save", after=True, condition=_saves(State.STARTING)),
    # The upstream has answered the start, which only this process knows.
    "after-start": Point(Orchestrator, "start", after=True),
    # The upstream's answer is in the store.
    "after-running": Point(RedisStore, "save", after=True, condition=_saves(State.RUNNING)),
    # Any read of a status or an output has been answered.
    "after-read": Point(Orchestrator, "read", after=True),
    # The outcome has been read, which only this process knows.
    "before-end": Point(RedisStore, "save", condition=_saves()),
    # The outcome is in the store, and nobody has been told.
    "after-end": Point(RedisStore, "save", after=True, condition=_saves()),
    # A callback has reached its receiver, and that it did is not yet said.
    "after-delivery": Point(Postman, "deliver", after=True),
    # Rows of a dead replica are this one's in the store, and nobody follows them here.
    "in-take-over": Point(RedisStore, "take_over", after=True, condition=_any_rows),
    # A heartbeat is about to be sent; the first is the one that joins.
    "before-beat": Point(RedisStore, "beat"),
}


def strike(name: str, action: str, passing: int) -> None:
    """Have this process send itself a signal at the `passing`-th passing of a point, or hold whatever comes there."""
    point, count = POINTS[name], itertools.count(1)

    async def pass_by(*args: Any, **kwargs: Any) -> None:
        if not point.condition(*args, **kwargs):
            return
        if action == HOLD:
            print(json.dumps({"event": "held", "point": name}), file=sys.stderr, flush=True)  # noqa: T201 - see above
            await asyncio.Event().wait()
        if next(count) == passing:
            os.kill(os.getpid(), SIGNALS[action])

    original = getattr(point.owner, point.method)

    @functools.wraps(original)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not point.after:
            await pass_by(*args, **kwargs)
        result = await original(self, *args, **kwargs)
        if point.after:
            await pass_by(*args, **kwargs, result=result)
        return result

    @functools.wraps(original)
    async def batches(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for result in original(self, *args, **kwargs):
            await pass_by(*args, **kwargs, result=result)
            yield result

    setattr(point.owner, point.method, batches if inspect.isasyncgenfunction(original) else call)


# Flaws.


def no_fence(_: str) -> None:
    """Saves of jobs are no longer fenced: a replica that wakes up overwrites what the new follower has written."""
    _rewrite("save", ("held[2] ~= follower or tonumber(held[1]) > tonumber(expected)", "false"))


def no_intent(_: str) -> None:
    """A start goes out although its intent is not in the store: who takes the job over starts it again."""
    unsaid: set[str] = set()
    original = RedisStore.save

    async def save(self: RedisStore, save: Save, follower: str) -> Saved:
        if save.job.state is State.STARTING:
            unsaid.add(save.job.id)
            return Saved.SAVED
        if save.job.id in unsaid and (saved := await original(self, _one_earlier(save), follower)) is Saved.SAVED:
            unsaid.discard(save.job.id)
            return saved
        return await original(self, save, follower)

    _replace(RedisStore, "save", save)


def _one_earlier(save: Save) -> Save:
    return msgspec.structs.replace(save, revision=save.revision - 1)


def no_take_over(_: str) -> None:
    """Nobody is ever dead to this replica: it takes nothing over."""
    original = RedisStore.beat

    async def beat(self: RedisStore, incarnation: str, *, join: bool = False) -> Beat:
        return msgspec.structs.replace(await original(self, incarnation, join=join), dead=())

    _replace(RedisStore, "beat", beat)


def start_twice(_: str) -> None:
    """Every start is sent a second time, as a careless client does that repeats what was answered with an error."""
    original: Callable[..., Awaitable[Any]] = Orchestrator.start

    async def start(self: Orchestrator, *args: Any, **kwargs: Any) -> Any:
        await original(self, *args, **kwargs)
        return await original(self, *args, **kwargs)

    _replace(Orchestrator, "start", start)


def wall_clock(seconds: str) -> None:
    """The host's wall clock is wrong by so many seconds (`wall-clock:+3600`)."""
    original, offset = time.time, float(seconds)
    time.time = lambda: original() + offset
    time.time_ns = lambda: int((original() + offset) * 1e9)


def later_version(_: str) -> None:
    """The gateway is of a version that writes records of a later schema; it reads those of this one too."""
    codec.SCHEMA += 1
    original = jobs.encode

    def encode(record: Any) -> bytes:
        return original(msgspec.structs.replace(record, schema=codec.SCHEMA) if isinstance(record, Job) else record)

    jobs.encode = encode


def pings(every: str) -> None:
    """A parent pings its workers more often, each so many seconds, and so knows sooner that one is stuck."""
    from gateway.app.workers import worker

    worker._PING_EVERY = float(every)


def impatient(within: str) -> None:
    """A parent has little patience with workers that are to go: so many seconds, however long they may drain."""
    from gateway.app.workers import worker

    worker.stops_within = lambda _drain: float(within)


FLAWS: dict[str, Callable[[str], None]] = {
    "no-fence": no_fence,
    "no-intent": no_intent,
    "no-take-over": no_take_over,
    "start-twice": start_twice,
    "wall-clock": wall_clock,
    "later-version": later_version,
    "pings": pings,
    "impatient": impatient,
}


def _replace(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, functools.wraps(getattr(owner, name))(function))


def _rewrite(script: str, *changes: tuple[str, str]) -> None:
    """Have the store run `script` with each (old, new) replaced."""
    original, text = verbs.source, verbs.source(script)
    for old, new in changes:
        if old not in text:
            sys.exit(f"{script}.lua has no {old!r} any more: this patch would change nothing")
        text = text.replace(old, new)
    verbs.source = lambda name: text if name == script else original(name)


def apply(patch: str) -> None:
    """Apply one `--patch`. Exits where there is none of that name."""
    name, _, argument = patch.partition(":")
    if name in FLAWS:
        FLAWS[name](argument)
        return
    action, _, point = name.partition("@")
    if action not in (HOLD, *SIGNALS) or point not in POINTS:
        sys.exit(f"no patch {patch!r}: there are {[HOLD, *SIGNALS]} @ {list(POINTS)}, and {list(FLAWS)}")
    strike(point, action, int(argument or 1))


def main() -> None:
    """Apply the patches and run the rest of the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--patch", action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    for patch in given.patch:
        apply(patch)
    from gateway.cli import main as run

    sys.argv[1:] = given.command
    run()


if __name__ == "__main__":
    main()
