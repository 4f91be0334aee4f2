"""P5: how late ends are seen by learned reads, beside fixed intervals that cost as many reads. A seeded simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.parts.common import Part, Size, alone
from benchmarks.polling import NARROW, report
from benchmarks.rounds import Spread
from benchmarks.targets import POLLING_ANY, POLLING_NARROW, POLLING_TAIL, Finding, Target

JOBS = {Size.FULL: 4000, Size.QUICK: 1000, Size.SMOKE: 200}
SEEDS = {Size.FULL: 3, Size.QUICK: 1, Size.SMOKE: 1}


def run(size: Size, _: Path) -> Part:
    """Simulate what learned reads are worth."""
    told: dict[str, Any] = report(JOBS[size], SEEDS[size])
    cells = told["cells"]
    findings = [
        _worst(POLLING_NARROW, [each["mean_ratio"] for each in cells if each["distribution"] in NARROW]),
        _worst(POLLING_ANY, [each["mean_ratio"] for each in cells]),
        _worst(POLLING_TAIL, [each["p99_ratio"] for each in cells]),
    ]
    subjects = {
        f"{each['distribution']}, {each['granted']} reads": {
            "reads": each["reads"],
            "mean_s": each["mean_delay"] / 1000,
            "fixed_mean_s": each["fixed_mean_delay"] / 1000,
            "mean_ratio": each["mean_ratio"],
            "p99_ratio": each["p99_ratio"],
        }
        for each in cells
    }
    return Part("polling", {"subjects": subjects, "default_pace": told["default_pace"]}, findings)


def _worst(target: Target, ratios: list[float]) -> Finding:
    """A target for all of them is one for the worst of them."""
    return Finding(target, Spread(max(ratios), min(ratios), max(ratios)))


if __name__ == "__main__":
    alone(run)
