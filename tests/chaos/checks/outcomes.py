"""I4, I5: one end by every road, callbacks included; a callback for each that was asked for, after the end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.view import TERMINAL, End, View, Violation, end_of_record


def same(view: View) -> Iterator[Violation]:
    """Whatever road tells a job's end tells the same, bytes and all, and the same as the store."""
    for job in view.records.keys() | view.call_of.keys():
        told = view.ends_told(job)
        record = view.records.get(job)
        if record is not None and (stored := end_of_record(record)) is not None:
            told = [*told, ("the store", stored)]
        ends: dict[End, str] = {}
        for road, end in told:
            ends.setdefault(end, road)
        if len(ends) > 1:
            what = "; ".join(f"{road}: {_short(end)}" for end, road in ends.items())
            yield Violation("I4 bytes", what, view.call_of.get(job), job)


def states(view: View) -> Iterator[Violation]:
    """Every monitor at the end says what the store says."""
    for invoke, complete in view.answered:
        if invoke.final and invoke.road == "monitor" and complete.status == 200 and invoke.job in view.records:
            state = view.records[invoke.job].state
            if f'"status":"{state}"' not in complete.body:
                what = f"the monitor of replica {invoke.replica} does not say {state}: {complete.body[:120]}"
                yield Violation("I1 monitor", what, invoke.call, invoke.job)


def own(view: View) -> Iterator[Violation]:
    """An output is that of the call."""
    for job, call in view.call_of.items():
        for road, end in view.ends_told(job):
            if end[0] == "outcome" and end[1] == 200 and f'"{call}"' not in str(end[2]):
                yield Violation("I4 foreign", f"{road}: {_short(end)}", call, job)


def callbacks(view: View) -> Iterator[Violation]:
    """A job that was to be called back was, under one id, once its end was in the store; no other was."""
    for record in view.records.values():
        delivered, call = view.deliveries.get(record.job, []), view.call_of.get(record.job)
        # One that was disowned was never accepted: its caller was told that nothing was sent.
        disowned = record.refused and record.error == "store-unavailable"
        if record.callback and record.state in TERMINAL and not delivered and not disowned:
            yield Violation("I5 no callback", f"it is {record.state}", call, record.job)
        if delivered and not record.callback:
            yield Violation("I5 unasked callback", "nobody asked for one", call, record.job)
        if len(ids := {each.webhook_id for each in delivered}) > 1:
            yield Violation("I5 callback ids", f"{len(ids)} ids for one job", call, record.job)
        for each in delivered:
            if each.stored is not None and each.stored not in TERMINAL:
                what = f"delivered while the store had it {each.stored}"
                yield Violation("I5 early callback", what, call, record.job)


def _short(end: End) -> str:
    return " ".join(str(part)[:160] for part in end)


CHECKS = (same, states, own, callbacks)
