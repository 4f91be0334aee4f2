"""`callmode callbacks`: what could not be delivered, and sending it again, over a running gateway's admin port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.asking import ADMIN, ask, quoted
from gateway.cli.process import fail

callbacks_app = typer.Typer(
    help="Callback deliveries that were given up, and sending them again.", no_args_is_help=True
)

_URL = typer.Option(help="The gateway's admin port.")
_STATUS = typer.Option(help="failed: every attempt failed; disabled: the receiver answered 410.")


@callbacks_app.command("list")
def list_dead(
    status: Annotated[str, _STATUS] = "failed",
    limit: Annotated[int, typer.Option(help="How many at most, the newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    url: Annotated[str, _URL] = ADMIN,
) -> None:
    """List them, one a line: id, job, when and how the last attempt went, URL."""
    for number, delivery in enumerate(_dead(url, status)):
        if number >= limit:
            break
        typer.echo(json.dumps(delivery) if as_json else _line(delivery))


@callbacks_app.command("redeliver")
def redeliver(
    ids: Annotated[list[str] | None, typer.Argument(help="Which ones, by their ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that have this status.")] = False,
    status: Annotated[str, _STATUS] = "failed",
    url: Annotated[str, _URL] = ADMIN,
) -> None:
    """Begin the schedule of deliveries anew, at once, under their old `webhook-id`. 1 if any could not be."""
    if every == bool(ids):
        fail("name deliveries by their ids, or say --all")
    # Read whole before any is sent again: what is sent again leaves the list.
    wanted = ids or [str(delivery["id"]) for delivery in _dead(url, status)]
    failed = False
    for each in wanted:
        code, answer = ask(url, f"/-/callbacks/{quoted(each)}/redeliver", method="POST")
        failed = failed or code != 202
        typer.echo(f"{each}\t{'due now' if code == 202 else answer.get('detail', code)}", err=code != 202)
    raise typer.Exit(1 if failed else 0)


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
