"""Orchestrator's webhooks as they come in: whether they are Orchestrator's, and which jobs they say have ended.

Only the ends are of use: a job that was just created or begun has nothing new to be read. What an event says of the
end itself is not used, for a delivery may be lost, doubled, late or replayed; the job is read anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

import msgspec

from gateway.core.ids import is_id
from gateway.core.jobs_api import is_guid

SIGNATURE = "X-UiPath-Signature"

ENDS = frozenset({"job.completed", "job.faulted", "job.stopped"})
"""The events of a job's end."""

MOST = 100
"""Jobs of one event that are looked at; the rest are read when they are due anyway."""

_PREFIX = "sha256="
_HEX = re.compile(r"[0-9A-Fa-f]{64}")


class _Job(msgspec.Struct, frozen=True, rename="pascal"):
    key: str | None = None
    reference: str | None = None
    folder_key: str | None = None


class _Event(msgspec.Struct, frozen=True, rename="pascal"):
    type: str = ""
    event_id: str | None = None
    folder_key: str | None = None
    job: _Job | None = None
    jobs: list[_Job] = []


class Ended(msgspec.Struct, frozen=True):
    """A job that is said to have ended. Nothing of it is sure."""

    reference: str | None
    """What its start named it, if that can be a job's id of this gateway."""
    key: str | None
    """Its key in Orchestrator."""
    folder: str | None
    """Its folder's key."""


class Event(msgspec.Struct, frozen=True):
    """An event. `id` is the same for each delivery of it; None where it has none."""

    id: str | None
    ended: tuple[Ended, ...] = ()


_event = msgspec.json.Decoder(_Event)


def is_signed(body: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Whether one of `secrets` has signed `body`: HMAC-SHA256 in base64, or after `sha256=` in base64 or hexadecimal.

    Takes as long for a wrong signature as for a good one.
    """
    given = _digest(signature or "")
    good = [hmac.compare_digest(given, hmac.digest(secret.encode(), body, hashlib.sha256)) for secret in secrets]
    return any(good)


def _digest(signature: str) -> bytes:
    text = signature.strip().removeprefix(_PREFIX)
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def read_event(body: bytes) -> Event | None:
    """Return what an event says; None for what is none."""
    try:
        event = _event.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if event.type not in ENDS:
        return Event(event.event_id)
    jobs = (*(() if event.job is None else (event.job,)), *event.jobs)
    return Event(event.event_id, tuple(_ended(job, event) for job in jobs[:MOST]))


def _ended(job: _Job, event: _Event) -> Ended:
    folder = job.folder_key or event.folder_key
    return Ended(
        reference=job.reference if job.reference is not None and is_id(job.reference) else None,
        key=job.key if job.key is not None and is_guid(job.key) else None,
        folder=folder if folder is not None and is_guid(folder) else None,
    )
