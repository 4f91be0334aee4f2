"""What commands have in common as processes: the event loop, the signals that end them, the line they fail with."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is, and return what it returns."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def fail(message: str) -> NoReturn:
    """End the command with a line and status 1."""
    typer.echo(message, err=True)
    sys.exit(1)
