"""`--serve`: simulator and gateway stay, with lines to try, and what the gateway answers and delivers is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json

from rich.console import Console
from rich.text import Text

from gateway.demo.child import DemoError
from gateway.demo.conversation import AUTHORIZATION
from gateway.demo.receiver import Delivery, Receiver
from gateway.demo.stage import Stage

_BODY = '{"n": 1, "duration": 2}'
_LOST = '{"n": 1, "fault": "502-after"}'
_LONG = '{"n": 1, "duration": 60}'


class Tryout:
    """What goes on after the table, until somebody has seen enough."""

    def __init__(self, console: Console, stage: Stage, receiver: Receiver) -> None:
        self._console = console
        self._stage = stage
        self._receiver = receiver

    async def until_interrupted(self) -> None:
        """Print lines to try, and what comes of them. Returns on Ctrl-C; raises DemoError if a process ends."""
        self._print_lines()
        self._receiver.on_other = self._delivered
        self._stage.gateway.on_line = self._logged
        with contextlib.suppress(asyncio.CancelledError):
            raise DemoError(f"the {await self._stage.broken()} ended by itself")
        self._console.print("\nThat was the demo; everything it started ends now.")

    def _print_lines(self) -> None:
        url = self._stage.gateway_url
        callback = f"Callback-Url: {self._receiver.url('yours')}"
        lines = (
            ("blocks until the job is done", _curl("", f"{url}/async")),
            ("202 and a poll URI", _curl("-i", f"{url}/long-poll", "Prefer: respond-async")),
            ("redirected until it is done", _curl("-L", f"{url}/async", "Call-Mode: long-poll")),
            ("200 at once; the links in its header know the rest", _curl("-i", f"{url}/async", "Call-Mode: forget")),
            ("called back: see below", _curl("-i", f"{url}/long-poll", "Call-Mode: callback", callback)),
            ("the job's events, the outcome last", _curl("-N", f"{url}/async", "Accept: text/event-stream")),
            ("the answer to its start is lost; it is found again", _curl("", f"{url}/jobs", body=_LOST)),
            ("canceled after a second", _curl("-i", f"{url}/jobs", "Cancel-After: 1", body=_LONG)),
            ("what a job can be told to do, or to get wrong", f"curl {self._stage.simulator_url}/_sim"),
        )
        self._console.print(f"\nThe gateway is at {url}. Try, in another terminal:\n")
        for what, line in lines:
            self._console.print(Text(f"# {what}", style="dim"))
            # Unwrapped, so that it can be copied as it is.
            self._console.print(Text(line), soft_wrap=True)
        self._console.print("\nCtrl-C ends it. Until then, what it answers:\n")

    def _logged(self, line: str) -> None:
        """Show the gateway's line about a request; its other lines are not for this place."""
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("event") == "request":
                self._console.print(Text(_in_short(entry)))

    def _delivered(self, delivery: Delivery) -> None:
        signature = delivery.forged or "signature verified"
        body = delivery.outcome.body.decode(errors="replace").strip()
        self._console.print(Text(f"callback {delivery.outcome.status} {body} ({signature})"))


def _curl(option: str, url: str, *headers: str, body: str = _BODY) -> str:
    """Return a command line that fits 80 columns, header fields on lines of their own."""
    first = f"curl {option} {url} -d '{body}'".replace("  ", " ")
    bearer = (f"{name}: {value}" for name, value in AUTHORIZATION.items())
    return " \\\n    ".join([first, *(f"-H '{each}'" for each in (*bearer, *headers))])


def _in_short(entry: dict[str, object]) -> str:
    """Return a request's log entry as a line for people."""
    shown = [entry.get(name) for name in ("method", "path", "status", "mode", "state")]
    return " ".join(str(each) for each in shown if each is not None) + f" {entry.get('ms')} ms"
