"""The demo from start to end: the stage is set, the pairs are run, an answer is lost, the gateway is killed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import sys
import time

import aiohttp
from rich.console import Console

from gateway.demo import stage as stages
from gateway.demo.child import DemoError
from gateway.demo.conversation import AUTHORIZATION
from gateway.demo.crash import crash
from gateway.demo.doubt import doubt
from gateway.demo.pairs import run_pairs
from gateway.demo.receiver import Receiver
from gateway.demo.report import Report
from gateway.demo.stage import Stage
from gateway.demo.tryout import Tryout
from gateway.demo.upstream_side import seen_upstream

_GATEWAY_PORT, _SIMULATOR_PORT = 8080, 8090
"""Where both are known to be; taken by `--serve` when they are free."""

INTERRUPTED = 130


async def demo(*, serve: bool = False) -> int:
    """Run the demo and print what came of it; with `serve`, go on until Ctrl-C. Return the exit status.

    That is 0 where every outcome was exact and every job started once, lost answer and killed gateway or not;
    1 where not, or where the demo could not be run; 130 where it was interrupted.
    """
    console = _console()
    me = asyncio.current_task()
    assert me is not None, "this is a task"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    try:
        return await _demo(console, serve=serve)
    except DemoError as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    except asyncio.CancelledError:
        console.print("The demo was interrupted; everything it started has ended.")
        return INTERRUPTED


async def _demo(console: Console, *, serve: bool) -> int:
    report = Report(console)
    ports = (stages.free(_GATEWAY_PORT), stages.free(_SIMULATOR_PORT)) if serve else (0, 0)
    async with contextlib.AsyncExitStack() as stack:
        with console.status("starting a simulated Orchestrator and the gateway …"):
            stage = await stack.enter_async_context(stages.running(gateway_port=ports[0], simulator_port=ports[1]))
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=AUTHORIZATION))
        receiver = await stack.enter_async_context(Receiver(stage.secret, _now).serving())
        good = await _play(console, report, stage, http, receiver)
        if serve:
            await Tryout(console, stage, receiver).until_interrupted()
    return 0 if good else 1


async def _play(
    console: Console, report: Report, stage: Stage, http: aiohttp.ClientSession, receiver: Receiver
) -> bool:
    """Run what is to be shown and print it; return whether all was well."""
    with console.status("running the pairs …"):
        runs = await run_pairs(http, stage.gateway_url, receiver)
        seen = await seen_upstream(http, stage.simulator_url)
    report.pairs(runs, seen)
    with console.status("losing the answer to a start …"):
        doubted = await doubt(http, stage)
    report.doubt(doubted)
    with console.status("killing the gateway …"):
        killed = await crash(http, stage)
    report.crash(killed)
    return doubted.wrong is None and killed.wrong is None and all(run.well(seen) for run in runs)


def _console() -> Console:
    console = Console(highlight=False)
    if console.options.ascii_only and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return console


def _now() -> float:
    return time.time()  # noqa: TID251 - a webhook's timestamp is compared with the receiver's own clock
