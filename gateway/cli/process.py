"""What commands have in common as processes: the event loop, the signals that end them, the line they fail with."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the event loop of the gateway's processes, and return what it returns."""
    from gateway import loop

    return loop.run(main)


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what stays without looking for garbage in it, which takes a sixth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def on_stop(wish: Callable[[], None]) -> None:
    """Have `wish` called at each SIGTERM and SIGINT."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wish)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    import asyncio

    stop = asyncio.Event()
    on_stop(stop.set)
    return stop


def fail(message: str) -> NoReturn:
    """End the command with a line and status 1."""
    import typer

    typer.echo(message, err=True)
    sys.exit(1)
