"""The events of a stream: names, ids, what a client that comes back is told, and the outcome at the end."""

from __future__ import annotations

import base64

import msgspec
import pytest

from gateway.caller.stream import Event, change, final
from gateway.core.job import State
from gateway.core.modes import CallerMode
from tests.caller.calls import call
from tests.core.strategies import in_state

CALL = call(CallerMode.STREAM)


def test_a_frame():
    """Three fields and an empty line, as the HTML standard reads them."""
    assert Event(4, "running", b'{"n":1}').frame() == b'id: 4\nevent: running\ndata: {"n":1}\n\n'


@pytest.mark.parametrize("state", [state for state in State if not state.terminal])
def test_a_change_is_named_after_the_state(state: State):
    """Its id is the record's revision, its data the monitor on one line."""
    job = in_state(state)
    event = change(job, CALL, None)
    assert event is not None
    name = "starting" if state is State.ACCEPTED else state.value
    assert (event.id, event.name) == (job.revision, name)
    assert b"\n" not in event.data
    assert msgspec.json.decode(event.data)["status"] == state.value


def test_who_comes_back():
    """Seen all: nothing. One behind: the change. Further behind, or from nowhere: `resync`."""
    job = in_state(State.RUNNING)
    assert job.revision == 3
    assert change(job, CALL, 3) is None
    assert [change(job, CALL, seen).name for seen in (2, 1, 0, 99)] == ["running", "resync", "resync", "resync"]


def test_the_outcome_as_text():
    """UTF-8 is text; status and headers come along."""
    event = final(in_state(State.SUCCEEDED), 201, (("Content-Type", "text/plain"),), "grün\n".encode())
    assert (event.id, event.name) == (4, "outcome")
    expected = {"status": 201, "headers": {"Content-Type": "text/plain"}, "body": "grün\n"}
    assert msgspec.json.decode(event.data) == expected
    assert b"\n" not in event.data


def test_an_outcome_that_is_no_text():
    """Anything else is base64, so that not a byte changes."""
    body = bytes(range(256))
    outcome = msgspec.json.decode(final(in_state(State.SUCCEEDED), 200, (), body).data)
    assert base64.b64decode(outcome["bodyBase64"]) == body
    assert "body" not in outcome


def test_an_empty_outcome():
    """Is an empty text."""
    assert msgspec.json.decode(final(in_state(State.SUCCEEDED), 204, (), b"").data)["body"] == ""


def test_a_field_of_several_lines():
    """Is one list (RFC 9110 5.3): a JSON object has each name once."""
    event = final(in_state(State.SUCCEEDED), 200, (("X-A", "1"), ("X-B", "b"), ("x-a", "2")), b"")
    assert msgspec.json.decode(event.data)["headers"] == {"X-A": "1, 2", "X-B": "b"}


def test_a_stream_opens_with_starting_however_early():
    """A job whose intent is not saved yet has no event of its own."""
    early, late = in_state(State.ACCEPTED), in_state(State.STARTING)
    assert [change(job, call(), None).name for job in (early, late)] == ["starting", "starting"]
