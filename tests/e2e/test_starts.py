"""Starts that go wrong, in every known way, by every method: one start at most, and the caller told what is certain."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from gateway.core.modes import UpstreamMode
from gateway.simulator import Settings
from gateway.simulator.faults import FAULTS
from tests.e2e.support import Answer, Caller, fronting, receiving
from tests.support.listening import free_port
from tests.support.rig import BASE_PATH, policy, simulated, with_store
from tests.upstream.http1.raw_origin import HOLD, OK, RST, RawOrigin

METHODS = ("POST", "GET", "PUT", "DELETE")
AMBIGUOUS = (502, "upstream-ambiguous")
LOCATION = (502, "upstream-ambiguous")
FINE = (200, None)

AS_GIVEN = {"401": 401, "403": 403, "404": 404, "429": 429, "500-cold": 500}
"""Faults that are Orchestrator's own answer, and its status."""
FREES_KEY = {"401", "429"}
"""Those after which the same call may be made again under the same key."""
BODY_FAULTS = {"reset-in-body", "stall-in-body", "truncated", "truncated-chunked", "truncated-close", "empty"}
LOCATION_FAULTS = {"no-location", "foreign-location", "301", "302", "307", "308"}


@dataclass(frozen=True)
class Kind:
    """A kind of first answer: its trigger, and how long its job runs. Long polls are held for 0.4 s."""

    slug: str
    duration: float
    body: bool
    location: bool


ACCEPTED = Kind("async", 0.05, body=False, location=True)
"""202 with a Location."""
AT_ONCE = Kind("fixed-longpoll", 0.05, body=True, location=False)
"""The outcome itself."""
REDIRECTED = Kind("fixed-longpoll", 0.6, body=False, location=True)
"""303 to the next leg."""
KINDS = (ACCEPTED, AT_ONCE, REDIRECTED)


def expected(fault: str, kind: Kind) -> tuple[int, str | None] | None:
    """Return the status and problem that a sync caller is told; None where the fault is no fault to a client."""
    if fault in AS_GIVEN:
        return AS_GIVEN[fault], None
    if fault in BODY_FAULTS:
        # An empty 200 is how a forgetting trigger answers: `dispatched`.
        return FINE if not kind.body else (202, None) if fault == "empty" else AMBIGUOUS
    if fault in LOCATION_FAULTS:
        if not kind.location:
            return FINE
        if fault == "302":
            return FINE if kind is REDIRECTED else None
        return LOCATION if fault.endswith("location") else AMBIGUOUS
    return AMBIGUOUS


def strikes(fault: str, kind: Kind) -> bool:
    """Whether the first answer of this kind has what the fault spoils."""
    return kind.body if fault in BODY_FAULTS else kind.location or fault not in LOCATION_FAULTS


def name_of(fault: str, kind: Kind) -> str:
    """Return the tag of one call."""
    return f"{fault} {kind.slug} {kind.duration}"


CALLS = {
    name_of(fault, kind): (fault, kind, told) for fault in FAULTS for kind in KINDS if (told := expected(fault, kind))
}


async def call(caller: Caller, method: str, fault: str, kind: Kind) -> Answer:
    """Start a job whose first start goes wrong; any further one would succeed."""
    tag = name_of(fault, kind)
    return await caller.start(
        method,
        f"/t/folder/{kind.slug}",
        json={"id": tag, "duration": kind.duration, "fault": fault, "fault_times": 1},
        headers={"Idempotency-Key": tag},
    )


async def call_all(caller: Caller, method: str) -> dict[str, Answer]:
    """Make every call of the table at once."""
    async with asyncio.TaskGroup() as group:
        tasks = {tag: group.create_task(call(caller, method, fault, kind)) for tag, (fault, kind, _) in CALLS.items()}
    return {tag: task.result() for tag, task in tasks.items()}


@pytest.mark.parametrize("method", METHODS)
async def test_no_fault_of_a_start_leads_to_a_second_one(method, redis_url):
    """Every fault in the table: told as what it is; replayed under its key, unless nothing ran for certain."""
    async with (
        simulated(Settings(leg=0.4)) as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), policy=policy(start_timeout=2_000)) as caller,
    ):
        first = await call_all(caller, method)
        assert {tag: (answer.status, answer.problem) for tag, answer in first.items()} == {
            tag: told for tag, (_, _, told) in CALLS.items()
        }
        assert simulator.starts_by_argument == dict.fromkeys(CALLS, 1)
        assert simulator.counters.faults == sum(strikes(fault, kind) for fault, kind, _ in CALLS.values())
        again = await call_all(caller, method)
        for tag, (fault, _, _) in CALLS.items():
            check_repeated(first[tag], again[tag], freed=fault in FREES_KEY)
        assert simulator.starts_by_argument == {
            tag: 2 if fault in FREES_KEY else 1 for tag, (fault, _, _) in CALLS.items()
        }
        assert set(simulator.jobs_by_argument.values()) == {1}


def check_repeated(first: Answer, again: Answer, *, freed: bool) -> None:
    """See that a repeated call was a new one where the key was freed, and else told the same of the same job."""
    if freed:
        assert again.status == 200
        assert "Idempotent-Replayed" not in again.headers
        return
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Job-Id"] == first.headers["Job-Id"]
    assert again.status == first.status
    if again.problem is None and again.status != 202:
        assert again.body == first.body


async def test_an_ambiguous_start_is_documented(redis_url):
    """The problem says that the job may have run, and where it can be seen; the monitor says `unknown`."""
    async with (
        simulated() as (_, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url)) as caller,
    ):
        told = await caller(json={"id": "a", "fault": "502-after"})
        job = told.headers["Job-Id"]
        assert told.status == 502
        assert "Job-Status" not in told.headers
        document = told.json
        monitor = document.pop("monitor")
        assert document == {
            "type": "urn:callmode:problem:upstream-ambiguous",
            "title": "The job may have run; do not send it again",
            "status": 502,
            "detail": "the start was answered with 502 and an HTML page",
            "retryable": False,
            "jobId": job,
        }
        assert monitor.startswith(f"{caller.url}/-/jobs/{job}")
        view = (await caller("GET", monitor, headers={"Authorization": ""})).json
        assert (view["status"], view["error"], view["finished"]) == ("unknown", "upstream-ambiguous", None)


@pytest.mark.parametrize("method", METHODS)
async def test_an_unreachable_upstream_is_documented_and_frees_the_key(method, redis_url):
    """Nothing was sent, so the same call may be made again; once the upstream is there, it runs."""
    port = free_port()
    async with fronting(f"http://127.0.0.1:{port}", shared=with_store(redis_url)) as caller:
        headers = {"Idempotency-Key": "k"}
        told = await caller.start(method, "/t/f/s", json={"n": 1}, headers=headers)
        assert (told.status, told.problem, told.json["retryable"]) == (502, "upstream-unreachable", True)
        assert told.json["detail"].startswith("nothing was sent: ")
        server = await asyncio.start_server(answer_ok, "127.0.0.1", port)
        async with server:
            again = await caller.start(method, "/t/f/s", json={"n": 1}, headers=headers)
        assert (again.status, again.body) == (200, b"{}")
        assert "Idempotent-Replayed" not in again.headers


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    writer.close()


async def test_a_rate_limit_is_answered_as_given(redis_url):
    """Status, body and Retry-After of the upstream's own 429: its caller may know how to wait."""
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url)) as caller,
    ):
        told = await caller(json={"id": "a", "fault": "429"})
        assert (told.status, told.problem) == (429, None)
        assert told.json["message"] == "Too many requests."
        assert told.headers["Retry-After"] == "1"
        assert told.headers["Job-Status"] == "failed"
        assert simulator.jobs_by_argument == {}


async def test_a_certain_failure_is_tried_again_where_the_route_says_so(redis_url):
    """Within `start_retry` a rate limit costs the caller time and nothing else; the key stays with the job."""
    async with (
        simulated() as (simulator, origin),
        fronting(origin + BASE_PATH, shared=with_store(redis_url), policy=policy(start_retry=10_000)) as caller,
    ):
        answer = await caller(json={"id": "a", "duration": 0.1, "fault": "429", "fault_times": 1})
        assert (answer.status, answer.json["id"]) == (200, "a")
        assert (simulator.starts_by_argument, simulator.jobs_by_argument) == ({"a": 2}, {"a": 1})


@pytest.mark.parametrize("method", METHODS)
async def test_an_origin_that_kills_connections_sees_each_start_once(method, redis_url):
    """On a fresh connection and on one that served before: a reset after the request is no reason to send it again."""
    async with (
        RawOrigin([RST], [OK], [RST], [OK]) as origin,
        fronting(origin.url, shared=with_store(redis_url)) as caller,
    ):
        statuses = [(await caller.start(method, "/t/f/s", json={"n": n})).status for n in range(4)]
        assert statuses == [502, 200, 502, 200]
        assert len(origin.requests) == 4
        assert origin.connections == 3  # the third start went out on the second's connection


async def test_the_token_is_not_sent_to_where_a_location_must_not_lead(redis_url):
    """A Location on a host that no setting names: the job is `unknown`, the setting is named, the host not called."""
    async with RawOrigin() as elsewhere:
        accepted = b"HTTP/1.1 202 Accepted\r\nLocation: %s/status\r\nContent-Length: 0\r\n\r\n" % elsewhere.url.encode()
        async with (
            RawOrigin([accepted]) as origin,
            fronting(origin.url, shared=with_store(redis_url)) as caller,
        ):
            told = await caller(json={"n": 1})
            assert (told.status, told.problem, told.json["retryable"]) == (502, "upstream-ambiguous", False)
            assert "upstream.allowed_hosts" in told.json["detail"]
            view = (await caller("GET", told.json["monitor"])).json
            assert view["status"] == "unknown"
            assert "upstream.allowed_hosts" in view["message"]
            assert len(origin.requests) == 1
        assert elsewhere.connections == 0


@pytest.mark.parametrize("method", METHODS)
async def test_a_start_that_is_never_answered_is_given_up_once(method, redis_url):
    """After `start_timeout`: ambiguous, the connection closed, nothing sent again."""
    async with (
        RawOrigin([HOLD]) as origin,
        fronting(origin.url, shared=with_store(redis_url), policy=policy(start_timeout=300)) as caller,
    ):
        began = asyncio.get_running_loop().time()
        told = await caller.start(method, "/t/f/s", json={"n": 1})
        assert (told.status, told.problem) == AMBIGUOUS
        assert 0.3 <= asyncio.get_running_loop().time() - began < 2.0
        async with asyncio.timeout(5):
            await origin.left.wait()
        assert len(origin.requests) == 1


# A start that takes longer than `start_wait`.

SLOW = policy(start_wait=700, upstream_mode=UpstreamMode.LONG_POLL)


async def test_accepting_modes_answer_before_a_slow_start_does(redis_url):
    """A 202, a 200, or the event `starting`; then the exact outcome, of one start each."""
    async with (
        simulated(Settings(leg=5)) as (simulator, origin),
        receiving() as receiver,
        fronting(origin + BASE_PATH, shared=with_store(redis_url), policy=SLOW, callbacks=receiver.settings) as caller,
    ):

        async def slow(mode: str) -> Answer:
            headers = {"Call-Mode": mode, "Callback-Url": receiver.url}
            return await caller(json={"id": mode, "duration": 2.5}, headers=headers)

        async with asyncio.TaskGroup() as group:
            calls = {mode: group.create_task(slow(mode)) for mode in ("async", "forget", "callback", "stream")}
            done, _ = await asyncio.wait(set(calls.values()) - {calls["stream"]}, timeout=2.3)
            assert len(done) == 3
            assert simulator.ended_at == {}
        answers = {mode: task.result() for mode, task in calls.items()}
        assert {mode: answer.status for mode, answer in answers.items()} == {
            "async": 202, "forget": 200, "callback": 202, "stream": 200,
        }  # fmt: skip
        assert answers["forget"].body == b""
        assert answers["async"].json["status"] == answers["callback"].json["status"] == "starting"
        assert event_names(answers["stream"].body)[0] == "starting"
        assert event_names(answers["stream"].body)[-1] == "outcome"
        for mode, answer in answers.items():
            view = (await caller("GET", f"/-/jobs/{answer.headers['Job-Id']}", params={"wait": "10"})).json
            assert (await caller("GET", view["resultUrl"])).json == {"id": mode}
        async with asyncio.timeout(5):
            await receiver.arrived.wait()
        # The callbacks of the other modes were asked for by their header alone.
        assert {"id": "callback"} in [delivery.json for delivery in receiver.deliveries]
        assert simulator.starts_by_argument == dict.fromkeys(answers, 1)


def event_names(body: bytes) -> list[str]:
    """Return the names of a stream's events."""
    return [line.removeprefix("event: ") for line in body.decode().splitlines() if line.startswith("event: ")]


async def test_a_refusal_within_the_wait_is_the_answer_and_later_the_outcome(redis_url):
    """An accepting caller gets the upstream's 400 as it is while it waits; after that, the poll URI leads to it."""
    refusal = b'{"message":"Could not parse body as json.","errorCode":4804}'
    whole = (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(refusal)
        + refusal
    )
    late = asyncio.Event()
    async with (
        RawOrigin([whole], [late, whole]) as origin,
        fronting(origin.url, shared=with_store(redis_url), policy=policy(start_wait=300)) as caller,
    ):
        headers = {"Call-Mode": "async"}
        at_once = await caller(json={"n": 1}, headers=headers)
        assert (at_once.status, at_once.body, at_once.headers["Job-Status"]) == (400, refusal, "failed")
        accepted = await caller(json={"n": 2}, headers=headers)
        assert (accepted.status, accepted.json["status"]) == (202, "starting")
        late.set()
        view = (await caller("GET", accepted.json["links"]["monitor"] + "&wait=10")).json
        assert view["status"] == "failed"
        polled = await caller("GET", accepted.headers["Location"])
        assert polled.status == 303
        outcome = await caller("GET", polled.headers["Location"])
        assert (outcome.status, outcome.body) == (400, refusal)
        assert len(origin.requests) == 2


# Reads that go wrong.

MOVED = {"301", "307", "308"}
"""To a read these say that its URI has moved: what is there is read as what was asked for, so an output behind a status
URI's 308 looks like a job that runs on."""
ENDS = {"403": 403, "404": 404, "500-cold": 500}
"""Faults that are an answer of Orchestrator's own to a read: the outcome, as given."""
POINTS = {
    "status": Kind("async", 0.8, body=False, location=True),
    "output": ACCEPTED,
    "leg": Kind("fixed-longpoll", 2.0, body=False, location=True),
}
"""Jobs that are long enough to be read while they run, with a body and with a Location."""


def read_expected(fault: str, point: str) -> tuple[int, str | None, bool] | None:
    """Return status, problem, and whether the body is the job's output; None where the fault is no fault."""
    if fault in MOVED and point == "status":
        return None
    if fault in ENDS:
        return ENDS[fault], None, False
    if fault == "foreign-location" and point != "output":
        return *LOCATION, False
    if fault == "empty" and point != "status":
        return 200, None, False
    return *FINE, True


READS = {
    f"{fault}@{point}": (fault, point, told)
    for fault in FAULTS
    for point in POINTS
    if (told := read_expected(fault, point))
}


async def test_faults_of_reads_are_survived_with_the_exact_outcome(redis_url):
    """Every fault in the table, of status, leg and output reads: read again, never started again."""
    async with (
        simulated(Settings(leg=0.4)) as (simulator, origin),
        fronting(
            origin + BASE_PATH,
            shared=with_store(redis_url),
            policy=policy(read_timeout=1_500, upstream_hold=500, hold_margin=1_000),
        ) as caller,
    ):

        async def read(tag: str) -> Answer:
            fault, point, _ = READS[tag]
            kind = POINTS[point]
            arguments = {"id": tag, "duration": kind.duration, "fault": fault, "fault_on": point, "fault_times": 1}
            return await caller(path=f"/t/folder/{kind.slug}", json=arguments)

        async with asyncio.TaskGroup() as group:
            tasks = {tag: group.create_task(read(tag)) for tag in READS}
        answers = {tag: task.result() for tag, task in tasks.items()}
        seen = {tag: (answer.status, answer.problem, answer.body == exact(tag)) for tag, answer in answers.items()}
        assert seen == {tag: told for tag, (_, _, told) in READS.items()}
        assert simulator.starts_by_argument == dict.fromkeys(READS, 1)
        not_struck = [tag for tag, (fault, point, _) in READS.items() if fault in LOCATION_FAULTS and point == "output"]
        assert simulator.counters.faults == len(READS) - len(not_struck)


def exact(tag: str) -> bytes:
    """Return the bytes of the output of the job with this tag."""
    return json.dumps({"id": tag}, separators=(",", ":")).encode()
