"""The call modes: the names on both sides of the wire."""

from __future__ import annotations

import pytest

from gateway.core.modes import BY_CALL_MODE, BY_NAME, CALLER_MODES, CallerMode, UpstreamMode

WIRE_NAMES = {
    "sync": "Sync",
    "async": "AsyncRequestReply",
    "long-poll": "LongPolling",
    "forget": "FireAndForget",
    "callback": "Callback",
    "stream": "Stream",
}


def test_every_caller_mode_has_one_row():
    """The table is complete, in the order of the enumeration, and repeats nothing."""
    assert [row.mode for row in CALLER_MODES] == list(CallerMode)


@pytest.mark.parametrize(("name", "call_mode"), WIRE_NAMES.items())
def test_a_caller_mode_has_a_name_and_a_call_mode(name, call_mode):
    """Either word finds the mode: the name in headers and paths, the other as `$callMode`."""
    assert BY_NAME[name] is BY_CALL_MODE[call_mode] is CallerMode(name)


def test_there_are_no_other_words():
    """Words are found exactly: the look-ups fold no case and know no more than the table."""
    assert set(BY_NAME) == set(WIRE_NAMES)
    assert set(BY_CALL_MODE) == set(WIRE_NAMES.values())


def test_the_upstreams_modes_are_callable_by_the_upstreams_own_names():
    """A client that sets Orchestrator's `$callMode` gets that mode from the gateway, unchanged."""
    arguments = [mode.argument for mode in UpstreamMode if mode.argument is not None]
    assert arguments == ["AsyncRequestReply", "LongPolling", "FireAndForget"]
    same = {argument: BY_CALL_MODE[argument].name for argument in arguments}
    assert same == {"AsyncRequestReply": "ASYNC", "LongPolling": "LONG_POLL", "FireAndForget": "FORGET"}


def test_the_jobs_api_is_no_call_mode():
    """No trigger is asked for it, and no caller can demand it by that word."""
    assert UpstreamMode.JOBS.argument is None
    assert UpstreamMode.JOBS.value not in BY_CALL_MODE


def test_every_row_says_what_the_caller_gets():
    """README and OpenAPI are made from these lines."""
    assert all(row.gets and not row.gets.endswith(".") for row in CALLER_MODES)
