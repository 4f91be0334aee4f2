"""I2, I11: no call starts two jobs upstream, what ended there was started, and reads are bounded."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.history import Complete, Invoke, Record
from tests.chaos.settings import FOUND
from tests.chaos.view import View, Violation, end_of_record

_READS_A_SECOND = 12
_INSPECTIONS = 60
"""Reads of a job by those who look for another one, whose start is in doubt."""
_READS_MORE = 12
"""Beyond what the time allows: reads whose answer was lost, and those of whoever took the job over."""


def once(view: View) -> Iterator[Violation]:
    """At most one job upstream for each call, however often it was sent."""
    for call, counted in view.upstream.items():
        if counted.jobs > 1:
            job = next(iter(view.jobs.get(call, ())), None)
            yield Violation("I2 started twice", f"{counted.jobs} jobs of {counted.starts} starts", call, job)


def exactly_once(view: View) -> Iterator[Violation]:
    """Where the upstream gave the end, it ran one job; where it refused the start, none."""
    for call, jobs in view.jobs.items():
        records = [view.records[job] for job in jobs if job in view.records]
        ran = view.upstream[call].jobs if call in view.upstream else 0
        given = [record for record in records if _ran_by_its_end(record)]
        if given and ran == 0:
            yield Violation("I2 never started", "it ended as only the upstream ends jobs", call, given[0].job)
        if records and all(record.refused for record in records) and ran and not _silence(view, call):
            yield Violation("I2 refused yet started", "its start was refused", call, records[0].job)


def _ran_by_its_end(record: Record) -> bool:
    """Whether only a job ends as the record says; an error may have been the answer to a start that never ran."""
    end = end_of_record(record)
    return end == ("dispatched",) or (end is not None and record.status is not None and record.status < 400)


def refused(view: View) -> Iterator[Violation]:
    """A client that was told that nothing ran, and nothing else, was told the truth."""
    for call, starts in view.starts.items():
        ran = view.upstream[call].jobs if call in view.upstream else 0
        if ran and _refused_by_all(starts):
            yield Violation("I2 refused yet started", "every answer said that nothing was sent", call)


def _refused_by_all(starts: list[tuple[Invoke, Complete]]) -> bool:
    """Whether every answer to a call said for certain that nothing ran: one that names a job says that it may have."""
    return bool(starts) and all(
        complete.retryable and complete.error is None and complete.job is None for _, complete in starts
    )


def _silence(view: View, call: str) -> bool:
    """Whether the client does not know what came of one of its requests."""
    return any(complete.status is None or complete.error is not None for _, complete in view.starts[call])


def bounded_reads(view: View) -> Iterator[Violation]:
    """A job is read about as often as the floor between two reads allows, and no more."""
    for call, counted in view.upstream.items():
        records = [view.records[job] for job in view.jobs.get(call, ()) if job in view.records]
        lived = [(record.finished - record.created) / 1000 for record in records if record.finished is not None]
        allowed = sum(lived) * _READS_A_SECOND + _READS_MORE
        if view.calls[call].route in FOUND:
            allowed += _INSPECTIONS
        if records and counted.reads > allowed:
            what = f"{counted.reads} reads, at most {allowed:.0f} expected"
            yield Violation("I11 reads", what, call, records[0].job)


CHECKS = (once, exactly_once, refused, bounded_reads)
