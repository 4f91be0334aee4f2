"""A caller's arguments: what they said of the mode, and what goes upstream in its place."""

from __future__ import annotations

import pytest

from gateway.caller.arguments import JSON, Arguments, read_arguments
from gateway.core.errors import BadArgumentsProblem
from gateway.core.modes import UpstreamMode

ASYNC = UpstreamMode.ASYNC

OBJECTS = [
    # content type, body -> what the caller said, what goes upstream with and without a mode of our own
    ("application/json", b'{"n":1}', None, b'{"$callMode":"AsyncRequestReply","n":1}', b'{"n":1}'),
    ("application/x-www-form-urlencoded", b'{"n":1}', None, b'{"$callMode":"AsyncRequestReply","n":1}', b'{"n":1}'),
    (None, b"", None, b'{"$callMode":"AsyncRequestReply"}', b"{}"),
    ("text/plain", b"", None, b'{"$callMode":"AsyncRequestReply"}', b"{}"),
    (None, b'{"$callMode":"Sync","n":1.0}', "Sync", b'{"$callMode":"AsyncRequestReply","n":1.0}', b'{"n":1.0}'),
    (JSON, b'{ "b": 1e3, "$callMode": "X", "a": 2 }', "X", None, b'{ "b": 1e3,  "a": 2 }'),
]


@pytest.mark.parametrize(("content_type", "body", "said", "asking", "plain"), OBJECTS)
def test_a_json_object(content_type, body, said, asking, plain):
    """Is one whatever its label says; goes upstream as JSON, its numbers and order as sent."""
    arguments = read_arguments("POST", None, body, content_type)
    assert (arguments.call_mode, arguments.content_type, arguments.scanned is not None) == (said, JSON, True)
    assert arguments.asking(None) == (None, plain)
    if asking is not None:
        assert arguments.asking(ASYNC) == (None, asking)


OTHERS = [
    ("text/plain", b"hello"),
    ("application/octet-stream", b"\xff\x00"),
    ("application/x-www-form-urlencoded", b"a=1&b=2"),
    (None, b"{not json"),
    ("application/json", b"[1,2]"),
    ("application/json; charset=utf-8", b'"text"'),
]


@pytest.mark.parametrize(("content_type", "body"), OTHERS)
def test_any_other_body_goes_untouched(content_type, body):
    """Without `$callMode`, under its own label."""
    arguments = read_arguments("POST", None, body, content_type)
    assert (arguments.call_mode, arguments.content_type, arguments.scanned is not None) == (None, content_type, False)
    assert arguments.asking(ASYNC) == (None, body)


@pytest.mark.parametrize("label", ["application/json", "Application/JSON ; charset=x", "application/problem+json"])
def test_a_body_labelled_json_that_is_none(label: str):
    """400: the trigger could not read it either."""
    with pytest.raises(BadArgumentsProblem, match="labelled JSON and is none"):
        read_arguments("POST", None, b"n=1", label)


BAD = [
    ("POST", None, b'{"$callMode":"a","$callMode":"b"}'),
    ("POST", None, b'{"$callMode":1}'),
    ("POST", None, b'{"$callmode":"Sync"}'),
    ("POST", None, b'{"n":NaN}'),
    ("POST", "$callMode=a&$callMode=b", b"{}"),
    ("GET", "$callMode=a&%24callMode=b", b""),
    ("GET", "$callMode=%ff", b""),
    ("POST", "$callMode=Sync", b'{"$callMode":"Sync"}'),
]


@pytest.mark.parametrize(("method", "query", "body"), BAD)
def test_what_two_readers_could_read_in_two_ways(method, query, body):
    """Is refused, wherever it stands."""
    with pytest.raises(BadArgumentsProblem):
        read_arguments(method, query, body, None)


def test_a_get_has_its_arguments_in_the_query():
    """There `$callMode` is found, taken out, and set; every other parameter stays byte for byte."""
    arguments = read_arguments("GET", "a=%2f&%24callMode=Sync&b", b"", None)
    assert (arguments.call_mode, arguments.in_query) == ("Sync", True)
    assert arguments.asking(None) == ("a=%2f&b", b"")
    assert arguments.asking(ASYNC) == ("a=%2f&b&$callMode=AsyncRequestReply", b"")


def test_a_get_without_a_query():
    """Gets one only if a mode is asked for."""
    arguments = read_arguments("GET", None, b"", None)
    assert arguments == Arguments(None, None, b"", None, in_query=True)
    assert arguments.asking(None) == (None, b"")
    assert arguments.asking(ASYNC) == ("$callMode=AsyncRequestReply", b"")


def test_a_get_with_a_body():
    """The body goes on as it is; its `$callMode` says nothing, since the trigger does not look there."""
    body = b'{"$callMode":"Sync"}'
    arguments = read_arguments("GET", None, body, JSON)
    assert (arguments.call_mode, arguments.body) == (None, body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_query_of_other_methods_may_say_it_too(method: str):
    """It is taken out of the query; our own goes into the body, where the trigger looks."""
    arguments = read_arguments(method, "x=1&$callMode=Stream", b'{"n":1}', JSON)
    assert arguments.call_mode == "Stream"
    assert arguments.asking(ASYNC) == ("x=1", b'{"$callMode":"AsyncRequestReply","n":1}')


def test_an_untouchable_body_leaves_the_query_to_say_it():
    """A text body with `$callMode` in the query: said, and taken out."""
    arguments = read_arguments("POST", "$callMode=Stream&x=1", b"text", "text/plain")
    assert (arguments.call_mode, arguments.asking(ASYNC)) == ("Stream", ("x=1", b"text"))
