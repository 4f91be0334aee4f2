"""The outcome rules as two tables, one of starts and one of reads: each row is a rule with what comes back and why.

Rows read like the wire: a status, some header fields, a body. The verdict is what the job is told.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.exchange import Answer, Failure, Framing, Reason
from gateway.core.job import Leg, LegKind, Outcome, State
from gateway.core.modes import UpstreamMode
from gateway.core.outcome import (
    MAX_REDIRECTS,
    MAX_UNREADABLE,
    Origins,
    StartContext,
    end_to_end,
    judge_read,
    judge_start,
    retry_after,
    state_of,
)
from gateway.core.states import TRANSITIONS
from tests.core.strategies import ANSWERS, ASKED, EXCHANGES, LEGS, TRIGGER, UPSTREAM

HOST = "https://orchestrator.example"
ORIGINS = Origins(UPSTREAM)
ASYNC, LONG_POLL, FORGET = UpstreamMode.ASYNC, UpstreamMode.LONG_POLL, UpstreamMode.FORGET
STATUS, HOLD, OUTPUT = LegKind.STATUS, LegKind.HOLD, LegKind.OUTPUT
EVERY_ASKED = (None, ASYNC, LONG_POLL, FORGET)
NOT_LONG_POLL = (None, ASYNC, FORGET)

JSON = ("Content-Type", "application/json; charset=utf-8")
HTML = ("Content-Type", "text/html")
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head></html>"
FAULTED = b'{"message":"Object reference not set","errorCode":4801,"traceId":"00-1"}'

ENVELOPES = {
    "orchestrator": FAULTED,
    "abp": b'{"__abp":true,"error":{"code":0,"message":"An internal error occurred","details":null},"success":false}',
    "status-code": b'{"StatusCode":500,"StatusDescription":"InternalServerError","Message":"x"}',
    "rfc-9457": b'{"type":"about:blank","title":"Internal Server Error","status":500}',
    "error-message": b'{"errorMessage":"x"}',
    "leading-space": b'\r\n {"errorMessage":"x"}',
}
"""Every shape of Orchestrator's own errors."""


def answer(status: int, *headers: tuple[str, str], body: bytes = b"", framing: Framing = Framing.LENGTH) -> Answer:
    """Return an answer as it came over the wire."""
    return Answer(status, headers, body, framing)


def to(url: str) -> tuple[str, str]:
    """Return the field that points to `url`."""
    return ("Location", url)


def started(
    exchanged: Answer | Failure, asked: UpstreamMode | None = ASYNC, *, url: str = TRIGGER, own: bool = False
) -> e.Event:
    """Judge the answer to a start."""
    return judge_start(exchanged, StartContext(url, asked, ORIGINS, own))


def read(
    exchanged: Answer | Failure, kind: LegKind = STATUS, *, redirects: int = 0, failures: int = 0, origins=ORIGINS
) -> e.Event:
    """Judge the answer to a read of a leg of `kind`."""
    return judge_read(exchanged, Leg(kind, f"{HOST}/a/b/c?d"), origins, redirects, failures)


# What a verdict may be, as short words for the tables below.


def followed(mode: UpstreamMode, kind: LegKind, url: str) -> e.Event:
    """Expect that the job runs and is followed at `url`."""
    return e.Followed(mode, Leg(kind, url))


def ended(answer: Answer, mode: UpstreamMode | None = None) -> e.Event:
    """Expect that `answer` is the outcome, with none of its fields left out."""
    return e.Ended(Outcome(answer.status, answer.headers, answer.body), mode)


AMBIGUOUS = "upstream-ambiguous"
REFUSED_LOCATION = "location-refused"

# ---------------------------------------------------------------- starts

ANSWERED = [
    # rule, asked, answer, expected
    ("202-with-location-is-async", EVERY_ASKED, answer(202, to("/s/1")), followed(ASYNC, STATUS, f"{HOST}/s/1")),
    ("202-may-have-a-body", EVERY_ASKED, answer(202, to("/s"), body=b"{}"), followed(ASYNC, STATUS, f"{HOST}/s")),
    ("303-with-location-is-long-poll", EVERY_ASKED, answer(303, to("/h")), followed(LONG_POLL, HOLD, f"{HOST}/h")),
    ("302-counts-as-303", EVERY_ASKED, answer(302, to("/h")), followed(LONG_POLL, HOLD, f"{HOST}/h")),
    ("empty-200-is-dispatched", NOT_LONG_POLL, answer(200), e.Dispatched()),
    ("empty-200-of-a-long-poll-is-the-outcome", (LONG_POLL,), answer(200), ended(answer(200), LONG_POLL)),
    ("202-without-location-of-a-long-poll", (LONG_POLL,), answer(202), ended(answer(202), LONG_POLL)),
    *(
        (f"{each.status}-{name}-is-the-outcome", EVERY_ASKED, each, ended(each, LONG_POLL))
        for name, each in {
            "with-json": answer(200, JSON, body=b'{"sum":3}'),
            "with-text": answer(200, ("Content-Type", "text/plain"), body=b"3"),
            "with-html": answer(200, HTML, body=b"<p>3</p>"),
            "created": answer(201, JSON, body=b"{}"),
            "no-content": answer(204),
            "of-a-function": answer(226, body=b"x"),
        }.items()
    ),
]


@pytest.mark.parametrize(("asked", "given_", "expected"), [
    pytest.param(asked, given_, expected, id=f"{rule}-asked-{asked.value if asked else 'nothing'}")
    for rule, askeds, given_, expected in ANSWERED
    for asked in askeds
])  # fmt: skip
def test_an_accepted_start(asked, given_, expected):
    """The first answer fixes the mode, whatever was asked."""
    assert started(given_, asked) == expected


MAY_HAVE_RUN = {
    "502-html-of-cloudflare": answer(502, HTML, body=BAD_GATEWAY),
    "503-html": answer(503, HTML, body=BAD_GATEWAY),
    "504-html": answer(504, HTML, body=BAD_GATEWAY),
    "524-html": answer(524, HTML, body=BAD_GATEWAY),
    "429-html-is-not-orchestrators": answer(429, HTML, body=BAD_GATEWAY),
    "429-html-without-its-label": answer(429, body=b"\n<!doctype html>"),
    "500-empty": answer(500),
    "503-empty": answer(503, ("Retry-After", "1")),
    "500-text": answer(500, ("Content-Type", "text/plain"), body=b"upstream connect error"),
    "503-json-that-is-no-object": answer(503, JSON, body=b'"unavailable"'),
    "500-json-cut": answer(500, JSON, body=FAULTED[:20], framing=Framing.CLOSE),
    "404-json-cut": answer(404, JSON, body=b'{"message":', framing=Framing.CLOSE),
    "200-json-cut": answer(200, JSON, body=b'{"sum":', framing=Framing.CLOSE),
    "301": answer(301, to("/moved")),
    "307-would-have-us-start-again": answer(307, to("/moved")),
    "308-would-have-us-start-again": answer(308, to("/moved")),
    "300": answer(300),
    **{f"{reason.value}-after-the-first-byte": Failure(reason, sent=True) for reason in Reason},
}


@pytest.mark.parametrize("asked", EVERY_ASKED, ids=str)
@pytest.mark.parametrize("exchanged", MAY_HAVE_RUN.values(), ids=MAY_HAVE_RUN)
def test_a_start_that_may_have_run(exchanged, asked):
    """Everything doubtful is ambiguous: such a start is never sent again."""
    event = started(exchanged, asked)
    assert isinstance(event, e.StartAmbiguous)
    assert event.code == AMBIGUOUS
    assert event.why


NOT_FOLLOWED = {
    "202-without-location": answer(202),
    "303-without-location": answer(303),
    "302-without-location": answer(302),
    "another-host": answer(202, to("https://elsewhere.example/s/1")),
    "another-port": answer(202, to("https://orchestrator.example:8443/s/1")),
    "less-than-https": answer(303, to("http://orchestrator.example/s/1")),
    "a-name-before-the-host": answer(202, to("https://orchestrator.example@elsewhere.example/")),
    "no-http": answer(303, to("ftp://orchestrator.example/s")),
    "no-host": answer(202, to("https:///s")),
    "nonsense": answer(202, to("http://[::")),
    "empty": answer(202, to("")),
    "the-trigger-itself": answer(303, to(TRIGGER)),
    "the-trigger-itself-by-a-fragment": answer(202, to("#done")),
}


@pytest.mark.parametrize("asked", NOT_LONG_POLL, ids=str)
@pytest.mark.parametrize("given_", NOT_FOLLOWED.values(), ids=NOT_FOLLOWED)
def test_an_accepted_start_that_cannot_be_followed(given_, asked):
    """The job runs, and is `unknown` to us: the code says that the Location is why."""
    event = started(given_, asked)
    assert isinstance(event, e.StartAmbiguous)
    assert event.code == REFUSED_LOCATION


def test_a_refused_location_names_host_and_setting():
    """The operator reads what to allow and where, and no path or query, which may hold a secret."""
    event = started(answer(202, to("https://user@elsewhere.example/s?signature=SECRET")))
    assert "elsewhere.example" in event.why
    assert "upstream.allowed_hosts" in event.why
    assert "SECRET" not in event.why
    assert "user" not in event.why


def test_the_trigger_itself_is_never_followed_with_other_arguments_either():
    """A trigger that is started by GET takes its arguments from the query: without one it would start as well."""
    event = started(answer(303, to("/t/add")), url=f"{HOST}/t/add?n=1")
    assert isinstance(event, e.StartAmbiguous)


@pytest.mark.parametrize("reason", Reason)
def test_a_start_that_was_not_sent(reason):
    """No byte left: nothing ran, the key is free, and the caller may send it again."""
    event = started(Failure(reason, sent=False, detail="port 1"))
    problem = "upstream-credentials" if reason.value == "credential" else "upstream-unreachable"
    detail = f"nothing was sent: {reason.value}: port 1"
    assert event == e.StartRefused(Outcome(502, problem=problem, detail=detail), frees_key=True)


@pytest.mark.parametrize("asked", EVERY_ASKED, ids=str)
def test_a_429_is_a_certain_failure(asked):
    """Nothing ran; the answer is passed on as it is, and its Retry-After is kept for another try."""
    event = started(answer(429, JSON, ("Retry-After", "7"), body=b'{"message":"slow down"}'), asked)
    assert event == e.StartRefused(
        Outcome(429, (JSON, ("Retry-After", "7")), b'{"message":"slow down"}'), frees_key=True, hint=7_000
    )


@pytest.mark.parametrize("asked", NOT_LONG_POLL, ids=str)
@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
@pytest.mark.parametrize("status", [500, 501, 502, 503, 520])
def test_a_5xx_with_orchestrators_json_is_the_starts_answer(status, body, asked):
    """Orchestrator itself speaks: the start was refused. The key is not free, since a job may be on record there."""
    event = started(answer(status, JSON, body=body), asked)
    assert event == e.StartRefused(Outcome(status, (JSON,), body), frees_key=False)


@pytest.mark.parametrize("asked", NOT_LONG_POLL, ids=str)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 422, 451])
@pytest.mark.parametrize("body", [b"", b"no", b"<html>no</html>", b'{"errorCode":1623}'], ids=repr)
def test_a_4xx_is_the_starts_answer(status, body, asked):
    """Whatever its body is."""
    assert started(answer(status, body=body), asked) == e.StartRefused(Outcome(status, (), body), frees_key=False)


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_an_error_to_a_long_poll_may_be_the_jobs_own_end(status):
    """Start and wait are one: a faulted job and a refused start look alike, and both are the outcome."""
    given_ = answer(status, JSON, body=FAULTED)
    assert started(given_, LONG_POLL) == ended(given_, LONG_POLL)


@pytest.mark.parametrize("asked", EVERY_ASKED, ids=str)
def test_a_401_frees_the_key(asked):
    """Authentication comes first, so nothing ran: a refreshed token may use the same idempotency key."""
    assert started(answer(401, body=b"{}"), asked) == e.StartRefused(Outcome(401, (), b"{}"), frees_key=True)


def test_a_long_polled_job_may_say_403():
    """Its first answer may be the job's own end, also under the gateway's own credential."""
    event = judge_start(answer(403, JSON, body=b"{}"), StartContext(TRIGGER, LONG_POLL, ORIGINS, own_credential=True))
    assert event == e.Ended(Outcome(403, (JSON,), b"{}"), mode=LONG_POLL)


@pytest.mark.parametrize(
    ("asked", "status", "frees_key"),
    [*((asked, 401, True) for asked in EVERY_ASKED), *((asked, 403, False) for asked in NOT_LONG_POLL)],
)
def test_a_refusal_of_the_gateways_own_credential_is_its_own_problem(asked, status, frees_key):
    """The caller can do nothing about it, and is not shown the upstream's answer."""
    event = started(answer(status, body=b"secret"), asked, own=True)
    assert (event.outcome.status, event.outcome.problem) == (502, "upstream-credentials")
    assert (event.outcome.body, event.frees_key) == (b"", frees_key)


@given(exchanged=EXCHANGES, asked=ASKED, own=st.booleans())
def test_every_answer_to_a_start_is_judged(exchanged, asked, own):
    """Whatever comes back leads to an event that the state `starting` takes."""
    assert type(started(exchanged, asked, own=own)) in TRANSITIONS[State.STARTING]


@given(exchanged=EXCHANGES, asked=ASKED, own=st.booleans())
def test_a_key_is_freed_only_by_a_start_that_did_not_run(exchanged, asked, own):
    """Not sent, or 429 that is no HTML page, or 401: nothing else frees an idempotency key."""
    event = started(exchanged, asked, own=own)
    if isinstance(event, e.StartRefused) and event.frees_key:
        assert not exchanged.sent if isinstance(exchanged, Failure) else exchanged.status in {401, 429}


# ---------------------------------------------------------------- locations

OPAQUE = [
    # location, the URL that is read
    ("/x/a%2Fb%2fc?sig=%3D%3d+%20&e=1", f"{HOST}/x/a%2Fb%2fc?sig=%3D%3d+%20&e=1"),
    ("https://orchestrator.example/%7Etilde/./../x;v=1", f"{HOST}/%7Etilde/./../x;v=1"),
    ("HTTPS://ORCHESTRATOR.example:443/S", "HTTPS://ORCHESTRATOR.example:443/S"),
    ("//orchestrator.example/s", f"{HOST}/s"),
    ("  /s/1 ", f"{HOST}/s/1"),
    ("/s/1#part", f"{HOST}/s/1"),
    ("next%2F1", f"{HOST}/a/b/next%2F1"),
    ("../up?x=%2E", f"{HOST}/a/up?x=%2E"),
    ("?hop=2", f"{HOST}/a/b/c?hop=2"),
]


@pytest.mark.parametrize(("location", "url"), OPAQUE)
def test_a_location_is_followed_byte_for_byte(location, url):
    """Its escapes may be part of a signature: made absolute, and nothing else."""
    assert read(answer(303, to(location))) == e.Redirected(Leg(OUTPUT, url))
    if not location.startswith(("next", "..", "?")):
        assert started(answer(202, to(location))) == followed(ASYNC, STATUS, url)


def test_the_clouds_hosts_and_the_configured_ones_are_followed():
    """Portal and api hosts of the cloud differ; other hosts are the operator's choice."""
    cloud = Origins("https://cloud.uipath.com/acme/prod/orchestrator_")
    portal = answer(303, to("https://acme.uipath.com/x"))
    assert read(portal, origins=cloud) == e.Redirected(Leg(OUTPUT, "https://acme.uipath.com/x"))
    assert isinstance(read(portal), e.Lost)
    extra = Origins(UPSTREAM, frozenset({"acme.uipath.com"}))
    assert isinstance(read(portal, origins=extra), e.Redirected)


# ---------------------------------------------------------------- reads

HICCUPS = {
    "401-until-a-new-token-comes": answer(401, JSON, body=b"{}"),
    "429": answer(429, JSON, body=b"{}"),
    "502-html": answer(502, HTML, body=BAD_GATEWAY),
    "503-empty": answer(503),
    "504-text": answer(504, body=b"stream timeout"),
    **{f"{status}-html": answer(status, HTML, body=BAD_GATEWAY) for status in range(520, 528)},
    "503-cut-json": answer(503, JSON, body=b'{"a":', framing=Framing.CLOSE),
    "303-without-location": answer(303),
    "307-without-location": answer(307),
    **{
        f"{reason.value}-{'sent' if sent else 'unsent'}": Failure(reason, sent=sent)
        for reason in Reason
        if reason is not Reason.TOO_LARGE
        for sent in (True, False)
    },
}


@pytest.mark.parametrize("kind", LegKind)
@pytest.mark.parametrize("exchanged", HICCUPS.values(), ids=HICCUPS)
def test_a_hiccup_is_never_the_outcome(exchanged, kind):
    """A read may be repeated at will, so everything doubtful is read again."""
    event = read(exchanged, kind)
    assert isinstance(event, e.ReadFailed)
    assert event.why


@pytest.mark.parametrize("status", [429, 503])
def test_a_hiccup_may_say_when_to_come_back(status):
    """Retry-After is kept, in milliseconds."""
    assert read(answer(status, ("Retry-After", "3"))).hint == 3_000


STATUS_ANSWERS = {
    "200-is-running": (answer(200, JSON, body=b'{"state":"Running"}'), e.StillRunning()),
    "200-empty-is-running": (answer(200), e.StillRunning()),
    "200-cut-is-running": (answer(200, JSON, body=b"{", framing=Framing.CLOSE), e.StillRunning()),
    "200-says-when-to-come-back": (answer(200, ("Retry-After", "5")), e.StillRunning(5_000)),
    "202-counts-as-running": (answer(202, to("/elsewhere")), e.StillRunning()),
    "303-leads-to-the-output": (answer(303, to("/o")), e.Redirected(Leg(OUTPUT, f"{HOST}/o"))),
    "302-counts-as-303": (answer(302, to("/o")), e.Redirected(Leg(OUTPUT, f"{HOST}/o"))),
}


@pytest.mark.parametrize(("given_", "expected"), STATUS_ANSWERS.values(), ids=STATUS_ANSWERS)
def test_a_status_uri(given_, expected):
    """In async, 200 means running and 303 is the way to the outcome."""
    assert read(given_, STATUS) == expected


@pytest.mark.parametrize("status", [302, 303])
@pytest.mark.parametrize("redirects", [0, MAX_REDIRECTS, 1_000])
def test_a_long_polls_loop_has_no_bound(status, redirects):
    """The redirect to the next leg is how a long-poll says that the job runs."""
    event = read(answer(status, to("/h/2")), HOLD, redirects=redirects)
    assert event == e.Redirected(Leg(HOLD, f"{HOST}/h/2"), 0)


@pytest.mark.parametrize("kind", LegKind)
@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_moved_uri_is_followed_to_the_same_kind_of_leg(status, kind):
    """A move says nothing of the job; it is counted."""
    assert read(answer(status, to("/m")), kind, redirects=2) == e.Redirected(Leg(kind, f"{HOST}/m"), 3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_output_redirects_are_followed_five_times(status):
    """A sixth in a row makes the outcome unreadable."""
    redirect = answer(status, to("/o"))
    for before in range(5):
        assert read(redirect, OUTPUT, redirects=before) == e.Redirected(Leg(OUTPUT, f"{HOST}/o"), before + 1)
    sixth = read(redirect, OUTPUT, redirects=5)
    assert isinstance(sixth, e.GaveUp)
    assert (sixth.outcome.status, sixth.outcome.problem) == (502, "outcome-unreadable")


@pytest.mark.parametrize("kind", [STATUS, HOLD])
@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_status_uri_that_moves_without_end_is_lost(status, kind):
    """The job runs on, so it is `unknown` rather than failed."""
    event = read(answer(status, to("/m")), kind, redirects=MAX_REDIRECTS)
    assert isinstance(event, e.Lost)
    assert event.code == REFUSED_LOCATION


def test_an_output_is_reached_with_all_its_redirects_left():
    """The moves of a status URI before do not count for the output."""
    assert read(answer(303, to("/o")), STATUS, redirects=MAX_REDIRECTS) == e.Redirected(Leg(OUTPUT, f"{HOST}/o"), 0)


@pytest.mark.parametrize("kind", LegKind)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_job_whose_location_may_not_be_followed_is_lost(status, kind):
    """It runs on where the gateway may not look."""
    event = read(answer(status, to("https://elsewhere.example/s")), kind)
    assert isinstance(event, e.Lost)
    assert event.code == REFUSED_LOCATION
    assert "elsewhere.example" in event.why


OUTCOMES = {
    "200": answer(200, JSON, body=b'{"sum":3}'),
    "200-empty": answer(200),
    "200-chunked": answer(200, JSON, body=b'{"sum":', framing=Framing.CHUNKED),
    "200-close-delimited": answer(200, JSON, body=b'{"sum":3}', framing=Framing.CLOSE),
    "200-close-delimited-text": answer(200, ("Content-Type", "text/csv"), body=b'{"a', framing=Framing.CLOSE),
    "202": answer(202, body=b"later"),
    "204": answer(204),
    "400": answer(400, JSON, body=b"[]"),
    "403-html": answer(403, HTML, body=BAD_GATEWAY),
    "404-after-303": answer(404, JSON, body=b'{"message":"gone","errorCode":1}'),
    "410": answer(410),
    "500-html": answer(500, HTML, body=BAD_GATEWAY),
    "500-faulted": answer(500, JSON, body=FAULTED),
    "503-of-a-function": answer(503, JSON, body=b'{"errorMessage":"mine"}'),
    "503-of-a-function-that-gives-a-list": answer(503, JSON, body=b'["mine"]'),
    "503-with-a-large-json": answer(503, JSON, body=json.dumps({"a": "x" * 100_000}).encode()),
    "524-with-json": answer(524, ("Content-Type", "application/problem+json"), body=b'{"title":"x"}'),
    "502-with-json-and-no-label": answer(502, body=b'{"errorMessage":"mine"}'),
    "598": answer(598, body=b"x"),
}


@pytest.mark.parametrize("kind", [HOLD, OUTPUT])
@pytest.mark.parametrize("given_", OUTCOMES.values(), ids=OUTCOMES)
def test_anything_else_is_the_outcome(given_, kind):
    """Byte for byte, failures included."""
    assert read(given_, kind) == ended(given_)


@pytest.mark.parametrize("given_", [OUTCOMES[name] for name in OUTCOMES if name[:3] not in {"200", "202"}])
def test_a_status_uris_own_failure_is_the_outcome(given_):
    """Where the status URI does not redirect but answers with the end itself."""
    assert read(given_, STATUS) == ended(given_)


CUT = {
    "json": answer(200, JSON, body=b'{"sum":3', framing=Framing.CLOSE),
    "json-empty": answer(200, JSON, framing=Framing.CLOSE),
    "problem-json": answer(500, ("Content-Type", "application/problem+json"), body=b'{"t', framing=Framing.CLOSE),
    "short-of-its-length": Failure(Reason.TRUNCATED, sent=True),
}


@pytest.mark.parametrize("kind", [HOLD, OUTPUT])
@pytest.mark.parametrize("exchanged", CUT.values(), ids=CUT)
def test_a_cut_outcome_is_read_again_and_at_last_given_up(exchanged, kind):
    """A cut 200 looks like a whole one to most proxies; one that is cut for ever must still come to an end."""
    assert isinstance(read(exchanged, kind, failures=MAX_UNREADABLE - 1), e.ReadFailed)
    last = read(exchanged, kind, failures=MAX_UNREADABLE)
    assert isinstance(last, e.GaveUp)
    assert last.outcome.problem == "outcome-unreadable"


def test_a_proxys_errors_are_never_given_up():
    """Only the deadline ends a job whose upstream is away."""
    assert isinstance(read(answer(502, HTML, body=BAD_GATEWAY), OUTPUT, failures=10_000), e.ReadFailed)
    assert isinstance(read(Failure(Reason.TRUNCATED, sent=True), STATUS, failures=10_000), e.ReadFailed)


def test_encoded_json_is_not_parsed():
    """What is compressed cannot be judged by its text."""
    given_ = answer(200, JSON, ("Content-Encoding", "gzip"), body=b"\x1f\x8b", framing=Framing.CLOSE)
    assert read(given_, OUTPUT) == ended(given_)


@pytest.mark.parametrize("kind", LegKind)
def test_an_outcome_over_the_limit_is_unreadable(kind):
    """It would be so again: the job ends with the gateway's own problem, which names the setting."""
    event = read(Failure(Reason.TOO_LARGE, sent=True), kind)
    assert isinstance(event, e.GaveUp)
    assert (event.outcome.problem, event.outcome.body) == ("outcome-unreadable", b"")
    assert "limits.answer" in event.outcome.detail


@given(exchanged=EXCHANGES, leg=LEGS, redirects=st.integers(0, 6), failures=st.integers(0, 30))
def test_every_answer_to_a_read_is_judged(exchanged, leg, redirects, failures):
    """Whatever comes back leads to an event that the state `running` takes."""
    assert type(judge_read(exchanged, leg, ORIGINS, redirects, failures)) in TRANSITIONS[State.RUNNING]


@given(given_=ANSWERS, leg=LEGS)
def test_only_whole_answers_that_are_no_hiccup_end_a_job(given_, leg):
    """No 401, 429 or redirect is ever an outcome of a read."""
    if isinstance(judge_read(given_, leg, ORIGINS), e.Ended):
        assert given_.status not in {301, 302, 303, 307, 308, 401, 429}


# ---------------------------------------------------------------- the outcome itself

ENDS = {
    "200": (200, b"", "succeeded"),
    "204": (204, b"", "succeeded"),
    "399": (399, b"", "succeeded"),
    "a-success-may-say-4802": (200, b'{"errorCode":4802}', "succeeded"),
    "400": (400, b"", "failed"),
    "404": (404, b'{"errorCode":1623}', "failed"),
    "faulted": (500, FAULTED, "failed"),
    "stopped": (500, b'{"message":"stopped","errorCode":4802,"traceId":"1"}', "canceled"),
    "stopped-as-4xx": (409, b' {"errorCode": 4802}', "canceled"),
    "stopped-in-the-older-envelope": (500, b'{"__abp":true,"error":{"code":4802,"message":"x"}}', "canceled"),
    "4802-elsewhere": (500, b'{"message":"errorCode 4802","n":4802}', "failed"),
    "4802-as-text": (500, b'{"errorCode":"4802"}', "failed"),
    "not-json": (500, b'{"errorCode":4802', "failed"),
    "a-list": (500, b'[{"errorCode":4802}]', "failed"),
    "an-error-in-words": (500, b'{"error":"4802"}', "failed"),
    "too-deep": (500, b'{"a":' * 20_000, "failed"),
}


@pytest.mark.parametrize(("status", "body", "state"), ENDS.values(), ids=ENDS)
def test_the_state_comes_from_the_outcome(status, body, state):
    """Below 400 succeeded; error code 4802 canceled; else failed."""
    assert state_of(Outcome(status, (), body)) == State(state)


NOT_END_TO_END = [
    # Hop-by-hop, and what Connection names (below).
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
    "Upgrade", "Content-Length",
    # The upstream's own site and transport.
    "Set-Cookie", "Server", "Date", "CF-Ray", "CF-Cache-Status", "cf-anything", "Cache-Control", "Expires", "Pragma",
    "Age", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Location", "Retry-After",
    # The gateway's own words, which an upstream could forge.
    "Job-Id", "Job-Status", "Call-Mode-Applied", "Idempotent-Replayed", "Preference-Applied", "Operation-Location",
    "Link",
]  # fmt: skip


@pytest.mark.parametrize("spelled", [str, str.lower, str.upper], ids=["as-is", "lower", "upper"])
@pytest.mark.parametrize("name", NOT_END_TO_END)
def test_a_field_that_is_not_passed_on(name, spelled):
    """In any case of letters, and the fields around it stay in order."""
    around = (("X-A", "1"), ("x-b", "2"))
    assert end_to_end((around[0], (spelled(name), "v"), around[1])) == around


@pytest.mark.parametrize(
    "name",
    ["Content-Type", "Content-Language", "Content-Encoding", "Content-Disposition", "ETag", "Vary", "WWW-Authenticate",
     "X-UIPATH-TraceId", "traceparent", "X-Job-Status", "Cfx"],
)  # fmt: skip
def test_a_field_that_is_passed_on(name):
    """Everything end-to-end stays as it came, repeated fields too."""
    assert end_to_end(((name, "a"), (name, "b"))) == ((name, "a"), (name, "b"))


def test_fields_that_connection_names_are_hop_by_hop():
    """RFC 9110 7.6.1: every token of every Connection field, in any case of letters."""
    given_ = (
        ("Connection", "close, X-Secret"),
        ("x-secret", "1"),
        ("connection", "X-OTHER"),
        ("X-Other", "2"),
        ("X-Kept", "3"),
    )
    assert end_to_end(given_) == (("X-Kept", "3"),)


def test_the_outcome_of_a_read_is_filtered():
    """A spoofed Job-Status, a cookie and Cloudflare's fields do not get into the record."""
    given_ = answer(200, JSON, ("Job-Status", "failed"), ("Set-Cookie", "s=1"), ("CF-RAY", "1"), ("ETag", '"1"'))
    assert read(given_, OUTPUT).outcome.headers == (JSON, ("ETag", '"1"'))


RETRY_AFTER = [
    (None, 0), ("", 0), ("0", 0), ("1", 1_000), (" 120 ", 120_000), ("600", 600_000), ("999999", 600_000),
    ("1000000", 0), ("-1", 0), ("+1", 0), ("1.5", 0), ("1, 2", 0), ("²", 0), ("٣", 0), ("1_0", 0),
    ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
]  # fmt: skip


@pytest.mark.parametrize(("value", "milliseconds"), RETRY_AFTER)
def test_retry_after(value, milliseconds):
    """Whole seconds of a sensible size, ten minutes at most; a date's clock is not ours, and nonsense is no wish."""
    headers = () if value is None else (("retry-after", value),)
    assert retry_after(answer(503, *headers)) == milliseconds
