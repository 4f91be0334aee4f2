"""What is promised only within limits: each is a decision on record, and what falls under it is counted apart."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.history import REDIS, Complete, Invoke
from tests.chaos.view import View, Violation, end_of_answer

_DISOWNED_WITHIN = 10.0
_SAVED_WITHIN = 10.0
_DYING = frozenset({"kill", "term", "stop"})
_AROUND = 5.0
"""Seconds for which a fault of the store is felt: a command's time-out, its retry, the pause before the next save."""


def told_from_memory(view: View, job: str) -> bool:
    """Whether the end of a job that is now in doubt was told, and died with who told it.

    A blocked caller is answered from memory when saving takes longer than `answer_unsaved`. An outcome that came with
    the start's own answer cannot be read again by whoever takes the job over.
    """
    record = view.records.get(job)
    if record is None or record.state not in {"expired", "unknown"}:
        return False
    told = [
        (invoke, complete)
        for invoke, complete in view.answered
        if complete.job == job and end_of_answer(complete, final=False) is not None
    ]
    return bool(told) and all(_unsaved(view, *each) and _died(view, *each, _SAVED_WITHIN) for each in told)


def beyond_disowning(view: View, starts: list[tuple[Invoke, Complete]]) -> bool:
    """Whether a replica died before it could disown a job that it may have created, and said it had not."""
    return any(_died(view, *each, _DISOWNED_WITHIN) for each in starts)


def counted(view: View) -> Iterator[Violation]:
    """Yield what falls under a limit."""
    for job, call in view.call_of.items():
        if told_from_memory(view, job):
            yield Violation("told from memory", "the end that was told is not the one that was kept", call, job)


def _unsaved(view: View, invoke: Invoke, complete: Complete) -> bool:
    around = view.struck(invoke.replica, invoke.at - _AROUND, complete.at + _AROUND)
    return any(fault.target == REDIS or fault.kind.startswith(("store-", "stop")) for fault in around)


def _died(view: View, invoke: Invoke, complete: Complete, within: float) -> bool:
    struck = view.struck(invoke.replica, invoke.at, complete.at + within, _DYING)
    return any(fault.target == invoke.replica for fault in struck)
