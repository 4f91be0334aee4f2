"""What is promised only within limits: each is a decision on record, and what falls under it is counted apart."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.history import Complete, Invoke
from tests.chaos.view import View, Violation

_DISOWNED_WITHIN = 10.0
_CUTS_OFF = ("kill", "term", "stop", "store-")


def refused_by_all(starts: list[tuple[Invoke, Complete]]) -> bool:
    """Whether every answer to a call said that nothing was sent."""
    return bool(starts) and all(complete.retryable and complete.error is None for _, complete in starts)


def beyond_disowning(view: View, starts: list[tuple[Invoke, Complete]]) -> bool:
    """Whether a replica said that nothing was sent, and lost its lease before it could disown what it had created.

    The limit that decision 6 names: it died, or its way to the store was cut, and who takes over sees an accepted job
    like any other.
    """
    return any(_cut_off(view, *each) for each in starts)


def counted(view: View) -> Iterator[Violation]:
    """Yield what falls under a limit."""
    for call, starts in view.starts.items():
        ran = view.upstream[call].jobs if call in view.upstream else 0
        if ran and refused_by_all(starts) and beyond_disowning(view, starts):
            yield Violation(
                "cut off before disowning", "it ran although its caller was told that nothing was sent", call
            )


def _cut_off(view: View, invoke: Invoke, complete: Complete) -> bool:
    struck = view.struck(invoke.replica, invoke.at, complete.at + _DISOWNED_WITHIN)
    return any(fault.target == invoke.replica and fault.kind.startswith(_CUTS_OFF) for fault in struck)
