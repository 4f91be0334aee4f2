"""Ratios of rounds, and what becomes of a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import BEGIN, END, replace_between, targets_table
from benchmarks.rounds import Spread, interleaved, ratio, spread
from benchmarks.targets import Finding, Target

TARGET = Target("P0", "a thing", 1.0, 0.5)


def test_subjects_take_turns() -> None:
    """Every other round goes backwards, so that who comes after whom does not always decide."""
    order: list[str] = []
    subjects = {name: lambda name=name: {"at": float(order.append(name) or 0)} for name in "ab"}
    rounds = interleaved(subjects, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [set(each) for each in rounds] == [{"a", "b"}] * 3


def test_ratio_is_of_each_round() -> None:
    """The median of the rounds' ratios is not the ratio of medians: a round in which all is slow changes nothing."""
    rounds = [{"a": {"cpu": 1.0}, "b": {"cpu": 2.0}}, {"a": {"cpu": 50.0}, "b": {"cpu": 100.0}}]
    assert ratio(rounds, "cpu", "a", "b") == Spread(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("measured", "verdict"), [(0.5, "stretch met"), (0.6, "met"), (1.0, "met"), (1.01, "**missed**")]
)
def test_verdicts(measured: float, verdict: str) -> None:
    """The median decides."""
    line = targets_table([Finding(TARGET, spread([measured, 0.0, 9.0]))])[-1]
    assert line.endswith(f"| {verdict} |")


def test_tables_go_between_their_marks(tmp_path: Path) -> None:
    """What stands around them in a document stays, however often they are written."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_between(page, "new")
    replace_between(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"
