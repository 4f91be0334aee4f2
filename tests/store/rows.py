"""Rows as the store's tests write them: jobs, their changes, deliveries. Imports the product only."""

from __future__ import annotations

import secrets

from gateway.core.delivery import Delivery
from gateway.core.ids import make_id
from gateway.core.job import Job, OutcomeHead, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.store.port import NewJob, Save

KEEP = 3_600_000
"""How long rows are kept, in ms: far longer than any test runs."""
TOMBSTONE = 10 * KEEP
BORN = 1_700_000_000_000


def job(partition: int = 3, **fields) -> Job:
    """Return a job that was just accepted, with a fresh id in `partition`."""
    given = {
        "id": make_id(partition, secrets.token_bytes(16)),
        "route": "add",
        "principal": "who",
        "token": "how",
        "mode": CallerMode.SYNC,
        "asked": UpstreamMode.ASYNC,
        "created": BORN,
        "deadline": BORN + KEEP,
    }
    return Job(**(given | fields))


def new(row: Job, *, credential: bytes | None = b"sealed bearer", fingerprint: str = "", **fields) -> NewJob:
    """Return `row` as it is handed to `create`, always by the same call."""
    given = {"operation": f"create-{row.id}"} | fields
    return NewJob(row.with_(fingerprint=fingerprint), start=b"sealed start", credential=credential, **given)


def change(before: Job, **fields) -> Job:
    """Return the record that follows `before`; running, unless `fields` say otherwise."""
    return before.with_(**({"state": State.RUNNING, "revision": before.revision + 1} | fields))


def end(before: Job, **fields) -> Job:
    """Return the terminal record that follows `before`."""
    return change(before, **({"state": State.SUCCEEDED, "outcome": OutcomeHead(200, size=2)} | fields))


def save_of(after: Job, **fields) -> Save:
    """Return the save that brings `after` into the store."""
    given = {
        "job": after,
        "revision": after.revision - 1,
        "operation": secrets.token_hex(8),
        "keep": KEEP,
        "tombstone": TOMBSTONE if after.state.terminal else 0,
        "key_keep": 0 if after.frees_key else TOMBSTONE if after.state.terminal else KEEP,
        "body": b"{}" if after.state.terminal else None,
    }
    return Save(**(given | fields))


def delivery_of(row: Job) -> Delivery:
    """Return a delivery of `row`'s outcome, in its partition."""
    return Delivery(
        id=make_id(int(row.id[:2], 16), secrets.token_bytes(16)),
        job_id=row.id,
        url="https://caller.example/hook",
        created=BORN,
        due=BORN,
    )
