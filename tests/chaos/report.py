"""What a run comes to, for people: the counts, and each violation with the history of the call concerned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.chaos.history import (
    REDIS,
    Call,
    Complete,
    Delivered,
    Ended,
    Fault,
    Invoke,
    Line,
    Mark,
    Record,
    Seen,
    Upstream,
)
from tests.chaos.settings import Settings
from tests.chaos.view import View, Violation

_MOST = 12
"""Violations that are told with their history."""
_NEAR = 3.0
_AT_THE_END = ("I1 monitor", "I3 pointer", "I4", "I6", "I8")
"""Invariants that the reads at the end show."""


def summary(settings: Settings, lines: list[Line], violations: list[Violation]) -> str:
    """Return the counts of a run."""
    view = View(lines)
    faults = Counter(_named(fault) for fault in view.faults)
    kinds = Counter(fault.kind for fault in view.faults)
    asked = Counter(call.fault for call in view.calls.values() if call.fault)
    jobs = list(view.records.values())
    rows = [
        ("seed", f"{settings.seed}, {settings.seconds:.0f} s of {settings.replicas} replicas"),
        ("calls", f"{len(view.calls)}: {_counts(call.mode for call in view.calls.values())}"),
        ("jobs", f"{len(jobs)}: {_counts(record.state for record in jobs)}"),
        ("started", f"{sum(each.jobs for each in view.upstream.values())} upstream"),
        ("clients", _counts(ended.how for ended in view.ended)),
        ("exchanges", f"{len(view.exchanges)}, {sum(c.error is not None for _, c in view.answered)} cut or unanswered"),
        ("callbacks", f"{sum(map(len, view.deliveries.values()))} for {len(view.deliveries)} jobs"),
        ("kills", f"{kinds['kill']}, stops {kinds['stop']}, restarts by SIGTERM {kinds['term']}"),
        ("faults", f"{len(view.faults)} by the nemesis: {_listed(faults)}"),
        ("asked", f"{asked.total()} by arguments: {_listed(asked)}"),
        ("violations", f"{len(violations)}{': ' if violations else ''}{_counts(v.invariant for v in violations)}"),
    ]
    return "\n".join(f"{name:<11}{text}" for name, text in rows)


def told(lines: list[Line], violations: list[Violation]) -> str:
    """Return the violations, the first ones with the history of their call."""
    parts = []
    for violation in _sorted(violations)[:_MOST]:
        parts.append(f"\n{violation.invariant}: {violation.what}\n  call {violation.call}, job {violation.job}")
        if violation.call is not None or violation.job is not None:
            parts += [f"    {line}" for line in _story(lines, violation)]
    parts += [
        f"{violation.invariant}: {violation.what} (call {violation.call}, job {violation.job})"
        for violation in _sorted(violations)[_MOST:]
    ]
    return "\n".join(parts)


def _sorted(violations: list[Violation]) -> list[Violation]:
    """Return one of each kind first, so that none hides the others."""
    seen: Counter[str] = Counter()
    order = []
    for violation in violations:
        order.append((seen[violation.invariant], violation))
        seen[violation.invariant] += 1
    return [violation for _, violation in sorted(order, key=lambda each: (each[0], each[1].invariant))]


def _story(lines: list[Line], violation: Violation) -> Iterator[str]:
    """Yield what happened to the call and its job, and what was done around that, in order of time."""
    completes = {line.n: line for line in lines if isinstance(line, Complete)}
    mine = [line for line in lines if _concerns(line, violation)]
    times = [line.at for line in mine if hasattr(line, "at") and not getattr(line, "final", False)]
    if times:
        mine += [line for line in lines if isinstance(line, Fault | Mark) and _near(line, times)]
    begin = min(times, default=0.0)
    for line in sorted(mine, key=lambda line: getattr(line, "at", float("inf"))):
        yield f"{line.at - begin:8.3f}  {_words(line, completes)}" if hasattr(line, "at") else f"{_words(line, {}):>10}"


def _near(line: Fault | Mark, times: list[float]) -> bool:
    return line.at <= max(times) + _NEAR and getattr(line, "until", line.at) >= min(times) - _NEAR


def _concerns(line: Line, violation: Violation) -> bool:
    match line:
        case Invoke(final=True) if not violation.invariant.startswith(_AT_THE_END):
            return False
        case Call() | Ended() | Invoke() | Upstream():
            return violation.call is not None and line.call == violation.call
        case Delivered() | Seen() | Record():
            return violation.job is not None and line.job == violation.job
        case _:
            return False


def _words(line: Line, completes: dict[int, Complete]) -> str:
    match line:
        case Invoke():
            return f"{line.road} at replica {line.replica}: {_answer(line, completes.get(line.n))}"
        case Fault():
            whom = "the store" if line.target == REDIS else f"replica {line.target}"
            return f"** {line.kind} of {whom} for {line.until - line.at:.2f} s"
        case Seen():
            return f"in the store: {line.state}, revision {line.revision}"
        case Mark():
            return f"** {line.what}"
        case _:
            return repr(line)


def _answer(invoke: Invoke, complete: Complete | None) -> str:
    if complete is None:
        return "never completed"
    said = (complete.status, complete.job_status, complete.problem, complete.location and "Location", complete.error)
    events = " ".join(f"{event.id}:{event.name}" for event in complete.events)
    body = complete.body[:100] if complete.problem is None else ""
    words = " ".join(str(part) for part in (*said, events, body) if part)
    return f"after {complete.at - invoke.at:.2f} s {words}, job {complete.job}"


def _named(fault: Fault) -> str:
    return f"redis {fault.kind}" if fault.target == REDIS else fault.kind


def _counts(things: Iterable[str]) -> str:
    return _listed(Counter(things))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
