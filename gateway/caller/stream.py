"""stream: the job's events as Server-Sent Events, the outcome last.

An event's id is the job's revision, so a client that comes back with `Last-Event-ID`, to any replica, is told what is
new. Only the newest record is kept: one that missed more than one change is told so by `resync`.
"""

from __future__ import annotations

import base64

import msgspec

from gateway.caller.common import before_start_answered, ended
from gateway.caller.monitor import monitor
from gateway.caller.port import Call, Step, Stream
from gateway.core.exchange import Headers
from gateway.core.job import Job, State

EVENT_STREAM = "text/event-stream"
FINAL = "outcome"
RESYNC = "resync"


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    id: int
    name: str
    data: bytes

    def frame(self) -> bytes:
        """Return the event as it goes over the wire. `data` is JSON on one line."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.id, self.name.encode(), self.data)


def render(job: Job, call: Call, now: int) -> Step:
    """Open the stream once the start is answered, or after `start_wait`; a refused start is answered as it is."""
    if (wait := before_start_answered(job, call, now)) is not None:
        return wait
    return ended(job, call) if job.refused else Stream()


def name_of(job: Job) -> str:
    """Return the name of the event that tells of a live job's state: a stream opens with `starting`, however early."""
    return State.STARTING.value if job.state is State.ACCEPTED else job.state.value


def change(job: Job, call: Call, last_id: int | None) -> Event | None:
    """Return the event that tells a client which has seen `last_id` of a live job; None if it has seen all."""
    if last_id == job.revision:
        return None
    missed = last_id is not None and last_id != job.revision - 1
    return Event(job.revision, RESYNC if missed else name_of(job), monitor(job, call.policy, call.urls(job)))


def final(job: Job, status: int, headers: Headers, body: bytes) -> Event:
    """Return the last event: the outcome as JSON, its body as text if it is text, else as base64."""
    outcome: dict[str, object] = {"status": status, "headers": _joined(headers)}
    try:
        outcome["body"] = body.decode()
    except UnicodeDecodeError:
        outcome["bodyBase64"] = base64.b64encode(body).decode()
    return Event(job.revision, FINAL, msgspec.json.encode(outcome))


def _joined(headers: Headers) -> dict[str, str]:
    """Return the fields by name, with what several lines say as one list (RFC 9110 5.3)."""
    joined: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        first = names.setdefault(name.lower(), name)
        joined[first] = f"{joined[first]}, {value}" if first in joined else value
    return joined
