"""I3: every client gets one whole answer in time, or is cut off before its first byte by what cuts everybody off."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.history import REDIS
from tests.chaos.view import View, Violation

_SLACK = 1.0
_RECOVERY = 4.5
"""Seconds after a fault in which a replica finds its way: a command's time-out, its retry, a lease."""
_AROUND = 0.5
_FATAL = frozenset({"kill", "term"})


def whole(view: View) -> Iterator[Violation]:
    """An answer that has begun is whole, unless its replica was killed."""
    for invoke, complete in view.answered:
        if complete.error is None or complete.status is None or "TimeoutError" in complete.error:
            continue
        killed = view.struck(invoke.replica, invoke.at, complete.at + _AROUND, frozenset({"kill"}))
        if not any(fault.target == invoke.replica for fault in killed):
            yield Violation(
                "I3 cut", f"{invoke.road}: {complete.status}, then {complete.error}", invoke.call, complete.job
            )


def some(view: View) -> Iterator[Violation]:
    """A replica that lives answers."""
    for invoke, complete in view.answered:
        if complete.status is not None or complete.error is None or "TimeoutError" in complete.error:
            continue
        ended = view.struck(invoke.replica, invoke.at - _AROUND, complete.at + _AROUND, _FATAL)
        if not any(fault.target == invoke.replica for fault in ended):
            yield Violation("I3 no answer", f"{invoke.road}: {complete.error}", invoke.call, invoke.job)


def in_time(view: View) -> Iterator[Violation]:
    """Nobody waits past its deadline and a second, but for the time that its replica or the store was disturbed."""
    disturbed = {replica: _disturbed(view, replica) for replica in {invoke.replica for invoke, _ in view.answered}}
    for invoke, complete in view.answered:
        took = complete.at - invoke.at
        allowed = invoke.may_take + _SLACK
        if took <= allowed:
            continue
        allowed += _overlap(disturbed[invoke.replica], invoke.at, complete.at)
        if took > allowed:
            what = f"{invoke.road} took {took:.1f} s at replica {invoke.replica}, {allowed:.1f} s were allowed"
            yield Violation("I3 late", what, invoke.call, complete.job or invoke.job)


def told(view: View) -> Iterator[Violation]:
    """Whoever repeats a call by its key is answered in the end, and nobody is told of a defect."""
    for ended in view.ended:
        call = view.calls[ended.call]
        if call.repeatable and ended.how in {"nothing", "refused"}:
            yield Violation("I3 unanswered", f"{ended.how} after all patience: {ended.why}", ended.call, ended.job)
    for invoke, complete in view.answered:
        if complete.problem == "internal-error":
            yield Violation("I3 defect", f"{invoke.road}: 500 internal-error", invoke.call, complete.job)


def found(view: View) -> Iterator[Violation]:
    """Once all is healed, every job that was told of can be read by its owner, on every replica."""
    for invoke, complete in view.answered:
        if not invoke.final or invoke.road == "stranger" or invoke.call not in view.calls:
            continue
        if complete.status is None or complete.problem in {"not-found", "job-expired", "job-unavailable"}:
            what = f"{invoke.road} at replica {invoke.replica}: {complete.status} {complete.problem or complete.error}"
            yield Violation("I3 pointer", what, invoke.call, invoke.job)
        elif complete.job != invoke.job:
            what = f"{invoke.road} at replica {invoke.replica} speaks of {complete.job}"
            yield Violation("I3 pointer", what, invoke.call, invoke.job)


def _disturbed(view: View, replica: int) -> list[tuple[float, float]]:
    spans = [
        (fault.at, fault.until + _RECOVERY) for fault in view.faults if fault.target in {replica, REDIS}
    ] + [(unwell.at, unwell.until + _RECOVERY) for unwell in view.unwell if unwell.target == replica]  # fmt: skip
    return _merged(sorted(spans))


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _overlap(spans: list[tuple[float, float]], begin: float, end: float) -> float:
    return sum(max(0.0, min(end, b) - max(begin, a)) for a, b in spans)


CHECKS = (whole, some, in_time, told, found)
