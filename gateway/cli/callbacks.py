"""`callmode callbacks`: what could not be delivered, and sending it again, over a running gateway's admin port."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from gateway.cli.asking import ADMIN, ask, quoted
from gateway.cli.process import Commands, command, fail, group, say


def add(commands: Commands) -> None:
    """Add the commands."""
    callbacks = group(commands, "callbacks", "Callback deliveries that were given up, and sending them again.")
    listing = command(callbacks, "list", list_dead)
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many at most, the newest first")
    listing.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")
    sending = command(callbacks, "redeliver", redeliver)
    sending.add_argument("ids", nargs="*", metavar="ID", help="which ones")
    sending.add_argument("--all", action="store_true", dest="every", help="all that have this status")
    for parser in (listing, sending):
        parser.add_argument(
            "--status",
            default="failed",
            help="failed: every attempt failed (default); disabled: the receiver answered 410",
        )
        parser.add_argument("--url", default=ADMIN, help="the gateway's admin port (default: %(default)s)")


def list_dead(*, status: str, limit: int, as_json: bool, url: str) -> None:
    """List them, one a line: id, job, when and how the last attempt went, URL."""
    for number, delivery in enumerate(_dead(url, status)):
        if number >= limit:
            break
        say(json.dumps(delivery) if as_json else _line(delivery))


def redeliver(ids: list[str], *, every: bool, status: str, url: str) -> None:
    """Begin the schedule of deliveries anew, at once, under their old `webhook-id`. 1 if any could not be."""
    if every == bool(ids):
        fail("name deliveries by their ids, or say --all")
    # Read whole before any is sent again: what is sent again leaves the list.
    wanted = ids or [str(delivery["id"]) for delivery in _dead(url, status)]
    failed = False
    for each in wanted:
        code, answer = ask(url, f"/-/callbacks/{quoted(each)}/redeliver", method="POST")
        failed = failed or code != 202
        say(f"{each}\t{'due now' if code == 202 else answer.get('detail', code)}", error=code != 202)
    sys.exit(1 if failed else 0)


def _dead(url: str, status: str) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        query = f"status={quoted(status)}" + (f"&cursor={cursor}" if cursor else "")
        code, page = ask(url, f"/-/callbacks?{query}")
        if code != 200:
            fail(str(page.get("detail", code)))
        yield from page["callbacks"]
        cursor = page["next"]
        if cursor is None:
            return


def _line(delivery: dict[str, Any]) -> str:
    last = delivery["attempts"][-1] if delivery["attempts"] else {}
    how = last.get("status") or last.get("error") or "-"
    return "\t".join((delivery["id"], delivery["job"], last.get("at", "-"), str(how), delivery["url"]))
