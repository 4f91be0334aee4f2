"""Figures as JSON, and as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.parts.common import Part
from benchmarks.rounds import Spread
from benchmarks.targets import Finding

_HEADINGS = {
    "cpu_us": "CPU, µs",
    "store_cpu_us": "store's CPU, µs",
    "per_second": "a second",
    "p50_ms": "p50, ms",
    "p90_ms": "p90, ms",
    "p99_ms": "p99, ms",
    "max_ms": "max, ms",
    "upstream_calls": "upstream calls",
    "commands": "commands in the store",
    "scripts": "of them scripts",
    "store_reads": "reads by the store",
    "kib": "KiB a caller",
}


def part_table(part: Part) -> str:
    """Return what a part found, as Markdown."""
    lines = [f"### {part.name}", ""]
    if subjects := part.figures.get("subjects"):
        lines += [*_subjects_table(subjects), ""]
    if part.findings:
        lines += [*targets_table(part.findings), ""]
    lines += [f"Not measured here: {why}" for why in part.skipped]
    return "\n".join(lines)


def _subjects_table(subjects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for found in subjects.values() for name in found))
    lines = [
        f"| | {' | '.join(_HEADINGS.get(name, name) for name in names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for subject, found in subjects.items():
        lines.append(f"| {subject} | {' | '.join(_cell(found.get(name)) for name in names)} |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value.median if isinstance(value, Spread) else value:.3g}"


def targets_table(findings: Iterable[Finding]) -> list[str]:
    """Return what was to be reached and what was, as lines of a Markdown table."""
    lines = ["| | what | target | stretch | measured (range of rounds) | |", "|---|---|---|---|---|---|"]
    for each in findings:
        stretch = "" if each.target.stretch is None else f"≤ {each.target.stretch:g}"
        verdict = "stretch met" if each.stretched else "met" if each.met else "**missed**"
        target = each.target
        lines.append(
            f"| {target.number} | {target.what} | ≤ {target.limit:g} | {stretch} | {each.measured} | {verdict} |"
        )
    return lines
