"""Whose turn it is: shares, turns, and what a silent receiver may hold."""

from __future__ import annotations

import time
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.fair_queue import FairQueue


def queue(**limits: int) -> FairQueue:
    """Return a queue with small limits."""
    return FairQueue(**({"at_once": 6, "share": 3, "silent_share": 1} | limits))


def taken(it: FairQueue) -> list[str]:
    """Take all that may be taken now; return the keys."""
    keys = []
    while (turn := it.take()) is not None:
        keys.append(turn[1])
    return keys


def test_receivers_take_turns():
    """One of each, then the next of each, in the order in which they came."""
    it = queue()
    for key in ("a1", "a2", "a3", "a4", "b1", "b2"):
        it.put(key[0], key)
    assert taken(it) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_share_is_not_exceeded_and_is_given_back():
    """What waits comes when one of the same receiver is done."""
    it = queue()
    for number in range(5):
        it.put("a", f"a{number}")
    assert len(taken(it)) == 3
    it.done("a", answered=True)
    assert taken(it) == ["a3"]


def test_a_turn_costs_the_same_however_many_were_before():
    """A receiver that was away for days comes back: whatever waits for it is taken at an even pace."""
    it, paces = queue(), []
    for number in range(60_000):
        it.put("a", str(number))
    for _ in range(6):
        begun = time.process_time()
        for _ in range(10_000):
            it.take()
            it.done("a", answered=True)
        paces.append(time.process_time() - begun)
    assert it.take() is None
    assert paces[-1] < 4 * paces[0]


def test_all_together_are_bounded():
    """However many receivers there are."""
    it = queue()
    for number in range(10):
        it.put(f"r{number}", f"k{number}")
    assert len(taken(it)) == 6
    it.done("r0", answered=True)
    assert taken(it) == ["k6"]


def test_a_silent_receiver_has_less_until_it_answers():
    """One at a time while it gives no answer; its whole share as soon as it does."""
    it = queue()
    for number in range(9):
        it.put("a", f"a{number}")
    assert len(taken(it)) == 3
    for _ in range(3):
        it.done("a", answered=False)
    assert len(taken(it)) == 1
    it.done("a", answered=None)
    assert len(taken(it)) == 1
    it.done("a", answered=True)
    assert len(taken(it)) == 3


def test_a_key_waits_once():
    """Putting it again while it waits changes nothing."""
    it = queue()
    it.put("a", "a1")
    it.put("a", "a1")
    assert taken(it) == ["a1"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "take", True, False, None])), max_size=80),
)
def test_nothing_is_lost_and_no_limit_is_passed(steps):
    """Whatever comes in whatever order; and nothing is remembered of receivers with nothing to do."""
    it, numbers = queue(), count()
    waiting, under_way = set(), []
    for receiver, step in steps:
        if step == "put":
            key = f"{receiver}{next(numbers)}"
            it.put(receiver, key)
            waiting.add(key)
        elif step == "take":
            if (turn := it.take()) is not None:
                waiting.remove(turn[1])
                under_way.append(turn[0])
        elif receiver in under_way:
            under_way.remove(receiver)
            it.done(receiver, answered=step)
        assert len(under_way) <= 6
        assert all(under_way.count(each) <= 3 for each in "abc")
    while waiting or under_way:
        if (turn := it.take()) is not None:
            waiting.remove(turn[1])
            under_way.append(turn[0])
        else:
            it.done(under_way.pop(), answered=True)
    assert it._lines == it._open == {}
