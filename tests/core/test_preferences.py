"""`Prefer` as RFC 7240 has it: wishes, never errors."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.preferences import Preferences, applied, parse

ASYNC = Preferences(respond_async=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Preferences()),
        (["respond-async"], ASYNC),
        (["Respond-ASYNC"], ASYNC),
        (["wait=10"], Preferences(wait=10)),
        (["WAIT = 10"], Preferences(wait=10)),
        (['wait="10"'], Preferences(wait=10)),
        ([r'wait="\10"'], Preferences(wait=10)),
        (["wait=0"], Preferences(wait=0)),
        (["respond-async, wait=10"], Preferences(respond_async=True, wait=10)),
        (["respond-async", "wait=10"], Preferences(respond_async=True, wait=10)),
        (["", " , ,\trespond-async ,, wait\t=\t10 ,"], Preferences(respond_async=True, wait=10)),
        (['respond-async; foo; bar=1;; baz = "a,;b" ; , wait=3;x'], Preferences(respond_async=True, wait=3)),
        (['respond-async=""'], ASYNC),
        (['handling=lenient, return=minimal; foo="some, wait=5", respond-async'], ASYNC),
        ([r'x="\", wait=5", wait=6'], Preferences(wait=6)),
    ],
)
def test_well_formed(values: list[str], expected: Preferences):
    """Case, white space, quotes, parameters, empty elements and several lines are all as the grammar has them."""
    assert parse(values, max_wait=60) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["wait=1, wait=2"], Preferences(wait=1)),
        (["wait=2", "Wait=1"], Preferences(wait=2)),
        (["wait=soon, wait=2"], Preferences()),
        (["respond-async=no, respond-async"], Preferences()),
    ],
)
def test_first_instance_is_the_only_one(values: list[str], expected: Preferences):
    """A later instance is not considered, even where the first cannot be used."""
    assert parse(values, max_wait=60) == expected


@pytest.mark.parametrize("value", ["wait", "wait=-1", "wait=1.5", "wait=+1", "wait=1s", "wait==1", "wait=\u0661"])
def test_unusable_wait_is_ignored(value: str):
    """Only a non-negative integer is a wait; what stands beside it still counts."""
    assert parse([f"{value}, respond-async"], max_wait=60) == ASYNC


@pytest.mark.parametrize(
    "value", ["respond-async=1", "respond async", "respond-async x", '"respond-async"', "@", "=", ";"]
)
def test_malformed_element_takes_nothing_with_it(value: str):
    """One bad element is dropped, its neighbours are read."""
    assert parse([f"{value}, wait=1"], max_wait=60) == Preferences(wait=1)


def test_unclosed_quote_ends_with_its_line():
    """What follows an unclosed quote is inside it, up to the end of the header line and no further."""
    assert parse(['wait=1, x="abc, respond-async', "respond-async"], max_wait=60) == Preferences(
        respond_async=True, wait=1
    )


@pytest.mark.parametrize("wait", ["61", "0000000061", "9" * 5_000])
def test_wait_is_capped(wait: str):
    """A longer wait is the longest wait, however many digits it has."""
    assert parse([f"wait={wait}"], max_wait=60) == Preferences(wait=60)


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        (Preferences(), None),
        (ASYNC, "respond-async"),
        (Preferences(wait=0), "wait=0"),
        (Preferences(respond_async=True, wait=10), "respond-async, wait=10"),
    ],
)
def test_applied(preferences: Preferences, expected: str | None):
    """What was applied is written in the syntax of a Prefer, so that reading it gives the same."""
    assert applied(preferences) == expected
    assert parse([expected or ""], max_wait=60) == preferences


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.text('ait w=10;," \\respond-async', max_size=30) | st.text(), max_size=3))
def test_never_raises(values: list[str]):
    """Whatever comes, there is an answer, within the cap."""
    wait = parse(values, max_wait=60).wait
    assert wait is None or 0 <= wait <= 60


@pytest.mark.parametrize("unit", ["a;", '"', 'a="', "\\", " ", ",", "a=b;", '"\\'])
def test_hostile_value_costs_little(unit: str):
    """Matching is linear: 8,000 bytes made to backtrack take milliseconds, not minutes."""
    started = time.process_time()
    parse(["x;" + unit * (8_000 // len(unit)) + "@"], max_wait=60)
    assert time.process_time() - started < 0.5
