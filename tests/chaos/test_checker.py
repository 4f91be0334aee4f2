"""The checker sees each violation, in histories made up for it, and nothing else."""

from __future__ import annotations

import pytest

from tests.chaos.checker import check
from tests.chaos.history import (
    REDIS,
    Call,
    Complete,
    Delivered,
    Ended,
    Event,
    Fault,
    Invoke,
    Leftover,
    Record,
    Seen,
    Unwell,
    Upstream,
)
from tests.chaos.made_up import (
    AMBIGUOUS,
    CALL,
    ELSEWHERE,
    JOB,
    NOT_FOUND,
    OTHER,
    OUTPUT,
    STREAMED,
    history,
    like,
    spoilt,
)

FOREIGN = f'{{"id":"{OTHER}"}}'
EXPIRED = {"state": "expired", "status": None, "error": "upstream-ambiguous"}


def seen(lines) -> set[str]:
    """Return which invariants a history violates."""
    return {violation.invariant for violation in check(lines)}


def asked(road: str, took: float, **answer):
    """Return an exchange of the call before all was healed, at replica 0."""
    return Invoke(90, CALL, road, 0, 12.0, 1.0, job=JOB), Complete(90, 12.0 + took, **{"job": JOB, **answer})


def test_nothing_is_wrong_with_a_history_in_which_all_went_well():
    """And every kind of line is in it."""
    assert check(history()) == []


WRONG = {
    "a job that was told of is not in the store": ("I1 lost", spoilt(without=Record)),
    "a job has not ended": ("I1 no end", spoilt(like(Record, state="running", status=None))),
    "a job that nobody knows has not ended": (
        "I1 no end",
        spoilt(more=(like(Record, job=ELSEWHERE, state="starting", status=None, callback=False),)),
    ),
    "a keyed call has two jobs": (
        "I1 one job",
        spoilt(
            more=(
                Invoke(91, CALL, "start", 1, 10.0, 1.0),
                Complete(91, 10.1, 202, ELSEWHERE),
                like(Record, job=ELSEWHERE, callback=False),
            )
        ),
    ),
    "an end was written over": ("I7 fence", spoilt(more=(Seen(12.0, JOB, 5, "unknown"), Seen(13.0, JOB, 6, "failed")))),
    "an older revision came after a newer one": (
        "I7 fence",
        spoilt(like(Seen, revision=5), more=()),
    ),
    "an end is another at the end": ("I1 changed", spoilt(like(Record, state="failed"))),
    "a monitor says otherwise": ("I1 monitor", spoilt(like(Complete, 3, body='{"status":"failed"}'))),
    "a call started two jobs": ("I2 started twice", spoilt(like(Upstream, starts=2, jobs=2))),
    "an outcome came of nothing": ("I2 never started", spoilt(like(Upstream, jobs=0))),
    "what was refused ran": (
        "I2 refused yet started",
        [
            like(Call, key=None),
            Invoke(1, CALL, "start", 0, 10.0, 1.0),
            Complete(1, 10.1, 503, problem="store-unavailable", retryable=True),
            Ended(CALL, 10.1, "refused"),
            Upstream(CALL, 1, 1, 0, 1.0),
        ],
    ),
    "a job is read without end": ("I11 reads", spoilt(like(Upstream, reads=200))),
    "an answer is cut": ("I3 cut", spoilt(more=asked("wait", 0.5, status=200, error="ClientPayloadError: …"))),
    "a connection closes without an answer": (
        "I3 no answer",
        spoilt(more=asked("wait", 0.5, job=None, error="ServerDisconnectedError: …")),
    ),
    "somebody waits past the deadline": ("I3 late", spoilt(more=asked("wait", 2.5, status=303))),
    "a keyed call is never answered": ("I3 unanswered", spoilt(like(Ended, how="nothing"))),
    "the gateway fails": ("I3 defect", spoilt(more=asked("poll", 0.1, status=500, problem="internal-error"))),
    "a job cannot be found by its owner": (
        "I3 pointer",
        spoilt(like(Complete, 4, status=404, job=None, job_status=None, problem="not-found", body=NOT_FOUND)),
    ),
    "a repeated call has another job": ("I3 pointer", spoilt(like(Complete, 7, job=ELSEWHERE))),
    "a road tells other bytes": ("I4 bytes", spoilt(like(Complete, 4, body=OUTPUT + " "))),
    "a stream tells another status": (
        "I4 bytes",
        spoilt(like(Complete, 5, events=(Event(4, "outcome", STREAMED.replace("200", "201")),))),
    ),
    "a callback tells other bytes": ("I4 bytes", spoilt(like(Delivered, body="{}"))),
    "the store holds other bytes": ("I4 bytes", spoilt(like(Record, body="{}"))),
    "an outcome was told that is not kept": (
        "I4 bytes",
        spoilt(
            like(Record, **EXPIRED),
            like(Complete, 4, status=502, job_status=None, problem="upstream-ambiguous", body=AMBIGUOUS),
        ),
    ),
    "an output is another call's": ("I4 foreign", spoilt(like(Complete, 7, body=FOREIGN))),
    "a callback never came": ("I5 no callback", spoilt(without=Delivered)),
    "a callback came that nobody asked for": ("I5 unasked callback", spoilt(like(Record, callback=False))),
    "a job has two webhook ids": ("I5 callback ids", spoilt(more=(like(Delivered, webhook_id="webhook-2"),))),
    "a callback came before the end": ("I5 early callback", spoilt(like(Delivered, stored="running"))),
    "a stranger reads": ("I6 stranger", spoilt(like(Complete, 6, status=200, body='{"status":"succeeded"}'))),
    "a stranger is told that there is a job": ("I6 stranger", spoilt(like(Complete, 6, body=NOT_FOUND + " "))),
    "another call's tag is told": ("I6 tag", spoilt(like(Complete, 3, body=f'{{"status":"succeeded","x":"{OTHER}"}}'))),
    "event ids fall": (
        "I8 order",
        spoilt(like(Complete, 5, events=(Event(4, "running", "{}"), Event(4, "outcome", STREAMED)))),
    ),
    "an event comes again after reconnecting": ("I8 order", spoilt(like(Invoke, 5, last_event=4))),
    "an event comes after the outcome": (
        "I8 after the end",
        spoilt(like(Complete, 5, events=(Event(4, "outcome", STREAMED), Event(5, "outcome", STREAMED)))),
    ),
    "a stream has no outcome": ("I8 no outcome", spoilt(like(Complete, 5, events=(Event(3, "running", "{}"),)))),
    "a token is told": ("I9 token", spoilt(like(Complete, 3, body='{"status":"succeeded"} canary-a-' + "0" * 32))),
    "a key has no TTL": ("I10 key without a TTL", spoilt(more=(Leftover("key without a TTL", "chaos:x"),))),
}


@pytest.mark.parametrize("what", WRONG)
def test_it_is_seen_that(what):
    """One thing is wrong, and just that is told."""
    invariant, lines = WRONG[what]
    assert invariant in seen(lines)


@pytest.mark.parametrize(
    ("kind", "target", "is_told"), [("kill", 0, False), ("kill", 1, True), ("kill", REDIS, True), ("stop", 0, True)]
)
def test_a_killed_replica_cuts_its_own_connections(kind, target, is_told):
    """And nothing else does."""
    fault = Fault(kind, target, 12.4, 13.0)
    cut = spoilt(more=(*asked("wait", 0.5, status=200, error="ClientPayloadError: …"), fault))
    assert ("I3 cut" in seen(cut)) is is_told
    closed = spoilt(more=(*asked("wait", 0.5, job=None, error="ServerDisconnectedError: …"), fault))
    assert ("I3 no answer" in seen(closed)) is is_told


@pytest.mark.parametrize(
    ("excuse", "took", "is_told"),
    [
        (Fault("stop", 0, 12.0, 14.0), 3.9, False),
        (Fault("stop", 1, 12.0, 14.0), 3.9, True),
        (Fault("kill", REDIS, 8.0, 9.0), 2.9, False),
        (Unwell(0, 12.0, 12.5), 2.9, False),
        (Fault("stop", 0, 12.0, 12.5), 9.0, True),
    ],
)
def test_a_wait_may_be_longer_by_the_time_of_a_disturbance(excuse, took, is_told):
    """Of the caller's replica or of the store, and of the time that it takes to recover; no longer."""
    lines = spoilt(more=(*asked("wait", took, status=303), excuse))
    assert ("I3 late" in seen(lines)) is is_told


def test_a_freed_key_may_have_a_second_job():
    """The first certainly did not run."""
    refused = like(Record, job=ELSEWHERE, state="failed", status=503, refused=True, frees_key=True, callback=False)
    lines = spoilt(more=(Invoke(91, CALL, "start", 1, 9.0, 1.0), Complete(91, 9.1, 503, ELSEWHERE), refused))
    assert "I1 one job" not in seen(lines)


@pytest.mark.parametrize("ran", [0, 1])
def test_a_job_that_a_call_may_have_need_not_be(ran):
    """Whoever was told of it asks for it; whether it ran or never was, nobody was told otherwise."""
    lines = [
        like(Call, key=None),
        Invoke(1, CALL, "start", 0, 10.0, 1.0),
        Complete(1, 10.1, 503, ELSEWHERE, problem="store-unavailable"),
        Ended(CALL, 10.1, "pointer", ELSEWHERE),
        Upstream(CALL, ran, ran, 0, 1.0),
    ]
    assert seen(lines) == set()
