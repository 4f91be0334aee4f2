"""Orchestrator's webhooks: signatures in every form, and which jobs an event says have ended."""

from __future__ import annotations

import base64
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.webhooks import ENDS, MOST, Ended, Event, is_signed, read_event

KEY, FOLDER = "c1b9e3a4-0d7e-4c57-9b1e-2f6a5d8c7b90", "1d9c2f6e-4b7a-4c35-9e0d-8a2b6f4c1e57"
JOB_ID = "3aSlAMkHu1hBUUe33zzcw_pw"


def digest(secret: str, body: bytes) -> bytes:
    """Return what signs `body`."""
    return hmac.digest(secret.encode(), body, "sha256")


def event(kind: str, **members: object) -> bytes:
    """Return an event."""
    return json.dumps({"Type": kind, "EventId": "e1", **members}).encode()


@given(st.binary(max_size=100), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_good_signatures(body: bytes, secret: str, other: str):
    """In base64 or hexadecimal, with or without the name of the hash, by any of the secrets; and by no other."""
    made = digest(secret, body)
    text = base64.b64encode(made).decode()
    for form in (text, f"sha256={text}", f"sha256={made.hex()}", f"sha256={made.hex().upper()}", f" {text} "):
        assert is_signed(body, form, [secret])
        assert is_signed(body, form, [other, secret])
        assert is_signed(body, form, [other]) is (other == secret)
        assert not is_signed(body + b"x", form, [secret])


@given(st.text(max_size=100))
def test_bad_signatures(text: str):
    """Nothing that somebody makes up is an error, or good."""
    assert not is_signed(b"body", text, ["secret"])


def test_no_secret_signs_nothing():
    """Not even the empty one."""
    assert not is_signed(b"body", base64.b64encode(digest("", b"body")).decode(), [])
    assert not is_signed(b"body", None, ["secret"])


@pytest.mark.parametrize("kind", sorted(ENDS))
def test_ends(kind: str):
    """Of one job or of several, each by all that it can be told by."""
    job = {"Id": 7, "Key": KEY, "State": "Successful", "Reference": JOB_ID, "FolderKey": FOLDER, "More": [1]}
    known = Ended(JOB_ID, KEY, FOLDER)
    assert read_event(event(kind, Job=job)) == Event("e1", (known,))
    assert read_event(event(kind, Jobs=[job, job])) == Event("e1", (known, known))
    assert read_event(event(kind, FolderKey=FOLDER, Job={"Key": KEY})) == Event("e1", (Ended(None, KEY, FOLDER),))


def test_what_cannot_be_ours():
    """A name that is no id of a job here, a key that is none: nobody is asked about them."""
    job = {"Key": "1", "Reference": "invoice 7", "FolderKey": "Shared"}
    assert read_event(event("job.completed", Job=job)) == Event("e1", (Ended(None, None, None),))


@pytest.mark.parametrize("kind", ["job.created", "job.started", "job.suspended", "robot.created", "JOB.COMPLETED", ""])
def test_other_events(kind: str):
    """Say nothing of an end."""
    assert read_event(event(kind, Job={"Key": KEY}, Jobs=[{"Key": KEY}])) == Event("e1")


def test_an_event_of_very_many_jobs():
    """Only so many are looked at."""
    told = read_event(event("job.stopped", Jobs=[{"Key": KEY}] * (MOST + 1)))
    assert told is not None
    assert len(told.ended) == MOST


@given(st.binary(max_size=200))
def test_anything_at_all(body: bytes):
    """Is an event or none; there is no third way."""
    assert read_event(body) is None or isinstance(read_event(body), Event)


@pytest.mark.parametrize("body", [b"[]", b'{"Job":[]}', b'{"Type":1}', b"\xff", b"", b'{"EventId":{}}', b"[" * 10**5])
def test_what_is_no_event(body: bytes):
    """None."""
    assert read_event(body) is None
