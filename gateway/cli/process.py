"""What commands have in common: how they are told of, the event loop, the signals that end them, what they say."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

T = TypeVar("T")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name
"""What `add_subparsers` returns."""

if TYPE_CHECKING:
    import asyncio


def command(commands: Commands, name: str, run: Callable[..., None]) -> argparse.ArgumentParser:
    """Add a command that `run` carries out, and whose docstring says what it does; return where its arguments go."""
    text = run.__doc__ or ""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def group(commands: Commands, name: str, text: str) -> Commands:
    """Add a name that commands come after; return where they go."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the event loop of the gateway's processes, and return what it returns."""
    from gateway import loop

    return loop.run(main)


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what stays without looking for garbage in it, now or later, which takes a sixth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
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


def say(line: str, *, error: bool = False) -> None:
    """Print a line, where errors go if it is one."""
    print(line, file=sys.stderr if error else sys.stdout, flush=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with a line, and a status: 1, or 2 where it was asked for the wrong way."""
    say(message, error=True)
    sys.exit(status)
