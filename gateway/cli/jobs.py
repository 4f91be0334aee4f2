"""`callmode jobs …`: an operator's look at a job, and a hand for one that needs it, over a running gateway's ports."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway.cli.asking import ADMIN, ask, quoted
from gateway.cli.process import Commands, command, fail, group, say


def add(commands: Commands) -> None:
    """Add the commands."""
    jobs = group(
        commands,
        "jobs",
        "Look at a job, cancel it, or say what became of it. A caller's own port (--url) asks for CALLMODE_TOKEN.",
    )
    for name, run in (("show", show), ("cancel", cancel), ("resolve", resolve)):
        parser = command(jobs, name, run)
        parser.add_argument("job_id", metavar="ID", help="the job's id, as in `Job-Id`")
        if run is resolve:
            verdict = parser.add_mutually_exclusive_group(required=True)
            verdict.add_argument("--never-ran", action="store_true", help="nothing was started: it may be sent again")
            verdict.add_argument("--running", metavar="KEY", help="it runs, or ran, under this key")
            verdict.add_argument("--ended", type=int, metavar="STATUS", help="it has ended with this HTTP status")
            parser.add_argument("--body", type=Path, metavar="FILE", help="with --ended: its body; - is standard input")
            parser.add_argument(
                "--header", action="append", default=[], help="with --ended: `Name: value` of the outcome"
            )
        parser.add_argument("--url", default=ADMIN, help="a port of the gateway (default: %(default)s, the admin port)")


def show(job_id: str, url: str) -> None:
    """Print the job's monitor."""
    say(json.dumps(_ask("GET", url, job_id), indent=2))


def cancel(job_id: str, url: str) -> None:
    """Ask for the job to be canceled: on the admin port for everybody who shares it."""
    _tell(_ask("POST", url, job_id, "cancel"))


def resolve(
    job_id: str,
    url: str,
    *,
    never_ran: bool,
    running: str | None,
    ended: int | None,
    body: Path | None,
    header: list[str],
) -> None:
    """Say what became of a job whose start is in doubt, after looking in Orchestrator."""
    if ended is None and (body is not None or header):
        fail("--body and --header go with --ended", 2)
    if ended is not None:
        verdict: dict[str, object] = {"verdict": "ended", "status": ended, **_outcome(body, header)}
    else:
        verdict = {"verdict": "never-ran"} if never_ran else {"verdict": "running", "key": running}
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
        fail(f"--header is `Name: value`, not {line!r}", 2)
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
    say(f"{monitor['id']}: {monitor['status']}{', cancel requested' if canceling else ''}{message}")
