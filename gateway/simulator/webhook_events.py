"""The events that Orchestrator's webhooks tell of jobs, as they go out."""

from __future__ import annotations

import json
from typing import Any

from gateway.simulator.job import Job
from gateway.simulator.job_entity import output_text, release_of
from gateway.simulator.odata import EntitySet

TENANT_ID = 28176
_USER_ID = 135983

_MEMBERS = (
    "Id",
    "Key",
    "State",
    "StartTime",
    "EndTime",
    "CreationTime",
    "Info",
    "Source",
    "SourceType",
    "BatchExecutionKey",
    "ReleaseName",
    "Type",
    "OutputFile",
    "ErrorCode",
    "JobError",
    "StartingTriggerId",
    "FolderKey",
)

LISTED = frozenset({"job.created", "job.stopped"})
"""The events that may be of several jobs: they have `Jobs`, the others `Job`."""


def payload(kind: str, event_id: str, when: str, job: Job, entities: EntitySet[Job]) -> dict[str, Any]:
    """Return an event of one job, without the name of the webhook that it is sent for.

    Orchestrator's examples have the time as `Timestamp`, its table of common properties as `EventTime`: both are here.
    """
    shown = entities.entity(job, _MEMBERS) | {
        "Release": release_of(job),
        "InputArguments": None,
        "OutputArguments": _output(job),
    }
    if kind == "job.created":
        shown |= {"State": "Pending", "StartTime": None}
    return {
        "Type": kind,
        "EventId": event_id,
        "EventTime": when,
        "Timestamp": when,
        **({"Jobs": [shown]} if kind in LISTED else {"Job": shown}),
        "TenantId": TENANT_ID,
        "OrganizationUnitId": job.process.folder.id,
        "UserId": _USER_ID,
    }


def kind_of_end(job: Job) -> str:
    """Return the event of a job's end."""
    if job.stopped:
        return "job.stopped"
    return "job.faulted" if job.failed else "job.completed"


def _output(job: Job) -> dict[str, Any] | None:
    """Return the output as an object, unlike the string that the Jobs API has; None where it is none."""
    value = json.loads(output_text(job) or "null")
    return value if isinstance(value, dict) else None
