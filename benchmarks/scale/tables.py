"""The figures as Markdown, and their places in docs/scaling.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.scale.check import TOLERANCE, Compared
from benchmarks.scale.costs import Costs
from benchmarks.scale.formula import GIB, Machines, Workload, replica_job, store_bytes, walls
from benchmarks.scale.plans import Plan
from benchmarks.scale.scenarios import Result

DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(costs: Costs) -> str:
    """Return what one job takes."""
    store, replica, machine = costs.store, costs.replica, costs.machine
    disk = store.fsync[len(store.fsync) // 2]
    rows = [
        ("a replica's CPU for a job, status reads aside", f"{replica.job:.0f} µs", "`J`"),
        ("for each status read", f"{replica.read:.0f} µs", "`R`"),
        ("a replica's CPU when nothing happens", f"{replica.idle / 1e4:.2f} % of a core", ""),
        ("memory of a blocked caller and its job", f"{replica.parked:.1f} KiB", "`P`"),
        ("memory of a followed job that nobody waits for", f"{replica.followed:.1f} KiB", ""),
        ("Redis CPU for each of a job's four scripts", f"{store.script:.0f} µs", "`S`"),
        ("for each turn of its loop, which may serve many", f"{store.turn:.0f} µs", "`T`"),
        ("the same with `appendfsync always`, the disk aside", f"{store.turn_always:.0f} µs", ""),
        ("this machine's disk, for an fsync", f"{disk:.2f} ms", ""),
        ("Redis CPU for a job's expiry", f"{store.expire:.0f} µs", "`E`"),
        ("Redis memory of a running job", f"{store.live:.0f} B", "`L`"),
        ("of an ended one, its outcome 1 KiB", f"{store.ended:.0f} B", "`O`"),
        ("of what is left after `retention`", f"{store.tombstone:.0f} B", "`B`"),
        ("of an `Idempotency-Key`, as long as that", f"{store.key:.0f} B", "`K`"),
        ("append-only file, for a job", f"{store.log / 1000:.1f} kB", ""),
        ("between replicas and store, for a job", f"{store.wire / 1000:.1f} kB", ""),
        ("taking a job over: Redis, then the new follower", f"{store.take:.0f} µs, {replica.take:.0f} µs", ""),
        ("looking for a dead replica's jobs, in vain", f"{store.look:.0f} µs", ""),
    ]
    note = f"{machine.cpu}, Python {machine.python}, Redis {machine.redis}."
    return f"{table(('what', 'takes', 'below'), rows)}\n\n{note}"


def planned(plans: Sequence[Plan], costs: Costs) -> str:
    """Return what each volume needs."""

    def row(what: str, *figures: str) -> tuple[str, ...]:
        return what, *figures

    each = [(plan.workload, plan.needs) for plan in plans]
    rows = [
        row("calls a second, mean and peak", *(f"{w.mean_rate:,.3g} and {w.peak_rate:,.3g}" for w, _ in each)),
        row("jobs that run at once, at the peak", *(f"{w.running:,.0f}" for w, _ in each)),
        row("replicas' cores, at the peak", *(f"{n.replica_cores:,.2g}" for _, n in each)),
        row("replicas' memory for callers, at the peak", *(_bytes(n.replica_memory) for _, n in each)),
        row("Redis cores, at the peak", *(f"{n.store_cores:,.2g}" for _, n in each)),
        row("Redis memory", *(_bytes(n.store_memory) for _, n in each)),
        row("of it tombstones", *(_bytes(w.jobs * w.tombstone * costs.store.tombstone) for w, _ in each)),
        row("append-only files, a day", *(_bytes(w.jobs * costs.store.log) for w, _ in each)),
        row("calls of Orchestrator a second, at the peak", *(f"{n.upstream_calls:,.3g}" for _, n in each)),
        row("**gateway processes**", *(f"**{n.replicas:,}**" for _, n in each)),
        row("**Redis primaries**", *(f"**{n.stores:,}** (for {n.stores_for})" for _, n in each)),
    ]
    return table(("", *(f"{plan.workload.jobs:,.0f} jobs a day" for plan in plans)), rows)


def walled(costs: Costs) -> str:
    """Return where one process and one server are full."""
    usual, lean = Workload(1.0), Workload(1.0, retention=1 / 24, tombstone=1.0)
    keyed = Workload(1.0, keyed=1.0)
    found = [{wall.what: wall.jobs for wall in walls(costs, each)} for each in (usual, keyed, lean)]
    machines = Machines()
    rows = [(what, *(f"{each[what]:,.0f}" for each in found)) for what in sorted(found[0], key=lambda w: found[0][w])]
    head = ("full at so many jobs a day", "defaults", "every call with a key", "`retention: 1h`, `tombstone: 1d`")
    note = (
        f"A minute's job, read {usual.reads:.0f} times, its caller blocked, the peak five times the mean. Full is 60 % "
        f"of a core at the peak, {machines.replica_memory / GIB:.0f} GiB and {machines.replica_files:,} connections of "
        f"a replica, {machines.store_memory / GIB:.0f} GiB of a Redis server. A job takes "
        f"{replica_job(costs, usual):.0f} µs of a replica and {costs.store.job:.0f} µs of Redis, and each job a day "
        f"{store_bytes(costs, usual) / 1000:.1f} kB of its memory."
    )
    return f"{table(head, rows)}\n\n{note}"


def simulated(plans: Sequence[Plan]) -> str:
    """Return what the simulation showed."""
    head = (
        "scenario", "calls a second", "replicas busy", "Redis busy",
        "until the start is sent, p50 / p99", "outcome to answer, p50 / p99", "over after",
    )  # fmt: skip
    parts = []
    for plan in plans:
        layout = f"{plan.needs.replicas} processes, {plan.needs.stores} Redis"
        simulated = f" (one {_ordinal(plan.part)} of it simulated)" if plan.part > 1 else ""
        title = f"**{plan.workload.jobs:,.0f} jobs a day**, {layout}{simulated}"
        parts.append(f"{title}\n\n{table(head, map(_line, plan.results))}")
    return "\n\n".join(parts)


def _line(result: Result) -> tuple[str, ...]:
    return (
        result.scenario,
        f"{result.rate:,.3g}",
        f"{result.replica_busy:.1%}",
        f"{result.store_busy:.1%}",
        _delays(result.start_p50, result.start_p99),
        _delays(result.answer_p50, result.answer_p99),
        "" if result.over_after is None else f"{max(result.over_after, 0.05):.2g} s",
    )


def checked(compared: Sequence[Compared]) -> str:
    """Return the simulation beside a real run."""
    rows = [(each.what, f"{each.simulated:.1f}", f"{each.real:.1f}", f"{each.off:+.0%}") for each in compared]
    return f"{table(('', 'simulated', 'real', 'off'), rows)}\n\nCPU within {TOLERANCE:.0%} counts as agreement."


def write(parts: dict[str, str], document: Path = DOCUMENT) -> None:
    """Put each part between its markers. Raises KeyError for a part that has none."""
    text = document.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- scale:{name} -->", f"<!-- /scale:{name} -->"
        if begin not in text or end not in text:
            raise KeyError(name)
        text = re.sub(f"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{part}\n{end}", text)  # noqa: B023 - used at once
    document.write_text(text)


def _delays(p50: float | None, p99: float | None) -> str:
    return "" if p50 is None or p99 is None else f"{_delay(p50)} / {_delay(p99)}"


def _delay(milliseconds: float) -> str:
    return (
        f"{milliseconds / 1000:.2g} s"
        if milliseconds >= 1000
        else f"{milliseconds:.2g} ms"
        if milliseconds < 100
        else f"{milliseconds:.0f} ms"
    )


def _bytes(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.2g} {unit}" if number < 10 * size else f"{number / size:.0f} {unit}"
    return f"{number / 1e3:.0f} kB"


def _ordinal(number: int) -> str:
    return {2: "half", 3: "third", 4: "quarter"}.get(number, f"{number}th")
