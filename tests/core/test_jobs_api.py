"""What the Jobs API's documents say, and what that means for a job."""

import json

import pytest

from gateway.core import events as e
from gateway.core.exchange import Answer, Failure, Framing, Reason
from gateway.core.job import Job, Leg, LegKind, State
from gateway.core.jobs_api import (
    MAX_MISSES,
    Attached,
    JobDocument,
    argument_of,
    folder_headers,
    folder_of,
    job_in,
    job_leg,
    judge_job,
    judge_jobs_start,
    place,
    start_request,
    succeeded,
    trigger_place,
)
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.outcome import MAX_UNREADABLE, Origins, StartContext, state_of
from gateway.core.policy import Binding

BASE = "https://cloud.uipath.com/acme/prod/orchestrator_"
KEY = "0d3c5b2a-1f4e-4c6d-8a9b-102132435465"
FOLDER = "5f0c7a4e-7a3c-4ad1-9d2e-0123456789ab"
CONTEXT = StartContext(f"{BASE}/odata/Jobs", UpstreamMode.JOBS, Origins(BASE))
LEG = job_leg(BASE, KEY, FOLDER)
HTML = (("Content-Type", "text/html"),)


def answer(status, document=None, *headers):
    """Return an answer with a JSON document."""
    body = b"" if document is None else json.dumps(document).encode()
    return Answer(status, (("Content-Type", "application/json"), *headers), body)


def job(state, **properties):
    """Return a read of a job."""
    return answer(200, {"@odata.context": "x", "Id": 7, "Key": KEY, "State": state, **properties})


def started(*keys, status=201):
    """Return the answer to a start that made jobs."""
    return answer(status, {"value": [{"Key": key, "Id": 1, "State": "Pending"} for key in keys]})


def test_a_job_is_read_by_its_key_in_its_folder():
    """The leg has everything that a read needs, on any replica."""
    assert LEG.url == f"{BASE}/odata/Jobs/UiPath.Server.Configuration.OData.GetByKey(identifier={KEY})"
    assert Leg(LegKind.JOB, LEG.url, FOLDER) == LEG


@pytest.mark.parametrize("key", ["", "1", f"{KEY}x", f"{KEY})/x(", "{" + KEY + "}"])
def test_only_a_guid_is_a_key(key):
    """What Orchestrator, or a person, calls a key goes into a URL."""
    with pytest.raises(ValueError, match="GUID"):
        job_leg(BASE, key, None)


@pytest.mark.parametrize(
    ("folder", "name", "value"),
    [
        (FOLDER, "X-UIPATH-FolderKey", FOLDER),
        ("Shared/Finance", "X-UIPATH-FolderPath", "Shared/Finance"),
        ("Büro", "X-UIPATH-FolderPath-Encoded", "QgD8AHIAbwA="),
    ],
)
def test_folders_are_named_by_key_or_path(folder, name, value):
    """The field says which it is, and is read back from a start that waited in the store."""
    assert folder_headers(folder) == ((name, value),)
    assert folder_of((("Accept", "*/*"), (name, value))) == folder


def test_no_folder_no_header():
    """A tenant that needs none is asked without one."""
    assert folder_headers(None) == ()
    assert folder_of((("Accept", "*/*"),)) is None


def test_the_start_goes_to_start_jobs():
    """URL and fields; the body is made by `bound`, which knows the job's id."""
    start = start_request(BASE, FOLDER, b'{"n":1}')
    assert (start.method, start.url) == ("POST", f"{BASE}/odata/Jobs/UiPath.Server.Configuration.OData.StartJobs")
    assert (folder_of(start.headers), start.body) == (FOLDER, b'{"n":1}')


def test_where_a_job_is():
    """The binding's folder and trigger; under pass-through, those of the route, which is called by its path."""
    assert trigger_place("/t/My%20Folder/a/b") == ("My Folder", "a/b")
    record = Job("i", "/t/f/a/b", "p", "t", CallerMode.SYNC, None, 0, 1)
    assert place(record, Binding()) == ("f", "a/b")
    assert place(record, Binding(folder="g", slug="s")) == ("g", "s")
    assert place(record.with_(route="invoices"), Binding()) == (None, None)


def test_a_start_that_made_one_job_is_followed():
    """Its key is known from the first."""
    assert judge_jobs_start(started(KEY), CONTEXT, FOLDER) == e.Followed(UpstreamMode.JOBS, LEG, KEY)


@pytest.mark.parametrize(
    "answered",
    [
        started(),
        started(KEY, KEY),
        started("7"),
        started(KEY, status=202),
        answer(201),
        Answer(200, (), started(KEY).body[:-9], Framing.CLOSE),
        answer(302),
        Failure(Reason.RESET, sent=True),
        Failure(Reason.TIMEOUT, sent=True),
        Answer(502, HTML, b"<html>"),
        Answer(503, (), b""),
        Answer(429, HTML, b"<html>"),
    ],
)
def test_a_start_that_may_have_run_is_ambiguous(answered):
    """It is looked for, and never sent again."""
    assert isinstance(judge_jobs_start(answered, CONTEXT, FOLDER), e.StartAmbiguous)


@pytest.mark.parametrize(
    ("answered", "frees_key"),
    [
        (answer(400, {"message": "m", "errorCode": 1}), False),
        (answer(404, {"message": "m", "errorCode": 1002}), False),
        (answer(500, {"message": "JobArguments length should be less", "errorCode": 4801}), False),
        (answer(401, {"message": "m"}), True),
        (answer(429, {"message": "m"}), True),
        (Failure(Reason.CONNECT, sent=False), True),
    ],
)
def test_a_start_that_did_not_run_is_refused(answered, frees_key):
    """By the rules of triggers: what is certain frees the idempotency key."""
    event = judge_jobs_start(answered, CONTEXT, FOLDER)
    assert isinstance(event, e.StartRefused)
    assert event.frees_key is frees_key


def test_a_credential_that_cannot_be_had_is_the_gateways_problem():
    """Nothing was sent, and the caller is told whose fault it is."""
    event = judge_jobs_start(Failure(Reason.CREDENTIAL, sent=False, detail="invalid_client"), CONTEXT, FOLDER)
    assert (event.outcome.problem, event.frees_key) == ("upstream-credentials", True)


@pytest.mark.parametrize(
    "state", ["Pending", "Running", "Stopping", "Terminating", "Suspended", "Resumed", 0, 1, 7, 8, 99, "New"]
)
def test_a_job_that_has_not_ended_runs(state):
    """Numbers are the states in order; what a later version adds is no end."""
    assert judge_job(job(state), LEG) == e.StillRunning()


@pytest.mark.parametrize("state", ["Successful", 5])
def test_success_is_the_output_as_a_trigger_answers_it(state):
    """The bytes of the text that the output is kept as."""
    outcome = judge_job(job(state, OutputArguments='{"a": 1.10, "é":2}'), LEG).outcome
    assert (outcome.status, outcome.body) == (200, '{"a": 1.10, "é":2}'.encode())
    assert state_of(outcome) is State.SUCCEEDED


@pytest.mark.parametrize("output", [None, ""])
def test_success_without_an_output_is_an_empty_object(output):
    """A client that parses the answer of every job can parse this one."""
    assert judge_job(job("Successful", OutputArguments=output), LEG).outcome == succeeded(b"{}")


def test_a_large_output_is_attached():
    """It is read elsewhere; an output that is there is not."""
    assert judge_job(job("Successful", OutputArguments=None, OutputFile=KEY), LEG) == Attached(KEY)
    assert isinstance(judge_job(job("Successful", OutputArguments="{}", OutputFile=KEY), LEG), e.Ended)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Info": "boom"}, "boom"),
        ({"Info": None, "JobError": {"code": "c", "title": "t", "detail": "d"}}, "d"),
        ({"JobError": {"Code": "C", "Title": "T", "Detail": None}}, "T"),
        ({"JobError": "?"}, "The job faulted."),
        ({}, "The job faulted."),
    ],
)
def test_a_fault_is_what_a_trigger_says_of_it(properties, message):
    """500, its text, and error code 4801."""
    outcome = judge_job(job("Faulted", **properties), LEG).outcome
    assert (outcome.status, json.loads(outcome.body)) == (500, {"message": message, "errorCode": 4801})
    assert state_of(outcome) is State.FAILED


def test_a_stopped_job_is_canceled():
    """By error code 4802, as a trigger says it."""
    assert state_of(judge_job(job("Stopped"), LEG).outcome) is State.CANCELED


@pytest.mark.parametrize(
    ("answered", "unauthorized"),
    [
        (answer(401), True),
        (answer(403, {"message": "no"}), False),
        (answer(404, {"message": "no"}), False),
        (answer(429), False),
        (answer(500, {"message": "no", "errorCode": 1}), False),
        (Answer(502, HTML, b"<html>"), False),
        (answer(303), False),
        (answer(200, {"value": []}), False),
        (Answer(200, (), job("Successful").body[:-1], Framing.CLOSE), False),
        (Answer(200, HTML, b"<html>"), False),
        (Failure(Reason.TIMEOUT, sent=True), False),
        (Failure(Reason.TRUNCATED, sent=True), False),
        (Failure(Reason.CREDENTIAL, sent=False), False),
    ],
)
def test_what_is_said_of_the_question_is_no_outcome(answered, unauthorized):
    """A read may be repeated at will."""
    event = judge_job(answered, LEG)
    assert isinstance(event, e.ReadFailed)
    assert event.unauthorized is unauthorized


def test_retry_after_is_heeded():
    """Of a running job and of a failure."""
    again = ("Retry-After", "7")
    assert judge_job(answer(200, {"Key": KEY, "State": "Running"}, again), LEG) == e.StillRunning(7_000)
    assert judge_job(answer(429, None, again), LEG).hint == 7_000


def test_a_job_that_stays_away_is_lost():
    """Not failed: that it is gone does not say how it ended."""
    assert isinstance(judge_job(answer(404), LEG, MAX_MISSES - 1), e.ReadFailed)
    assert isinstance(judge_job(answer(404), LEG, MAX_MISSES), e.Lost)


def test_a_document_that_never_comes_whole_is_given_up():
    """And one over the limit at once."""
    assert isinstance(judge_job(Failure(Reason.TRUNCATED, sent=True), LEG, MAX_UNREADABLE), e.GaveUp)
    assert isinstance(judge_job(Failure(Reason.TOO_LARGE, sent=True), LEG), e.GaveUp)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"Id":1}', b'{"Key":"x"}', b"\xff", b"[" * 100_000])
def test_what_is_no_job(body):
    """Nothing of it raises."""
    assert job_in(Answer(200, (), body)) is None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ('{"job":"ab"}', "ab"),
        ('{"job":7}', None),
        ('{"Job":"ab"}', None),
        ("[]", None),
        ("", None),
        (None, None),
        ("{", None),
    ],
)
def test_the_argument_that_carries_an_id(arguments, found):
    """Text of exactly that name."""
    assert argument_of(JobDocument(KEY, input_arguments=arguments), "job") == found
