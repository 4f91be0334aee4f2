"""A history, indexed for whoever judges it. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import msgspec

from tests.chaos.history import (
    REDIS,
    Call,
    Complete,
    Delivered,
    Ended,
    Fault,
    Invoke,
    Leftover,
    Line,
    Record,
    Repeated,
    Seen,
    Unwell,
    Upstream,
)

PROBLEM = "urn:callmode:problem:"
TERMINAL = frozenset({"succeeded", "failed", "canceled", "dispatched", "expired"})


class Violation(msgspec.Struct, frozen=True, order=True):
    """Something that must not be. `call` and `job` say whose history shows it, where it is anybody's."""

    invariant: str
    what: str
    call: str | None = None
    job: str | None = None


class Exchange(msgspec.Struct, frozen=True):
    """A request with what came back; None: nothing was written down of that."""

    invoke: Invoke
    complete: Complete | None


End = tuple[object, ...]
"""How a job ended, as one of its roads told it: equal if and only if the same was told."""


class View:
    """What the checks look at."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = list(lines)

    def _all(self, kind):
        return [line for line in self.lines if isinstance(line, kind)]

    @cached_property
    def calls(self) -> dict[str, Call]:
        """The calls by their tags."""
        return {call.call: call for call in self._all(Call)}

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """Every request, in the order of sending, without those that were made once more at the end."""
        repeated = {line.n for line in self._all(Repeated)}
        completes = {complete.n: complete for complete in self._all(Complete)}
        return [Exchange(invoke, completes.get(invoke.n)) for invoke in self._all(Invoke) if invoke.n not in repeated]

    @cached_property
    def answered(self) -> list[tuple[Invoke, Complete]]:
        """Those that something came back for."""
        return [(each.invoke, each.complete) for each in self.exchanges if each.complete is not None]

    @cached_property
    def starts(self) -> dict[str, list[tuple[Invoke, Complete]]]:
        """The requests that would start each call's job, with what came back."""
        found = defaultdict(list)
        for invoke, complete in self.answered:
            if invoke.road == "start":
                found[invoke.call].append((invoke, complete))
        return found

    @cached_property
    def records(self) -> dict[str, Record]:
        """The store's records at the end."""
        return {record.job: record for record in self._all(Record)}

    @cached_property
    def upstream(self) -> dict[str, Upstream]:
        """The simulator's counts by call."""
        return {counted.call: counted for counted in self._all(Upstream)}

    @cached_property
    def jobs(self) -> dict[str, set[str]]:
        """The jobs that each call was told it has; one that it was told it may have is none of them."""
        found: dict[str, set[str]] = defaultdict(set)
        for invoke, complete in self.answered:
            if complete.job is not None and invoke.call in self.calls and not perhaps(invoke, complete):
                found[invoke.call].add(complete.job)
        return found

    @cached_property
    def call_of(self) -> dict[str, str]:
        """The call of each job that anybody was told of."""
        return {job: call for call, jobs in self.jobs.items() for job in jobs}

    @cached_property
    def deliveries(self) -> dict[str, list[Delivered]]:
        """The callbacks that arrived, by job."""
        found = defaultdict(list)
        for delivered in self._all(Delivered):
            found[delivered.job].append(delivered)
        return found

    @cached_property
    def ended(self) -> list[Ended]:
        """How clients ended."""
        return self._all(Ended)

    @cached_property
    def seen(self) -> dict[str, list[Seen]]:
        """What the store was seen to hold of each job, in order of time."""
        found = defaultdict(list)
        for seen in self._all(Seen):
            found[seen.job].append(seen)
        return found

    @cached_property
    def leftovers(self) -> list[Leftover]:
        """What must not be there."""
        return self._all(Leftover)

    @cached_property
    def faults(self) -> list[Fault]:
        """What was done."""
        return self._all(Fault)

    @cached_property
    def unwell(self) -> list[Unwell]:
        """When replicas did not answer their probe promptly."""
        return self._all(Unwell)

    def struck(self, replica: int, begin: float, end: float, kinds: frozenset[str] | None = None) -> list[Fault]:
        """Return what was done between two times to a replica, or to the store."""
        return [
            fault
            for fault in self.faults
            if fault.target in {replica, REDIS}
            and fault.at <= end
            and fault.until >= begin
            and (kinds is None or fault.kind in kinds)
        ]

    def ends_told(self, job: str) -> list[tuple[str, End]]:
        """Return every end that was told of a job, and by which road."""
        return self._ends.get(job, [])

    @cached_property
    def _ends(self) -> dict[str, list[tuple[str, End]]]:
        found: dict[str, list[tuple[str, End]]] = defaultdict(list)
        for invoke, complete in self.answered:
            if complete.job is None or complete.error is not None:
                continue
            where = f"{invoke.road} at replica {invoke.replica}{' at the end' if invoke.final else ''}"
            if (end := end_of_answer(complete, final=invoke.final)) is not None:
                found[complete.job].append((where, end))
            found[complete.job] += [
                (f"stream, {where}", end_of_event(event.data)) for event in complete.events if event.name == "outcome"
            ]
        for job, deliveries in self.deliveries.items():
            found[job] += [("callback", end_of(each.status, each.body)) for each in deliveries]
        return found


def perhaps(invoke: Invoke, complete: Complete) -> bool:
    """Whether the answer to a start names a job of which the gateway does not know whether the store has it."""
    return invoke.road == "start" and complete.problem == "store-unavailable"


def end_of_answer(complete: Complete, *, final: bool) -> End | None:
    """Return the end that an answer tells; None where it tells none.

    A problem of the gateway's own is an end only when all is healed: before, it may be that of the moment.
    """
    if complete.job_status is not None:
        return ("dispatched",) if complete.job_status == "dispatched" else ("outcome", complete.status, complete.body)
    if final and complete.problem is not None and complete.status is not None:
        return ("problem", complete.status, complete.problem)
    return None


def end_of_event(data: str) -> End:
    """Return the end that a stream's last event tells."""
    told = json.loads(data)
    return end_of(told["status"], told["body"].encode().decode("latin-1") if "body" in told else told["bodyBase64"])


def end_of(status: int, body: str) -> End:
    """Return the end that a status and a body, as Latin-1, tell."""
    document = _object(body)
    if str(document.get("type", "")).startswith(PROBLEM):
        return ("problem", status, str(document["type"]).removeprefix(PROBLEM))
    if document.get("status") == "dispatched" and status == 202:
        return ("dispatched",)
    return ("outcome", status, body)


def end_of_record(record: Record) -> End | None:
    """Return the end that the store's record tells; None where only the gateway can put it in words."""
    if record.state == "dispatched":
        return ("dispatched",)
    if record.error is None and record.status is not None:
        return ("outcome", record.status, record.body)
    return None


def _object(body: str) -> dict:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
