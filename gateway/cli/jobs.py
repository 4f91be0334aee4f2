"""`callmode jobs …`: an operator's look at a job, and a hand for one that needs it, over a running gateway's ports."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.asking import ADMIN, ask, quoted
from gateway.cli.process import fail

jobs_app = typer.Typer(
    help="Look at a job, cancel it, or say what became of it. A caller's own port (--url) asks for CALLMODE_TOKEN.",
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as in `Job-Id`.")]
Url = Annotated[str, typer.Option(help="A port of the gateway: the admin port, or the one of callers.")]


@jobs_app.command()
def show(job_id: JobId, url: Url = ADMIN) -> None:
    """Print the job's monitor."""
    typer.echo(json.dumps(_ask("GET", url, job_id), indent=2))


@jobs_app.command()
def cancel(job_id: JobId, url: Url = ADMIN) -> None:
    """Ask for the job to be canceled: on the admin port for everybody who shares it."""
    _tell(_ask("POST", url, job_id, "cancel"))


@jobs_app.command()
def resolve(
    job_id: JobId,
    never_ran: Annotated[bool, typer.Option("--never-ran", help="Nothing was started: it may be sent again.")] = False,
    running: Annotated[str | None, typer.Option(metavar="KEY", help="It runs, or ran, under this key.")] = None,
    ended: Annotated[int | None, typer.Option(metavar="STATUS", help="It has ended with this HTTP status.")] = None,
    body: Annotated[Path | None, typer.Option(help="With --ended: the outcome's body; - reads standard input.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="With --ended: `Name: value` of the outcome.")] = None,
    url: Url = ADMIN,
) -> None:
    """Say what became of a job whose start is in doubt, after looking in Orchestrator."""
    if [never_ran, running is not None, ended is not None].count(True) != 1:
        raise typer.BadParameter("say one of --never-ran, --running KEY, --ended STATUS")
    if ended is None and (body is not None or header):
        raise typer.BadParameter("--body and --header go with --ended")
    if ended is not None:
        verdict: dict[str, object] = {"verdict": "ended", "status": ended, **_outcome(body, header or [])}
    else:
        verdict = {"verdict": "never-ran"} if running is None else {"verdict": "running", "key": running}
    _tell(_ask("POST", url, job_id, "resolve", verdict))


def _outcome(body: Path | None, header: list[str]) -> dict[str, object]:
    headers = dict(_field(line) for line in header)
    if body is None:
        return {"headers": headers}
    try:
        content = sys.stdin.buffer.read() if str(body) == "-" else body.read_bytes()
    except OSError as error:
        fail(f"{body} cannot be read: {error.strerror}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"headers": headers, "bodyBase64": base64.b64encode(content).decode()}
    if _is_json(text) and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    return {"headers": headers, "body": text}


def _field(line: str) -> tuple[str, str]:
    name, separator, value = line.partition(":")
    if not separator:
        raise typer.BadParameter(f"--header is `Name: value`, not {line!r}")
    return name.strip(), value.strip()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _ask(method: str, url: str, job_id: str, what: str = "", body: object = None) -> dict[str, Any]:
    """Call the gateway; return the monitor that it answers, or fail with its problem."""
    path = f"/-/jobs/{quoted(job_id)}{'/' if what else ''}{what}"
    token = os.environ.get("CALLMODE_TOKEN") or None
    status, document = ask(url, path, method=method, body=body, token=token)
    if status >= 400:
        fail(f"{job_id}: {document.get('title', status)}: {document.get('detail', 'what answers is no gateway')}")
    if not document.keys() >= {"id", "status", "cancel"}:
        fail(f"{url}: what answers is no gateway")
    return document


def _tell(monitor: dict[str, Any]) -> None:
    canceling = monitor["status"] in {"starting", "running", "unknown"} and monitor["cancel"]["requested"]
    message = f" ({monitor['message']})" if monitor.get("message") else ""
    typer.echo(f"{monitor['id']}: {monitor['status']}{', cancel requested' if canceling else ''}{message}")
