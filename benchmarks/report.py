"""What a run found: as JSON, and as Markdown tables."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.parts.common import Part, Size
from benchmarks.rounds import Spread
from benchmarks.targets import Finding

BEGIN, END = "<!-- begin: scripts/bench -->", "<!-- end -->"

_HEADINGS = {
    "cpu_us": "CPU, µs",
    "store_cpu_us": "store's CPU, µs",
    "with_store_cpu_us": "both, µs",
    "per_second": "a second",
    "mean_ms": "mean, ms",
    "p50_ms": "p50, ms",
    "p90_ms": "p90, ms",
    "p99_ms": "p99, ms",
    "max_ms": "max, ms",
    "upstream_calls": "upstream calls",
    "commands": "commands run by the store",
    "scripts": "of them scripts",
    "store_reads": "reads by the store",
    "kib": "KiB a caller",
    "store_kib": "KiB in the store",
    "greatest_share": "busiest's share",
    "reads": "reads a job",
    "mean_s": "mean delay, s",
    "fixed_mean_s": "fixed, s",
    "mean_ratio": "ratio",
    "p99_ratio": "p99's ratio",
}


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def document(part: Part, size: Size, seconds: float) -> dict[str, Any]:
    """Return all that a part found, for JSON."""
    findings = [
        {
            "target": each.target.number,
            "what": each.target.what,
            "limit": each.target.limit,
            "stretch": each.target.stretch,
            "measured": each.measured,
            "met": each.met,
            "stretch_met": each.stretched,
        }
        for each in part.findings
    ]
    found = {"part": part.name, "size": size, "seconds": round(seconds, 1), "machine": machine()}
    plain: dict[str, Any] = _plain(
        {**found, "findings": findings, "skipped": part.skipped, **part.figures},
    )
    return plain


def _plain(value: Any) -> Any:
    """Return a figure for JSON: spreads by name, numbers to five digits."""
    match value:
        case Spread():
            return {name: _plain(each) for name, each in value._asdict().items()}
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case float():
            return float(f"{value:.5g}")
        case str():
            return str(value)
        case Sequence():
            return [_plain(each) for each in value]
    return value


def write_json(path: Path, found: object) -> None:
    """Write figures to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def replace_between(path: Path, text: str) -> None:
    """Put `text` between the marks of a Markdown file."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def part_table(part: Part) -> str:
    """Return what a part found, as Markdown."""
    lines = [f"### {part.name}", ""]
    if subjects := part.figures.get("subjects"):
        lines += [*_subjects_table(subjects), ""]
    if part.findings:
        lines += [*targets_table(part.findings), ""]
    lines += [f"Not measured here: {why}" for why in part.skipped]
    return "\n".join(lines).rstrip() + "\n"


def targets_table(findings: Iterable[Finding]) -> list[str]:
    """Return what was to be reached and what was, as lines of a Markdown table."""
    lines = ["| | what | target | stretch | measured (range of rounds) | |", "|---|---|---|---|---|---|"]
    for each in findings:
        target = each.target
        stretch = "" if target.stretch is None else f"≤ {target.stretch:g}"
        verdict = "stretch met" if each.stretched else "met" if each.met else "**missed**"
        lines.append(
            f"| {target.number} | {target.what} | ≤ {target.limit:g} | {stretch} | {each.measured} | {verdict} |"
        )
    return lines


def _subjects_table(subjects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for found in subjects.values() for name in found))
    headings = " | ".join(_HEADINGS.get(name, name.replace("_", " ")) for name in names)
    lines = [f"| | {headings} |", f"|---|{'---|' * len(names)}"]
    for subject, found in subjects.items():
        lines.append(f"| {subject} | {' | '.join(_cell(found.get(name)) for name in names)} |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    number = value.median if isinstance(value, Spread) else value
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
