from __future__ import annotations

import json

import pytest

from gateway.demo.outcome import JSON, Outcome, arguments, not_dispatched, not_the_output, output_of

TAG = "a to b"
HEADERS = {"Content-Type": JSON}
EXACT = Outcome(200, HEADERS, output_of(TAG).encode())
JOB = "some-job-id"
DISPATCHED = Outcome(
    202, {"Content-Type": "application/json"}, json.dumps({"id": JOB, "status": "dispatched"}).encode()
)


def test_the_exact_outcome_passes():
    """Status, type and bytes as the job gave them."""
    assert not_the_output(EXACT, TAG) is None


def test_the_output_survives_no_json_round_trip():
    """An output that a JSON library writes again in the same way would prove nothing."""
    rewritten = [json.dumps(json.loads(output_of(TAG)), ensure_ascii=escaped) for escaped in (True, False)]
    assert output_of(TAG).strip() not in rewritten
    assert json.loads(output_of(TAG))["amount"] == 1.1
    assert arguments(TAG, 0.5)["output_text"] == output_of(TAG)


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        (Outcome(201, HEADERS, EXACT.body), "status 201 instead of 200"),
        (Outcome(504, HEADERS, b"x" * 500), "status 504"),
        (Outcome(200, {}, EXACT.body), "Content-Type is None"),
        (Outcome(200, {"Content-Type": "text/plain"}, EXACT.body), "Content-Type is 'text/plain'"),
        (Outcome(200, HEADERS, EXACT.body.replace(b"1.10", b"1.1")), "bytes differ from byte"),
        (Outcome(200, HEADERS, EXACT.body[:-1]), f"bytes differ from byte {len(EXACT.body) - 1}"),
        (Outcome(200, HEADERS, EXACT.body + b" "), f"bytes differ from byte {len(EXACT.body)}"),
        (Outcome(200, HEADERS, EXACT.body.decode().encode("utf-16")), "bytes differ from byte 0"),
        (Outcome(200, HEADERS, b""), "bytes differ from byte 0"),
        (Outcome(200, HEADERS, output_of("another").encode()), "bytes differ from byte"),
    ],
)
def test_any_other_outcome_is_named(got, reason):
    """What differs is said, and briefly."""
    said = not_the_output(got, TAG)
    assert said is not None
    assert reason in said
    assert len(said) < 250


def test_dispatched_passes():
    """202 with the monitor is all there is to know of a job that its trigger forgot."""
    assert not_dispatched(DISPATCHED, JOB) is None


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        (Outcome(200, {}, DISPATCHED.body), "200 instead of 202"),
        (Outcome(202, {"Location": "/x"}, DISPATCHED.body), "has Location"),
        (Outcome(202, {"Retry-After": "1"}, DISPATCHED.body), "has Retry-After"),
        (Outcome(202, {}, b""), "not its monitor"),
        (Outcome(202, {}, b"[]"), "not its monitor"),
        (Outcome(202, {}, json.dumps({"id": JOB, "status": "running"}).encode()), "as running"),
        (Outcome(202, {}, json.dumps({"id": "other", "status": "dispatched"}).encode()), "shows job other"),
    ],
)
def test_anything_but_dispatched_is_named(got, reason):
    """An answer that invites to come again, or is about something else, is no `dispatched`."""
    said = not_dispatched(got, JOB)
    assert said is not None
    assert reason in said
