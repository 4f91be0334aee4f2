"""I8: the ids of a stream's events only grow, over reconnects too, and the outcome is its last event."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.view import View, Violation


def ordered(view: View) -> Iterator[Violation]:
    """Within a stream, and from the `Last-Event-ID` that it was resumed with."""
    for invoke, complete in view.answered:
        last = invoke.last_event if invoke.last_event is not None else -1
        for event in complete.events:
            if event.id <= last:
                what = f"event {event.name} has id {event.id} after {last}"
                yield Violation("I8 order", what, invoke.call, complete.job)
            last = event.id


def complete(view: View) -> Iterator[Violation]:
    """Nothing comes after the outcome; at the end, each stream has it."""
    for invoke, answer in view.answered:
        names = [event.name for event in answer.events]
        if "outcome" in names[:-1]:
            yield Violation("I8 after the end", f"events {names}", invoke.call, answer.job)
        if invoke.final and invoke.road == "events" and answer.status == 200 and names[-1:] != ["outcome"]:
            yield Violation("I8 no outcome", f"events {names} at replica {invoke.replica}", invoke.call, answer.job)


CHECKS = (ordered, complete)
