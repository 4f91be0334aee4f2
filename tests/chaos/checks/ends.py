"""I1, I7: every accepted call ends exactly once, along a path of the state machine, and its end never changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.chaos.history import Seen
from tests.chaos.view import TERMINAL, View, Violation


def lost(view: View) -> Iterator[Violation]:
    """A job that anybody was told of is in the store, and has ended."""
    for job, call in view.call_of.items():
        record = view.records.get(job)
        if record is None:
            yield Violation("I1 lost", "the store has no record of a job that a client was told of", call, job)
        elif record.state not in TERMINAL:
            yield Violation("I1 no end", f"it is still {record.state}", call, job)


def unfinished(view: View) -> Iterator[Violation]:
    """No row of the store is unfinished, whether or not anybody was told of it."""
    for record in view.records.values():
        if record.state not in TERMINAL and record.job not in view.call_of:
            yield Violation("I1 no end", f"nobody was told of it, and it is still {record.state}", None, record.job)


def one_job(view: View) -> Iterator[Violation]:
    """A call has one job; it may have another only where the first certainly did not run and freed its key."""
    for call, jobs in view.jobs.items():
        kept = sorted(job for job in jobs if job in view.records and not view.records[job].frees_key)
        if len(kept) > 1:
            yield Violation("I1 one job", f"it was told of {len(kept)}: {', '.join(kept)}", call, kept[0])


def fenced(view: View) -> Iterator[Violation]:
    """Revisions in the store only grow, and an end is final."""
    for job, seen in view.seen.items():
        call = view.call_of.get(job)
        for before, after in pairwise(seen):
            if (what := _wrong(before, after)) is not None:
                yield Violation("I7 fence", what, call, job)
        record = view.records.get(job)
        if record is not None and seen[-1].state in TERMINAL and seen[-1].state != record.state:
            yield Violation("I1 changed", f"its end was {seen[-1].state}, and later {record.state}", call, job)


def _wrong(before: Seen, after: Seen) -> str | None:
    told = f"{before.state} (revision {before.revision}), then {after.state} ({after.revision})"
    if before.state in TERMINAL:
        return f"an end was written over: {told}"
    return f"an older revision came after a newer one: {told}" if after.revision <= before.revision else None


CHECKS = (lost, unfinished, one_job, fenced)
