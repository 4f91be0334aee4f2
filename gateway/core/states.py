"""The one state table: which event may come in which state, and where it leads.

                     StartPostponed
                   +----------------+
                   v                |        Followed             Ended, GaveUp, Canceled
    (created) -> accepted ------> starting ----------> running ----------------------> succeeded
                   |  StartIntended |  |                |   ^  StillRunning, Located   failed
                   |                |  |                |   |  Redirected, StopSent    canceled
                   |                |  | Dispatched     |   |  ReadFailed, StopFailed
                   |                |  +-----------> dispatched
                   |                |                   | Lost
                   |                | StartAmbiguous    v
                   |                +-----------------> unknown ---------------------> expired
                   |                |                     |        VerdictMissed
                   |                |                     +--> Followed, Ended, Canceled, StartRefused: the verdict
                   |                |                     +--> NoVerdict: unknown as before
                   |                +--> StartRefused: failed; Ended: its answer was the outcome
                   +--> GaveUp: failed; Canceled: canceled

    CancelRequested comes in every live state and leads nowhere: it is a flag.

Rules
1. A terminal state has no row entries: nothing leads out of it.
2. Only `accepted` leads to `starting`, and only `StartPostponed` leads back: a start that certainly did not run, or
   one of a route that says that running twice does no harm. So nothing else sends a start that may have run again.
3. An event without an entry is an error of the program: `IllegalTransition` is raised and nothing happens.
4. `END` stands for the state that the event's outcome says (`outcome.state_of`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

from gateway.core import events as e
from gateway.core.job import State

END: Final = "END"
Target = State | Literal["END"]

_TABLE: dict[State, dict[type[e.Event], Target]] = {
    State.ACCEPTED: {
        e.StartIntended: State.STARTING,
        e.CancelRequested: State.ACCEPTED,
        e.Canceled: State.CANCELED,
        e.GaveUp: State.FAILED,
    },
    State.STARTING: {
        e.StartPostponed: State.ACCEPTED,
        e.StartRefused: State.FAILED,
        e.StartAmbiguous: State.UNKNOWN,
        e.Followed: State.RUNNING,
        e.Dispatched: State.DISPATCHED,
        e.Ended: END,
        e.CancelRequested: State.STARTING,
    },
    State.RUNNING: {
        e.StillRunning: State.RUNNING,
        e.Redirected: State.RUNNING,
        e.ReadFailed: State.RUNNING,
        e.Lost: State.UNKNOWN,
        e.Located: State.RUNNING,
        e.StopSent: State.RUNNING,
        e.StopFailed: State.RUNNING,
        e.Ended: END,
        e.GaveUp: State.FAILED,
        e.CancelRequested: State.RUNNING,
        e.Canceled: State.CANCELED,
    },
    State.UNKNOWN: {
        e.NoVerdict: State.UNKNOWN,
        e.StartRefused: State.FAILED,
        e.Followed: State.RUNNING,
        e.Ended: END,
        e.CancelRequested: State.UNKNOWN,
        e.Canceled: State.CANCELED,
        e.VerdictMissed: State.EXPIRED,
    },
    State.SUCCEEDED: {},
    State.FAILED: {},
    State.CANCELED: {},
    State.DISPATCHED: {},
    State.EXPIRED: {},
}

TRANSITIONS = MappingProxyType({state: MappingProxyType(row) for state, row in _TABLE.items()})


class IllegalTransition(Exception):  # noqa: N818 - it is what the state machine calls it, and never a caller's error
    """An event came in a state that has no place for it. The job is unchanged."""


def target(state: State, event: e.Event) -> Target:
    """Return where `event` leads from `state`. Raises `IllegalTransition`."""
    try:
        return TRANSITIONS[state][type(event)]
    except KeyError:
        raise IllegalTransition(f"{type(event).__name__} in state {state.value}") from None
