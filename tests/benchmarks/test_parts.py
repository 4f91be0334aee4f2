"""Every part of the benchmark suite still runs, on a few calls: the figures mean nothing, the checks of answers do."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.parts.common import Size
from benchmarks.report import document, part_table


@pytest.mark.parametrize("name", PARTS)
def test_runs(name: str, tmp_path: Path) -> None:
    """A part measures all of its subjects, and what it found goes into a table and into JSON."""
    part = importlib.import_module(f"benchmarks.parts.{name}").run(Size.SMOKE, tmp_path)
    assert part.figures["subjects"]
    table = part_table(part)
    assert all(f"| {subject} |" in table for subject in part.figures["subjects"])
    assert json.loads(json.dumps(document(part, Size.SMOKE, 1.0)))["part"] == name
