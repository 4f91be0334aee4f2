"""`StartJobs`' body: what is asked for, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.simulator.arguments import Arguments, BadArgumentsError
from gateway.simulator.calls import invalid, missing
from gateway.simulator.catalog import Catalog, Folder, Process
from gateway.simulator.outcomes import check_outcome
from gateway.simulator.planning import asked_fault

_MAX_REFERENCE = 128
_MAX_JOBS = 100

SOURCE_TYPES = frozenset({
    "Manual",
    "Schedule",
    "Agent",
    "Queue",
    "StudioWeb",
    "IntegrationTrigger",
    "StudioDesktop",
    "AutomationOpsPipelines",
    "Apps",
    "SAP",
    "RobotAPI",
    "CommandLine",
    "RobotNetAPI",
})  # fmt: skip
"""Orchestrator's source types that a caller of `StartJobs` can name; any other name (UiPath's SDK has `AgentService`)
counts as `Manual`."""


@dataclass(frozen=True, slots=True)
class StartInfo:
    """A start that is understood."""

    process: Process
    arguments: Arguments
    count: int
    reference: str | None
    source: str
    input_file: str | None


def read_start_info(
    body: dict[str, Any],
    catalog: Catalog,
    folder: Folder,
    *,
    uploaded: Callable[[str], bytes | None],
    max_arguments: int,
) -> StartInfo:
    """Return what a body asks to start in a folder. Raises RefusedError, before anything runs.

    Arguments of more than `max_arguments` characters have to come as a file: `uploaded` returns one by its key.
    """
    info = body.get("startInfo")
    if not isinstance(info, dict):
        raise invalid("startInfo must not be null.")
    count = info.get("JobsCount", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MAX_JOBS:
        raise invalid("Invalid jobs count.")
    reference = info.get("Reference")
    if reference is not None and (not isinstance(reference, str) or len(reference) > _MAX_REFERENCE):
        raise invalid(f"The field Reference must be a string with a maximum length of {_MAX_REFERENCE}.")
    process = _process(info, catalog, folder)
    source, file = info.get("Source"), info.get("InputFile")
    text = info.get("InputArguments") if file is None else _file(file, uploaded)
    return StartInfo(
        process,
        _arguments(text, max_arguments if file is None else None),
        count,
        reference,
        source if isinstance(source, str) and source in SOURCE_TYPES else "Manual",
        file,
    )


def _file(key: Any, uploaded: Callable[[str], bytes | None]) -> str:
    """Return the arguments that were uploaded as a file."""
    body = uploaded(key) if isinstance(key, str) else None
    if body is None:
        raise missing("Attachment does not exist.")
    return body.decode("utf-8", "replace")


def _process(info: dict[str, Any], catalog: Catalog, folder: Folder) -> Process:
    """Return the process that a release's key or name says."""
    key, name = info.get("ReleaseKey"), info.get("ReleaseName")
    found: Process | None = None
    if isinstance(key, str):
        found = next((each for each in catalog.processes(folder) if each.release_key == key.lower()), None)
    elif isinstance(name, str) and name:
        found = catalog.process(folder, name)
    else:
        raise invalid("Either ReleaseKey or ReleaseName is required.")
    if found is None:
        raise missing("The release does not exist.")
    return found


def _arguments(text: Any, limit: int | None) -> Arguments:
    """Return the arguments in `InputArguments`, a string of JSON."""
    if text is None or text == "":
        return Arguments({})
    if not isinstance(text, str):
        raise invalid("InputArguments must be a string.")
    if limit is not None and len(text) > limit:
        raise invalid(f"JobArguments length should be less than {limit} characters.")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise invalid("InputArguments is not a valid JSON object.")
    arguments = Arguments(values)
    try:
        check_arguments(arguments)
    except BadArgumentsError as bad:
        raise invalid(str(bad)) from None
    return arguments


def check_arguments(arguments: Arguments) -> None:
    """Raise BadArgumentsError where a control cannot be acted on."""
    check_outcome(arguments)
    asked_fault(arguments)
    for seconds in ("duration", "pending", "stop_delay"):
        arguments.number(seconds, 0.0)
