"""The state table, held against a specification that is written out here a second time, from the design."""

from __future__ import annotations

import itertools
import re
from typing import get_args

import pytest

from gateway.core import events as e
from gateway.core import states
from gateway.core.job import State
from gateway.core.states import TRANSITIONS, IllegalTransition, target
from tests.core.strategies import EXAMPLES, in_state

TERMINAL = {state for state in State if state.terminal}

SPECIFICATION = """
    # Nothing was sent yet.
    accepted   StartIntended     starting      the intent is written before the first byte
    accepted   CancelRequested   accepted
    accepted   Canceled          canceled      nothing ran, so nothing needs to be stopped
    accepted   GaveUp            failed        the deadline

    # The start is out.
    starting   StartPostponed    accepted      it did not run, or may run twice: the only way back
    starting   StartRefused      failed
    starting   StartAmbiguous    unknown       it may have run: never again
    starting   Followed          running
    starting   Dispatched        dispatched
    starting   Ended             END           the answer to the start was the outcome
    starting   CancelRequested   starting

    # The upstream gave a URI.
    running    StillRunning      running
    running    Redirected        running
    running    ReadFailed        running
    running    Lost              unknown       it runs on where the gateway may not look
    running    Located           running       its key in Orchestrator is known now
    running    StopSent          running       whether it stops, its end will tell
    running    StopFailed        running
    running    Ended             END
    running    GaveUp            failed
    running    CancelRequested   running
    running    Canceled          canceled

    # Waiting for a verdict, and exempt from the deadline.
    unknown    NoVerdict         unknown       nobody can tell yet
    unknown    StartRefused      failed        the verdict: it never ran
    unknown    Followed          running
    unknown    Ended             END
    unknown    CancelRequested   unknown
    unknown    Canceled          canceled
    unknown    VerdictMissed     expired       the only meaning of `expired`
"""

EXPECTED: dict[tuple[str, str], str] = {
    (words[0], words[1]): words[2] for words in map(str.split, SPECIFICATION.splitlines()) if words and words[0] != "#"
}
"""(state, event) → where it leads; what is not in it is illegal."""

EVENTS: tuple[type[e.Event], ...] = get_args(e.Event)
PAIRS = [(state, event) for state in State for event in EVENTS]


def drawing() -> str:
    """Return the drawing on top of `states.py`: its docstring up to the rules."""
    return (states.__doc__ or "").partition("Rules\n")[0]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_state_takes_every_event_as_specified(state, event):
    """Each of the 171 pairs leads where the specification says, or is illegal."""
    expected = EXPECTED.get((state.value, event.__name__))
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{event.__name__} in state {state.value}"):
            target(state, EXAMPLES[event])
    else:
        assert str(target(state, EXAMPLES[event])) == expected


def test_the_table_has_a_row_for_every_state():
    """A state without a row would make every event a KeyError of another kind."""
    assert set(TRANSITIONS) == set(State)


def test_the_table_cannot_be_changed():
    """Neither a row nor an entry can be added at run time."""
    with pytest.raises(TypeError):
        TRANSITIONS[State.SUCCEEDED] = {}  # type: ignore[index]
    with pytest.raises(TypeError):
        TRANSITIONS[State.SUCCEEDED][e.Ended] = State.FAILED  # type: ignore[index]


def test_nothing_leads_out_of_a_terminal_state():
    """`succeeded failed canceled dispatched expired` are terminal, and terminal means an empty row."""
    assert {state.value for state in TERMINAL} == {"succeeded", "failed", "canceled", "dispatched", "expired"}
    assert {state for state, row in TRANSITIONS.items() if not row} == TERMINAL


def test_only_a_postponed_start_leads_back_before_the_start():
    """`accepted` is entered from elsewhere by StartPostponed alone, and `starting` by StartIntended alone."""
    entries = {(event.__name__, state, to) for state, row in TRANSITIONS.items() for event, to in row.items()}
    back = {(event, state) for event, state, to in entries if to is State.ACCEPTED and state is not State.ACCEPTED}
    assert back == {("StartPostponed", State.STARTING)}
    out = {(event, state) for event, state, to in entries if to is State.STARTING and state is not State.STARTING}
    assert out == {("StartIntended", State.ACCEPTED)}


def test_every_state_can_be_reached_and_left_for_an_end():
    """No state is dead: each is reachable from `accepted`, and each live one can end."""
    ends = {State.SUCCEEDED, State.FAILED, State.CANCELED}
    leads = {
        state: {to for entry in row.values() for to in (ends if entry == "END" else {State(entry)})}
        for state, row in TRANSITIONS.items()
    }

    def reachable(start: State) -> set[State]:
        seen, new = {start}, {start}
        while new:
            new = {to for state in new for to in leads[state]} - seen
            seen |= new
        return seen

    assert reachable(State.ACCEPTED) == set(State)
    assert all(reachable(state) & TERMINAL for state in State)


def test_the_drawing_names_every_event_and_every_state():
    """What the reader sees on top of the file is complete, and names nothing that does not exist."""
    words = set(re.findall(r"\w+", drawing()))
    events = {event.__name__ for event in EVENTS}
    assert {word for word in words if word[0].isupper()} - {"The", "END"} == events
    assert {state.value for state in State} <= words


def test_the_drawings_main_line_is_a_path_of_the_table():
    """The line from `(created)` on goes through the states in an order that the table allows."""
    line = next(line for line in drawing().splitlines() if "(created)" in line)
    path = [State(word) for word in re.findall(r"\w+", line) if word != "created"]
    assert path == [State.ACCEPTED, State.STARTING, State.RUNNING, State.SUCCEEDED]
    for here, there in itertools.pairwise(path):
        assert {there, "END"} & set(TRANSITIONS[here].values())


@pytest.mark.parametrize("state", State)
def test_the_examples_are_in_the_state_they_claim(state):
    """The jobs of the other tests are made by events, not by hand."""
    assert in_state(state).state is state
