"""The monitor: the JSON view of a job, and when it is worth asking again."""

from __future__ import annotations

import datetime as dt
import re

import msgspec
import pytest

from gateway.caller.links import JobUrls
from gateway.caller.monitor import monitor, operator_monitor, retry_after
from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, Leg, LegKind, State, StopStrategy
from gateway.core.modes import UpstreamMode
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND, Pace, Policy
from gateway.core.schedule import Schedule
from tests.caller.calls import NOW, ORIGIN, policy, urls
from tests.core.strategies import BORN, KEY, OK, fresh, in_state

HELD = Leg(LegKind.HOLD, "https://orchestrator.example/hold/1")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def seen(job: Job, rules: Policy | None = None) -> dict:
    """Return the monitor document, read."""
    return msgspec.json.decode(monitor(job, rules or Policy(), urls(job)))


def at(text: str) -> int:
    """Return a document's time in ms."""
    assert RFC_3339.fullmatch(text)
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


MEMBERS = [
    "id", "route", "status", "mode", "upstream", "created", "started", "finished", "expires", "eta", "message",
    "cancel", "resultUrl", "error", "links",
]  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_the_shape_is_the_same_in_every_state(state: State):
    """Every member is always there; what is not known is null."""
    view = seen(in_state(state))
    assert list(view) == MEMBERS
    assert list(view["upstream"]) == ["mode", "key", "state", "attempts"]
    assert view["status"] == state.value == state.value.lower()
    assert [name for name in ("created", "started", "finished", "expires") if view[name] is not None] == [
        name for name in ("created", "started", "finished", "expires")
        if name in {"created", "expires"} or (name == "finished" and state.terminal)
        or (name == "started" and state in {State.RUNNING, State.SUCCEEDED, State.DISPATCHED})
    ]  # fmt: skip


def test_times():
    """RFC 3339 in UTC with milliseconds."""
    job = in_state(State.SUCCEEDED)
    view = seen(job)
    assert view["created"] == "2023-11-14T22:13:20.000Z"
    assert (at(view["created"]), at(view["started"]), at(view["finished"])) == (BORN, BORN + 20, BORN + 30)


@pytest.mark.parametrize("state", State)
def test_the_result_is_named_once_it_is_there(state: State):
    """`resultUrl` is null until the job has ended."""
    job = in_state(state)
    assert seen(job)["resultUrl"] == (f"{ORIGIN}/-/jobs/{job.id}/result" if state.terminal else None)


EXPIRIES = [
    (State.ACCEPTED, BORN + HOUR),  # `fresh` jobs have an hour to their deadline
    (State.RUNNING, BORN + HOUR),
    (State.UNKNOWN, BORN + 20 + 72 * HOUR),
    (State.SUCCEEDED, BORN + 30 + DAY),
    (State.FAILED, BORN + 20 + 5 * MINUTE),  # a refused start is kept for less
]


@pytest.mark.parametrize(("state", "expires"), EXPIRIES)
def test_expiry(state: State, expires: int):
    """The deadline of a live job, the verdict's of an unknown one, the retention's end of an ended one."""
    assert at(seen(in_state(state))["expires"]) == expires


def test_the_eta_is_said_only_where_somebody_knows():
    """A route that says `typical`, a job that runs."""
    typical = policy(pace=Pace(typical=MINUTE))
    running = in_state(State.RUNNING)
    assert at(seen(running, typical)["eta"]) == running.started + MINUTE
    assert seen(running)["eta"] is None
    assert seen(in_state(State.STARTING), typical)["eta"] is None
    assert seen(in_state(State.SUCCEEDED), typical)["eta"] is None


LEARNED = Pace(typical=HOUR, learned=Schedule((9_000, 10_000, 11_500), (8_000, 9_500, 10_500, 11_000)))


@pytest.mark.parametrize(
    ("age", "likely"), [(0, 10_500), (8_000, 10_500), (9_600, 11_000), (10_900, 11_000), (11_000, None)]
)
def test_the_eta_is_when_half_of_those_end_that_lasted_as_long(age: int, likely: int | None):
    """It moves on while the job does not end; of one that is older than all nobody knows; `typical` gives way."""
    job = in_state(State.RUNNING)
    view = msgspec.json.decode(monitor(job, policy(pace=LEARNED), urls(job), job.started + age))
    assert view["eta"] is None if likely is None else at(view["eta"]) == job.started + likely


def test_without_a_time_the_eta_is_that_of_the_last_change():
    """What a stream tells of a change, it tells again in the same words."""
    job = in_state(State.RUNNING)
    assert at(seen(job, policy(pace=LEARNED))["eta"]) == job.started + 10_500


def test_the_age_of_a_held_job_counts_from_its_start_as_it_was_sent():
    """Its start was answered when the first hold was over."""
    held = apply(apply(fresh(), e.StartIntended(), BORN), e.Followed(UpstreamMode.LONG_POLL, HELD), BORN + 9_600)
    view = msgspec.json.decode(monitor(held, policy(pace=LEARNED), urls(held), BORN + 9_600))
    assert at(view["eta"]) == BORN + 11_000


@pytest.mark.parametrize(
    ("age", "seconds"), [(0, 9), (8_500, 1), (9_000, 1), (10_000, 2), (12_000, 2), (30 * MINUTE, 15)]
)
def test_retry_after_is_when_the_gateway_will_have_asked(age: int, seconds: int):
    """By the learned schedule; of a job older than all by its age; never longer than the ceiling."""
    job = in_state(State.RUNNING)
    assert retry_after(job, policy(pace=LEARNED), job.started + age) == seconds


def test_what_the_upstream_said():
    """The mode observed, what it last said of the job, and how often it was asked."""
    assert seen(in_state(State.STARTING))["upstream"] == {"mode": None, "key": None, "state": None, "attempts": 1}
    running = apply(in_state(State.RUNNING), e.StillRunning(), NOW)
    expected = {"mode": UpstreamMode.ASYNC.value, "key": None, "state": "running", "attempts": 2}
    assert seen(running)["upstream"] == expected
    ended = apply(running, e.Ended(OK), NOW)
    assert seen(ended)["upstream"] == expected | {"state": "ended", "attempts": 3}


def test_how_far_a_cancel_has_come():
    """Due, asked for, sent as a stop and then as a kill: each is told; effective is only the status."""
    job = in_state(State.RUNNING, cancel_after=MINUTE)
    due = {"due": "2023-11-14T22:14:20.000Z", "requested": False, "sent": None, "at": None}
    assert seen(job)["cancel"] == due
    job = apply(job, e.CancelRequested(), NOW)
    assert seen(job)["cancel"] == due | {"due": None, "requested": True}
    assert seen(job)["upstream"]["state"] == "running"
    job = apply(job, e.StopFailed("503"), NOW)
    assert seen(job)["cancel"] == due | {"due": None, "requested": True, "at": "2023-11-14T22:13:21.000Z"}
    assert seen(job)["message"] == "503"
    for strategy in StopStrategy:
        job = apply(job, e.StopSent(strategy), NOW + SECOND)
        assert seen(job)["cancel"]["sent"] == strategy
        assert seen(job)["cancel"]["at"] == "2023-11-14T22:13:22.000Z"
    assert (seen(job)["status"], seen(job)["upstream"]["state"]) == ("running", "stopping")


def test_the_key_in_orchestrator():
    """Told as soon as it is known."""
    job = apply(in_state(State.RUNNING), e.Located(KEY), NOW)
    assert seen(job)["upstream"]["key"] == KEY


def test_what_an_operator_sees():
    """Everything but the outcome and the way to it; what may be done is linked."""
    for state in State:
        job = in_state(state)
        view = msgspec.json.decode(
            operator_monitor(job, Policy(), JobUrls(ORIGIN, job.id, cancelable=state is State.ACCEPTED))
        )
        assert list(view) == MEMBERS
        assert view["resultUrl"] is None
        more = {State.ACCEPTED: {"cancel"}, State.UNKNOWN: {"resolve"}}
        assert set(view["links"]) == {"monitor"} | more.get(state, set())


def test_an_end_that_the_gateway_made_is_not_the_upstreams():
    """A canceled job did not end upstream; its problem is named."""
    view = seen(in_state(State.CANCELED))
    assert (view["upstream"]["state"], view["error"], view["message"]) == (None, "job-canceled", "asked for")


def test_the_message_says_what_is_wrong_right_now():
    """While reads fail, the monitor says why; when they work again, nothing."""
    failing = apply(in_state(State.RUNNING), e.ReadFailed("502 without a JSON body"), NOW)
    assert seen(failing)["message"] == "502 without a JSON body"
    assert seen(apply(failing, e.StillRunning(), NOW))["message"] is None


def test_the_mode_is_the_starters():
    """None is told as `upstream`."""
    assert seen(fresh())["mode"] == "sync"
    assert seen(fresh().with_(mode=None))["mode"] == "upstream"


def test_links_carry_the_signature():
    """All of them, or a client that drops Authorization could follow only some."""
    job = fresh()
    view = msgspec.json.decode(monitor(job, Policy(), JobUrls(ORIGIN, job.id, "abc.k.mac")))
    assert set(view["links"]) == {"monitor", "poll", "wait", "result", "events", "callbacks"}
    assert all(url.startswith(f"{ORIGIN}/-/jobs/{job.id}") for url in view["links"].values())
    assert all("sig=abc.k.mac" in url for url in view["links"].values())


def test_the_cancel_link():
    """There where there is a way to cancel, and for the share that is this caller's."""
    job = fresh()
    view = msgspec.json.decode(monitor(job, Policy(), JobUrls(ORIGIN, job.id, share="2.ab", cancelable=True)))
    assert view["links"]["cancel"] == f"{ORIGIN}/-/jobs/{job.id}/cancel?share=2.ab"


def test_what_is_to_be_said_to_one_caller():
    """It takes the place of the job's own message."""
    job = fresh()
    assert msgspec.json.decode(monitor(job, Policy(), urls(job), message="yours is over"))["message"] == "yours is over"


@pytest.mark.parametrize(
    ("pace", "age", "seconds"),
    [
        (Pace(), 0, 1),
        (Pace(floor=0), 0, 1),
        (Pace(), 10 * SECOND, 2),
        (Pace(), 10 * MINUTE, 15),
        (Pace(typical=10 * SECOND), SECOND, 2),
        (Pace(typical=HOUR), SECOND, 15),
    ],
)
def test_retry_after(pace: Pace, age: int, seconds: int):
    """Whole seconds, rounded up, never 0, no longer than the gateway itself would wait."""
    assert retry_after(fresh(), policy(pace=pace), BORN + age) == seconds
