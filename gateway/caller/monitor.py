"""The monitor: the JSON view of a job, lower-case `status`, times as RFC 3339."""

from __future__ import annotations

import datetime as dt

import msgspec

from gateway.caller.links import JobUrls
from gateway.core.job import Job, State
from gateway.core.policy import Policy
from gateway.core.timing import poll_interval

_NEVER_SOONER = 1
"""Retry-After has whole seconds, and 0 invites a busy loop."""


def retry_after(job: Job, policy: Policy, now: int) -> int:
    """Return the whole seconds after which it is worth asking again."""
    interval = poll_interval(max(now - job.created, 1), policy.pace)
    return max(_NEVER_SOONER, -(-interval // 1000))


def monitor(job: Job, policy: Policy, urls: JobUrls) -> bytes:
    """Return the monitor document of `job`."""
    view: dict[str, object] = {
        "id": job.id,
        "route": job.route,
        "status": job.state.value,
        "mode": job.mode.value if job.mode else "upstream",
        "upstream": {
            "mode": job.observed.value if job.observed else None,
            "key": None,
            "state": _upstream_state(job),
            "attempts": job.progress.attempts,
        },
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "expires": _time(_expires(job, policy)),
        "eta": _time(_eta(job, policy)),
        "message": job.message or job.progress.trouble,
        "resultUrl": urls.result if job.state.terminal else None,
        "error": job.error,
        "links": {
            "monitor": urls.monitor,
            "poll": urls.poll,
            "wait": urls.wait(0),
            "result": urls.result,
            "events": urls.events,
        },
    }
    return msgspec.json.encode(view)


def _upstream_state(job: Job) -> str | None:
    """What the upstream itself last said of the job."""
    if job.leg is not None:
        return "running"
    return "ended" if job.outcome is not None and job.outcome.problem is None else None


def _expires(job: Job, policy: Policy) -> int | None:
    if job.finished is not None:
        return job.finished + (policy.refused_retention if job.refused else policy.retention)
    if job.state is State.UNKNOWN:
        return job.changed + policy.unknown_ttl
    return job.deadline


def _eta(job: Job, policy: Policy) -> int | None:
    """When it is likely to end: only for a route that says what is typical, and only while that is to come."""
    if job.state.terminal or job.started is None or policy.pace.typical is None:
        return None
    return job.started + policy.pace.typical


def _time(at: int | None) -> str | None:
    if at is None:
        return None
    moment = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
