"""`callmode jobs …`: an operator's look at a job, and a hand for one that needs it, over a running gateway's ports."""

from __future__ import annotations

import base64
import json
import os
import sys
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

jobs_app = typer.Typer(
    help="Look at a job, cancel it, or say what became of it. A caller's own port (--url) asks for CALLMODE_TOKEN.",
    no_args_is_help=True,
)

_TIMEOUT = 30.0

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as in `Job-Id`.")]
Url = Annotated[str, typer.Option(help="A port of the gateway: the admin port, or the one of callers.")]
ADMIN = "http://127.0.0.1:9090"


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
        _fail(f"{body} cannot be read: {error.strerror}")
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


def _ask(method: str, url: str, job_id: str, what: str = "", body: dict[str, object] | None = None) -> dict[str, Any]:
    """Call the gateway; return the monitor that it answers, or fail with its problem."""
    from urllib.error import HTTPError, URLError
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    target = f"{url.rstrip('/')}/-/jobs/{quote(job_id, safe='')}{'/' if what else ''}{what}"
    data = json.dumps(body or {}).encode() if method == "POST" else None
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token := os.environ.get("CALLMODE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = Request(target, data, headers, method=method)  # noqa: S310 - the operator's own URL
        with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - the operator's own URL
            return _monitor(answer.read())
    except HTTPError as refused:
        with refused:
            _fail(f"{job_id}: {_told(refused.read()) or refused}")
    except (URLError, OSError, ValueError, HTTPException) as error:
        _fail(f"{target}: {error}")


def _monitor(content: bytes) -> dict[str, Any]:
    document = json.loads(content)
    if not isinstance(document, dict) or not document.keys() >= {"id", "status", "cancel"}:
        raise ValueError("what answers is no gateway")
    return document


def _told(content: bytes) -> str | None:
    """Return a problem document in words; None for anything else."""
    try:
        problem = json.loads(content)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, TypeError, KeyError):
        return None


def _tell(monitor: dict[str, Any]) -> None:
    canceling = monitor["status"] in {"starting", "running", "unknown"} and monitor["cancel"]["requested"]
    message = f" ({monitor['message']})" if monitor.get("message") else ""
    typer.echo(f"{monitor['id']}: {monitor['status']}{', cancel requested' if canceling else ''}{message}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(1)
