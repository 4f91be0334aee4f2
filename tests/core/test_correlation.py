"""Writing a job's id into its start: found by a JSON parser as by a query parser, and nothing else touched."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.correlation import bound
from gateway.core.errors import BadArgumentsProblem
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding
from gateway.core.start import StartRequest
from tests.core.strategies import TRIGGER
from tests.core.test_arguments import objects

ID = "2ax7ZkQm3v9TtYw-0_BcDeFg"
NAME = "callmodeJobId"
BINDING = Binding(api=True, correlation=NAME)
HEADERS = (("Content-Type", "application/json"), ("X-Trace", "1"))


def start(body: bytes = b"{}", *, method: str = "POST", url: str = TRIGGER) -> StartRequest:
    """Return a start as a caller's arguments make it."""
    return StartRequest(method, url, HEADERS, body)


def bind(body: bytes, binding: Binding = BINDING, asked: UpstreamMode | None = UpstreamMode.ASYNC) -> bytes:
    """Return the body that goes upstream instead of `body`."""
    return bound(start(body), ID, asked, binding).body


def refuses(body: bytes, binding: Binding = BINDING, asked: UpstreamMode | None = UpstreamMode.ASYNC) -> str:
    """Return the words that `body` is refused with."""
    with pytest.raises(BadArgumentsProblem) as caught:
        bind(body, binding, asked)
    assert caught.value.status == 400
    return caught.value.detail


# ---------------------------------------------------------------- where nothing is to be written


@pytest.mark.parametrize("binding", [Binding(), Binding(api=True), Binding(correlation=NAME)])
@pytest.mark.parametrize("body", [b"{}", b"[1]", b"a=1", b"\xff", b'{"callmodeJobId":1}'])
def test_without_a_way_to_use_it_nothing_is_written(binding, body):
    """An argument is taken from the caller only where the Jobs API will be asked for it."""
    given_start = start(body)
    assert bound(given_start, ID, UpstreamMode.ASYNC, binding) is given_start


# ---------------------------------------------------------------- in a body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"callmodeJobId":"ID"}'),
        (b" {\n} ", b' {"callmodeJobId":"ID"\n} '),
        (b'{"n":1}', b'{"callmodeJobId":"ID","n":1}'),
        (b'\t{ "n" : 1e400 , "m":-0.10 }\r\n', b'\t{"callmodeJobId":"ID", "n" : 1e400 , "m":-0.10 }\r\n'),
        (b'{"$callMode":"X","{":"{"}', b'{"callmodeJobId":"ID","$callMode":"X","{":"{"}'),
    ],
)
def test_the_id_is_the_first_member(body, expected):
    """Numbers, white space and order stay as sent."""
    assert bind(body) == expected.replace(b"ID", ID.encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(drawn=objects())
def test_it_is_one_member_more_and_every_byte_stays(drawn):
    """What a parser reads is what it would have read, and the id; cut out, the body is as it was."""
    _, body = drawn
    after = bind(body)
    assert list(json.loads(after).items()) == [(NAME, ID), *json.loads(body).items()]
    opening = body.index(b"{") + 1
    added = len(after) - len(body)
    assert after[:opening] + after[opening + added :] == body
    assert after[opening : opening + added].rstrip(b",") == f'"{NAME}":"{ID}"'.encode()


@pytest.mark.parametrize("name", ["jobId", "Auftrag für Ümläute", 'quo"ted', "back\\slash", "🧾", "a.b[0]"])
def test_any_name_is_written_as_json_has_it(name):
    """The route declares it; a parser reads it back."""
    assert json.loads(bind(b'{"n":1}', Binding(api=True, correlation=name))) == {name: ID, "n": 1}


def test_nothing_else_of_the_start_changes():
    """Method, URL and headers."""
    before = start(b'{"n":1}', method="PUT", url=f"{TRIGGER}?callmodeJobId=x")
    after = bound(before, ID, UpstreamMode.ASYNC, BINDING)
    assert (after.method, after.url, after.headers) == (before.method, before.url, before.headers)


NAMES = ["callmodeJobId", "CallModeJobID", "CALLMODEJOBID", "callmode\\u004aobId", "\\u0063allmodejobid"]


@pytest.mark.parametrize("name", NAMES)
def test_the_callers_own_use_of_the_name_is_refused(name):
    """In any case and however escaped: the upstream might take either for the other."""
    body = f'{{"a":{{}},"{name}":"x"}}'.encode()
    assert NAME in refuses(body)


def test_letters_that_only_look_alike_in_one_case_are_refused_too():
    """The Kelvin sign is a k, and the long s an s, to those who fold case."""
    binding = Binding(api=True, correlation="taskSource")
    for name in ("tas\u212asource", "ta\u017fk\u017fource"):
        assert "taskSource" in refuses(json.dumps({name: 1}).encode(), binding)


def test_a_member_deeper_down_is_the_callers():
    """Only the arguments themselves share a name space with it."""
    assert json.loads(bind(b'{"a":{"callmodeJobId":1}}')) == {NAME: ID, "a": {"callmodeJobId": 1}}


NO_OBJECTS = [b"", b" ", b"[1]", b'"{}"', b"null", b"a=1", b"{", b"{}{}", b"{'a':1}", b"\xef\xbb\xbf{}", b'{"a":NaN}']
NO_OBJECTS += [b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":' * 100_000, "{}".encode("utf-16")]


@pytest.mark.parametrize("body", NO_OBJECTS)
@pytest.mark.parametrize("asked", [UpstreamMode.ASYNC, UpstreamMode.JOBS])
def test_what_is_no_object_is_refused(body, asked):
    """There is no place for the id in it; nothing of what was sent is repeated."""
    assert refuses(body, asked=asked) == "this route's arguments are a JSON object"


# ---------------------------------------------------------------- in a query


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/t/add", f"/t/add?callmodeJobId={ID}"),
        ("/t/add?", f"/t/add?callmodeJobId={ID}"),
        ("/t/add?a=1&&b=%2f+%zz", f"/t/add?a=1&&b=%2f+%zz&callmodeJobId={ID}"),
        ("/t/add?a=callmodeJobId", f"/t/add?a=callmodeJobId&callmodeJobId={ID}"),
    ],
)
def test_a_get_has_the_id_in_its_query(url, expected):
    """A trigger that is called by GET takes its arguments from there; every other parameter stays as sent."""
    after = bound(start(b"", method="GET", url=url), ID, UpstreamMode.ASYNC, BINDING)
    assert (after.url, after.body) == (expected, b"")


@given(query=st.text("ab=&%20+?", max_size=12), name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=6))
def test_a_query_parser_reads_the_same_and_the_id(query, name):
    """Whatever the name is made of."""
    binding = Binding(api=True, correlation=name)
    before = parse_qsl(query, keep_blank_values=True)
    try:
        after = bound(start(b"", method="GET", url=f"{TRIGGER}?{query}"), ID, None, binding).url
    except BadArgumentsProblem:
        assert name.casefold() in {key.casefold() for key, _ in before}
    else:
        assert parse_qsl(urlsplit(after).query, keep_blank_values=True) == [*before, (name, ID)]


@pytest.mark.parametrize("query", ["callmodeJobId=", "callmodejobid", "a=1&c%61llmode%4aobId=x"])
def test_the_callers_own_parameter_of_the_name_is_refused(query):
    """The same as in a body."""
    with pytest.raises(BadArgumentsProblem, match=NAME):
        bound(start(b"", method="GET", url=f"{TRIGGER}?{query}"), ID, UpstreamMode.ASYNC, BINDING)


# ---------------------------------------------------------------- through the Jobs API


@pytest.mark.parametrize(
    ("binding", "release"),
    [
        (Binding(api=True, process="Add"), {"ReleaseName": "Add"}),
        (Binding(api=True, process="Add", release="5b0d"), {"ReleaseKey": "5b0d"}),
    ],
)
def test_a_job_of_the_jobs_api_has_its_id_as_reference(binding, release):
    """One job of the process, with the caller's arguments as text, byte for byte."""
    body = '{"n":1e400, "ü":"\\u00fc"}'.encode()
    info = json.loads(bind(body, binding, UpstreamMode.JOBS))
    assert info == {"startInfo": {**release, "JobsCount": 1, "InputArguments": body.decode(), "Reference": ID}}


def test_it_may_have_it_as_an_argument_as_well():
    """Where the route declares one; also if the caller used GET: its arguments are in the body by now."""
    binding = Binding(api=True, process="Add", correlation=NAME)
    for method in ("POST", "GET"):
        after = bound(start(b'{"n":1}', method=method), ID, UpstreamMode.JOBS, binding)
        arguments = json.loads(json.loads(after.body)["startInfo"]["InputArguments"])
        assert (arguments, after.url) == ({NAME: ID, "n": 1}, TRIGGER)
