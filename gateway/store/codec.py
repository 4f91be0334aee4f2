"""Records as bytes: MessagePack of the frozen structs, in both directions."""

from __future__ import annotations

import msgspec

from gateway.core.delivery import Delivery
from gateway.core.job import SCHEMA, Job
from gateway.core.verdict import Verdict
from gateway.store.port import Hint

_encoder = msgspec.msgpack.Encoder()
_jobs = msgspec.msgpack.Decoder(Job)
_deliveries = msgspec.msgpack.Decoder(Delivery)
_verdicts = msgspec.msgpack.Decoder(Verdict)
_hints = msgspec.msgpack.Decoder(Hint)
_FOREIGN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises; text that is not UTF-8 and deep nesting are no `DecodeError` of its own."""


class Unreadable(Exception):  # noqa: N818 - a condition, not a defect
    """A record that this version cannot read: it is left alone for one that can."""


def encode(record: Job | Delivery | Verdict | Hint) -> bytes:
    """Return `record` as MessagePack."""
    return _encoder.encode(record)


def decode_job(data: bytes) -> Job:
    """Return the job in `data`. Raises `Unreadable`, also for a record of a later schema."""
    try:
        job = _jobs.decode(data)
    except _FOREIGN as error:
        raise Unreadable(str(error)) from error
    if job.schema > SCHEMA:
        raise Unreadable(f"schema {job.schema} is newer than {SCHEMA}")
    return job


def decode_delivery(data: bytes) -> Delivery:
    """Return the delivery in `data`. Raises `Unreadable`."""
    try:
        return _deliveries.decode(data)
    except _FOREIGN as error:
        raise Unreadable(str(error)) from error


def decode_verdict(data: bytes) -> Verdict | None:
    """Return the verdict in `data`; None for one that this version cannot read."""
    try:
        return _verdicts.decode(data)
    except _FOREIGN:
        return None


def decode_hint(data: bytes) -> Hint:
    """Return the hint in `data`; one that says nothing for what this version cannot read."""
    try:
        return _hints.decode(data)
    except _FOREIGN:
        return Hint(event="")
