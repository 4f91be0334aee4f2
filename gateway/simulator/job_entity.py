"""A job as the Jobs API shows it: the properties of Orchestrator's JobDto that its clients read."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gateway.simulator.answers import encode
from gateway.simulator.clock import WallClock
from gateway.simulator.job import FROM_TRIGGER, STATES, Job
from gateway.simulator.odata import EntitySet
from gateway.simulator.odata_filter import Kind, Property
from gateway.simulator.outcomes import output_of

NULL_IN_LISTS = frozenset({"InputArguments", "OutputArguments"})
"""What a list never tells: one job has to be read by its id or key for these."""

_MASK = 0x0F0F0F0F_F0F0_0F0F_F0F0_0F0F0F0F0F0F
"""Turns a job's id into the key of its output's attachment, and back: another GUID, and nothing to keep."""


def jobs_entity_set(clock: WallClock, *, max_inline_output: int) -> EntitySet[Job]:
    """Return the entity set `Jobs`. An output of more than `max_inline_output` characters is an OutputFile."""

    def output(job: Job) -> str | None:
        text = output_text(job)
        return None if text is None or len(text) > max_inline_output else text

    def output_file(job: Job) -> str | None:
        text = output_text(job)
        return None if text is None or len(text) <= max_inline_output else output_key(job)

    string, integer, date = Kind.STRING, Kind.INTEGER, Kind.DATETIME
    properties: dict[str, Property[Job]] = {
        "Key": Property(Kind.GUID, lambda job: job.key),
        "StartTime": Property(date, lambda job: _reached(clock, job.runs_at)),
        "EndTime": Property(date, lambda job: None if job.ended_at is None else clock.at(job.ended_at)),
        "State": Property(Kind.ENUM, lambda job: job.state(_now()), STATES),
        "JobPriority": Property(string, lambda _: "Normal"),
        "SpecificPriorityValue": Property(integer, lambda _: 45),
        "Source": Property(string, lambda job: job.source),
        "SourceType": Property(string, lambda job: job.source),
        "BatchExecutionKey": Property(Kind.GUID, lambda job: job.key),
        "Info": Property(string, _info),
        "CreationTime": Property(date, lambda job: clock.at(job.started_at)),
        "LastModificationTime": Property(date, lambda job: clock.at(job.ended_at or job.started_at)),
        "StartingTriggerId": Property(Kind.GUID, starting_trigger),
        "ReleaseName": Property(string, lambda job: job.process.name),
        "ReleaseVersionId": Property(integer, lambda job: job.process.release_id),
        "Type": Property(string, lambda _: "Unattended"),
        "InputArguments": Property(string, input_text),
        "InputFile": Property(string, lambda job: job.input_file),
        "OutputArguments": Property(string, output),
        "OutputFile": Property(string, output_file),
        "StopStrategy": Property(string, _stop_strategy),
        "RuntimeType": Property(string, lambda _: "Unattended"),
        "OrganizationUnitId": Property(integer, lambda job: job.process.folder.id),
        "OrganizationUnitFullyQualifiedName": Property(string, lambda job: job.process.folder.name),
        "FolderKey": Property(Kind.GUID, lambda job: job.process.folder.key),
        "Reference": Property(string, lambda job: job.reference),
        "ProcessType": Property(string, lambda _: "Process"),
        "ErrorCode": Property(string, lambda job: "Robot" if _faulted(job) else None),
        "HasErrors": Property(Kind.BOOLEAN, _faulted),
        "Id": Property(integer, lambda job: job.number),
        "JobError": Property(Kind.COMPLEX, _job_error),
    }
    return EntitySet("Jobs", properties, {"Release": release_of, "Robot": _nothing, "Machine": _nothing})


def input_text(job: Job) -> str | None:
    """Return the input arguments: JSON in a string; None where they came as a file."""
    return encode(job.arguments.sent).decode() if job.input_file is None else None


def output_text(job: Job) -> str | None:
    """Return the output arguments as Orchestrator keeps them: JSON in a string; None where the job has none.

    An output that is not JSON (a trigger may give text or bytes) is a JSON string of it; an empty one is none.
    """
    if not job.ended or job.stopped or job.failed:
        return None
    body, content_type = output_of(job.arguments)
    if not body:
        return None
    text = body.decode("utf-8", "replace")
    labelled = job.arguments.text("output_type") or content_type
    return text if labelled.startswith("application/json") and _parses(text) else encode(text).decode()


def output_key(job: Job) -> str:
    """Return the key of the attachment that a job's output would be in."""
    return str(uuid.UUID(int=int(job.id, 16) ^ _MASK))


def job_id_of(attachment_key: str) -> str:
    """Return the id of the job whose output would be under an attachment's key."""
    return f"{uuid.UUID(attachment_key).int ^ _MASK:032x}"


def starting_trigger(job: Job) -> str | None:
    """Return the GUID of the trigger that started a job."""
    return job.process.trigger_id if job.source == FROM_TRIGGER else None


def release_of(job: Job) -> dict[str, Any]:
    """Return the release, as `$expand` and webhooks show it."""
    process = job.process
    return {
        "Id": process.release_id,
        "Key": process.release_key,
        "ProcessKey": process.name,
        "ProcessVersion": "1.0.0",
        "Name": process.name,
    }


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _reached(clock: WallClock, at: float) -> datetime | None:
    return clock.at(at) if at <= _now() else None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _faulted(job: Job) -> bool:
    return job.ended and not job.stopped and job.failed


def _info(job: Job) -> str | None:
    if job.stopped:
        return "The job was stopped."
    return job.arguments.text("fail") if _faulted(job) else None


def _job_error(job: Job) -> dict[str, Any] | None:
    """Return what a faulted job says of its fault."""
    if not _faulted(job):
        return None
    message = job.arguments.text("fail")
    return {"Code": "Robot", "Title": "The process faulted.", "Detail": message, "Category": "User", "Status": None}


def _stop_strategy(job: Job) -> str | None:
    return None if job.stop is None else {1: "SoftStop", 2: "Kill"}[job.stop]


_nothing: Callable[[Job], None] = lambda _: None  # noqa: E731 - a typed constant: these entities are never there
