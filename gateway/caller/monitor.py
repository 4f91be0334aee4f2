"""The monitor: the JSON view of a job, lower-case `status`, times as RFC 3339."""

from __future__ import annotations

import msgspec

from gateway.caller.links import JobUrls
from gateway.core.job import Job, State, Stopping
from gateway.core.policy import Policy
from gateway.core.timestamps import timestamp
from gateway.core.timing import began, poll_interval

_NEVER_SOONER = 1
"""Retry-After has whole seconds, and 0 invites a busy loop."""


def retry_after(job: Job, policy: Policy, now: int) -> int:
    """Return the whole seconds after which it is worth asking again: the gateway itself will have asked by then."""
    interval = poll_interval(max(now - began(job), 1), policy.pace)
    return max(_NEVER_SOONER, -(-interval // 1000))


def monitor(job: Job, policy: Policy, urls: JobUrls, now: int | None = None, *, message: str | None = None) -> bytes:
    """Return the monitor document of `job`, as of `now`; None: of its last change.

    `message`: what is to be said to this caller instead of the job's own.
    """
    view = _view(job, policy, now) | {"resultUrl": urls.result if job.state.terminal else None, "links": _links(urls)}
    return msgspec.json.encode(view if message is None else view | {"message": message})


def operator_monitor(job: Job, policy: Policy, urls: JobUrls, now: int | None = None) -> bytes:
    """Return the monitor document of `job` for an operator: all but the way to its outcome, which is its owner's."""
    links = {"monitor": urls.monitor}
    if urls.cancelable:
        links["cancel"] = urls.cancel
    if job.state is State.UNKNOWN:
        links["resolve"] = urls.resolve
    return msgspec.json.encode(_view(job, policy, now) | {"links": links})


def _view(job: Job, policy: Policy, now: int | None) -> dict[str, object]:
    return {
        "id": job.id,
        "route": job.route,
        "status": job.state.value,
        "mode": job.mode.value if job.mode else "upstream",
        "upstream": {
            "mode": job.observed.value if job.observed else None,
            "key": job.upstream_key,
            "state": _upstream_state(job),
            "attempts": job.progress.attempts,
        },
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "expires": _time(_expires(job, policy)),
        "eta": _time(_eta(job, policy, job.changed if now is None else now)),
        "message": job.message or job.progress.trouble,
        "cancel": _cancel(job),
        "resultUrl": None,
        "error": job.error,
    }


def _links(urls: JobUrls) -> dict[str, str]:
    links = {
        "monitor": urls.monitor,
        "poll": urls.poll,
        "wait": urls.wait(0),
        "result": urls.result,
        "events": urls.events,
        "callbacks": urls.callbacks,
    }
    return links | {"cancel": urls.cancel} if urls.cancelable else links


def _cancel(job: Job) -> dict[str, object]:
    """How far a cancel has come: asked for here, then sent to the upstream. It took effect when the job is canceled."""
    stopping = job.stopping or Stopping(0)
    return {
        "due": _time(None if job.cancel_requested or job.state.terminal else job.cancel_at),
        "requested": job.cancel_requested,
        "sent": None if stopping.sent is None else stopping.sent.value,
        "at": _time(stopping.at or None),
    }


def _upstream_state(job: Job) -> str | None:
    """What the upstream itself last said of the job."""
    if job.leg is not None and job.stopping is not None and job.stopping.sent is not None:
        return "stopping"
    if job.leg is not None:
        return "running"
    return "ended" if job.outcome is not None and job.outcome.problem is None else None


def _expires(job: Job, policy: Policy) -> int | None:
    if job.finished is not None:
        return job.finished + (policy.refused_retention if job.refused else policy.retention)
    if job.state is State.UNKNOWN:
        return job.changed + policy.unknown_ttl
    return job.deadline


def _eta(job: Job, policy: Policy, now: int) -> int | None:
    """When it is likely to end, once it runs: when half of the jobs have that lasted as long; else as the route says.

    None for one that is older than all that were learned from: nobody knows.
    """
    pace = policy.pace
    if job.state.terminal or job.started is None:
        return None
    if pace.learned is not None:
        age = pace.learned.likely_end(max(now - began(job), 0))
        return None if age is None else began(job) + age
    return None if pace.typical is None else job.started + pace.typical


def _time(at: int | None) -> str | None:
    return None if at is None else timestamp(at)
