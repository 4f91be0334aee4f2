"""`--serve`: simulator and gateway stay, with lines to try, and what the gateway answers and delivers is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json

from rich.console import Console
from rich.text import Text

from gateway.demo.child import DemoError
from gateway.demo.receiver import Delivery, Receiver
from gateway.demo.stage import Stage

_BODY = """-d '{"n": 1, "duration": 2}'"""


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
        bearer, url = "-H 'Authorization: Bearer demo'", self._stage.gateway_url
        callback = f"-H 'Callback-Url: {self._receiver.url('yours')}'"
        lines = (
            ("blocks until the job is done", f"curl {bearer} {url}/async {_BODY}"),
            ("202 and a poll URI", f"curl -i {bearer} -H 'Prefer: respond-async' {url}/long-poll {_BODY}"),
            ("redirected until it is done", f"curl -L {bearer} -H 'Call-Mode: long-poll' {url}/async {_BODY}"),
            ("200 at once, with links in the header", f"curl -i {bearer} -H 'Call-Mode: forget' {url}/async {_BODY}"),
            ("called back; shown below", f"curl {bearer} -H 'Call-Mode: callback' {callback} {url}/async {_BODY}"),
            ("the job's events", f"curl -N {bearer} -H 'Accept: text/event-stream' {url}/long-poll {_BODY}"),
            ("what the simulator can do and get wrong", f"curl {self._stage.simulator_url}/_sim"),
        )
        self._console.print(f"\nThe gateway stays at {url}. To try, in another terminal:\n")
        for what, line in lines:
            self._console.print(Text(f"# {what}", style="dim"))
            # Unwrapped, so that a line can be copied as it is.
            self._console.print(Text(line), soft_wrap=True)
        self._console.print("\nCtrl-C ends it. What it answers:\n")

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


def _in_short(entry: dict[str, object]) -> str:
    """Return a request's log entry as a line for people."""
    shown = [entry.get(name) for name in ("method", "path", "status", "mode", "state")]
    return " ".join(str(each) for each in shown if each is not None) + f" {entry.get('ms')} ms"
