"""The event loop that every process of the gateway runs on."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is, with room for many callers, and return what it returns."""
    _raise_file_limit()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


def _raise_file_limit() -> None:
    """Take every file descriptor that the hard limit grants: each caller who waits needs one."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls its hard limit unlimited and then refuses it: the soft one has to do there.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
