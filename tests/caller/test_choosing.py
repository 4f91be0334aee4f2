"""Choosing the caller's mode: one table, from the strongest word to the weakest."""

from __future__ import annotations

import pytest

from gateway.caller.choosing import Choice, Said, choose
from gateway.core.errors import BadRequest, ModeNotAllowed, NotAcceptable, UnknownMode
from gateway.core.modes import CALLER_MODES, CallerMode
from gateway.core.policy import MINUTE, SECOND, OnTimeout
from gateway.core.preferences import Preferences
from tests.caller.calls import policy

SYNC, ASYNC, LONG_POLL, STREAM = CallerMode.SYNC, CallerMode.ASYNC, CallerMode.LONG_POLL, CallerMode.STREAM
SSE = "text/event-stream"
RESPOND_ASYNC = Preferences(respond_async=True)
WAIT = Preferences(wait=5)
BOTH = Preferences(respond_async=True, wait=5)

PRECEDENCE = [
    # Each row says one thing less than the one above it.
    (Said("long-poll", "stream", "AsyncRequestReply", SSE, BOTH), LONG_POLL),
    (Said(None, "stream", "AsyncRequestReply", "*/*", BOTH), STREAM),
    (Said(None, None, "AsyncRequestReply", SSE, WAIT), ASYNC),
    (Said(None, None, None, SSE, WAIT), STREAM),
    (Said(None, None, None, "application/json", WAIT), SYNC),
    (Said(None, None, None, None, RESPOND_ASYNC), ASYNC),
    (Said(), LONG_POLL),
]


@pytest.mark.parametrize(("said", "mode"), PRECEDENCE)
def test_the_first_that_says_so_wins(said: Said, mode: CallerMode):
    """Path prefix, header, `$callMode`, Accept, Prefer, the route's default."""
    assert choose(said, policy(caller_mode=LONG_POLL)).mode is mode


@pytest.mark.parametrize("row", CALLER_MODES, ids=lambda row: row.mode)
def test_every_mode_goes_by_both_of_its_names(row):
    """By the name in lower case or not, and by its `$callMode`, wherever a demand may stand."""
    for name in (row.mode.value, row.mode.value.upper(), row.call_mode):
        for said in (Said(prefix=name), Said(header=name), Said(argument=name)):
            assert choose(said, policy()).mode is row.mode


@pytest.mark.parametrize("default", [*CallerMode, None])
def test_whoever_says_nothing_gets_the_routes_default(default: CallerMode | None):
    """None is the trigger's own mode."""
    assert choose(Said(accept="*/*"), policy(caller_mode=default)) == Choice(default, wait=15 * MINUTE)


@pytest.mark.parametrize("name", ["", "asynch", "callmode", "Asyncrequestreply ", "jobs"])
@pytest.mark.parametrize("place", ["prefix", "header", "argument"])
def test_a_demand_for_what_is_not_there_is_an_error(place: str, name: str):
    """400 with the names that there are; nothing is guessed."""
    with pytest.raises(UnknownMode, match=r"sync, async, long-poll.*LongPolling"):
        choose(Said(**{place: name}), policy())


@pytest.mark.parametrize("place", ["prefix", "header", "argument"])
def test_a_demand_that_the_route_does_not_allow_is_an_error(place: str):
    """400 with what it allows; a weaker word is not consulted."""
    rules = policy(allowed_modes=frozenset({SYNC, ASYNC}))
    with pytest.raises(ModeNotAllowed, match="this route allows async, sync"):
        choose(Said(**{place: "stream"}, accept=SSE, preferences=RESPOND_ASYNC), rules)


def test_an_accept_that_the_route_does_not_allow():
    """406, as for any representation that cannot be had."""
    with pytest.raises(NotAcceptable):
        choose(Said(accept="Text/Event-Stream"), policy(allowed_modes=frozenset({SYNC})))


PREFERENCES = [
    # the wish, the route's default and what it allows -> mode, wait (s), Preference-Applied
    (RESPOND_ASYNC, SYNC, {*CallerMode}, ASYNC, 900, "respond-async"),
    (RESPOND_ASYNC, STREAM, {*CallerMode}, ASYNC, 900, "respond-async"),
    (RESPOND_ASYNC, SYNC, {SYNC}, SYNC, 900, None),
    (WAIT, SYNC, {*CallerMode}, SYNC, 5, "wait=5"),
    (WAIT, ASYNC, {*CallerMode}, SYNC, 5, "wait=5"),
    (WAIT, ASYNC, {ASYNC}, ASYNC, 900, None),
    (Preferences(wait=0), SYNC, {*CallerMode}, SYNC, 0, "wait=0"),
    (BOTH, SYNC, {*CallerMode}, SYNC, 5, "respond-async, wait=5"),
    (BOTH, SYNC, {SYNC}, SYNC, 5, "respond-async, wait=5"),
    (BOTH, ASYNC, {ASYNC}, ASYNC, 900, "respond-async"),
    (Preferences(), SYNC, {*CallerMode}, SYNC, 900, None),
]


@pytest.mark.parametrize(("wish", "default", "allowed", "mode", "wait", "applied"), PREFERENCES)
def test_preferences_are_wishes(wish, default, allowed, mode, wait, applied):
    """Granted where the route allows it, and then told; else as if nobody had wished."""
    choice = choose(Said(preferences=wish), policy(caller_mode=default, allowed_modes=frozenset(allowed)))
    assert (choice.mode, choice.wait, choice.preference_applied) == (mode, wait * SECOND, applied)


def test_a_demand_leaves_the_wait_to_the_wish():
    """`Call-Mode: sync` with `Prefer: wait=5` is a sync call that is held for five seconds."""
    choice = choose(Said(header="sync", preferences=WAIT), policy())
    assert (choice.mode, choice.wait, choice.preference_applied) == (SYNC, 5 * SECOND, "wait=5")


def test_a_wish_that_a_demand_overrules_is_not_applied():
    """Nobody is told that something was applied that was not."""
    choice = choose(Said(header="stream", preferences=BOTH), policy())
    assert (choice.mode, choice.preference_applied) == (STREAM, None)


def test_the_routes_wait_is_the_most():
    """A wish for longer is granted as far as the route goes."""
    assert choose(Said(preferences=Preferences(wait=120)), policy(wait=MINUTE)).wait == MINUTE


def test_a_plain_sync_caller_who_would_take_a_202_is_remembered():
    """What `respond-async` means when a demanded sync wait runs out."""
    assert choose(Said(header="sync", preferences=RESPOND_ASYNC), policy()).respond_async
    assert not choose(Said(header="sync"), policy()).respond_async


@pytest.mark.parametrize("word", [*OnTimeout, " Fail "])
def test_call_on_timeout(word: str):
    """One of four words."""
    assert choose(Said(on_timeout=word), policy()).on_timeout == word.strip().lower()


def test_call_on_timeout_that_is_none():
    """A demand that cannot be understood is an error, and the words are told."""
    with pytest.raises(BadRequest, match="accept, redirect, fail, cancel"):
        choose(Said(on_timeout="explode"), policy())


@pytest.mark.parametrize(
    ("said", "route", "granted"),
    [
        (None, None, "respond-async, wait=5"),
        (None, OnTimeout.ACCEPT, "respond-async, wait=5"),
        (None, OnTimeout.FAIL, "wait=5"),
        ("redirect", OnTimeout.ACCEPT, "wait=5"),
        ("accept", OnTimeout.FAIL, "respond-async, wait=5"),
    ],
)
def test_respond_async_beside_a_wait_is_granted_where_a_202_can_come_of_it(said, route, granted):
    """Who said otherwise of the wait's end, the caller before the route, has the word."""
    choice = choose(Said(preferences=BOTH, on_timeout=said), policy(on_timeout=route))
    assert choice.preference_applied == granted


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        (SSE, True),
        ("Text/Event-Stream", True),
        (f"application/json, {SSE}", True),
        (f"{SSE};charset=utf-8", True),
        (f"{SSE};q=0.1", True),
        (f"{SSE};q=0", False),
        (f"application/json, {SSE}; q=0.000", False),
        (f"{SSE}s", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_accept_names_streams(accept, streams):
    """Among others or alone, in any case of letters; `q=0` says not that (RFC 9110 12.4.2)."""
    mode = choose(Said(accept=accept), policy()).mode
    assert mode is (STREAM if streams else SYNC)
