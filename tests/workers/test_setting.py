"""How many workers there are, as file and flag say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Overrides, from_flags, load

UPSTREAM = "https://cloud.uipath.com/acme/prod/orchestrator_"


@pytest.mark.parametrize(("said", "workers"), [("", 1), ("workers: 3", 3), ("workers: auto", None)])
def test_in_the_file(tmp_path: Path, said: str, workers: int | None):
    """One, unless it says otherwise; `auto` is decided where it runs."""
    (tmp_path / "gateway.yaml").write_text(f"upstream: {{url: '{UPSTREAM}'}}\n{said}\n")
    assert load(tmp_path / "gateway.yaml").workers == workers


def test_in_the_environment(tmp_path: Path):
    """As every other key."""
    (tmp_path / "gateway.yaml").write_text(f"upstream: {{url: '{UPSTREAM}'}}\nworkers: ${{env:WORKERS}}\n")
    assert load(tmp_path / "gateway.yaml", environment={"WORKERS": "2"}).workers == 2
    assert load(tmp_path / "gateway.yaml", environment={"WORKERS": "auto"}).workers is None


def test_by_flag(tmp_path: Path):
    """It wins over the file."""
    (tmp_path / "gateway.yaml").write_text(f"upstream: {{url: '{UPSTREAM}'}}\nworkers: 3\n")
    assert load(tmp_path / "gateway.yaml", overrides=Overrides(workers="auto")).workers is None
    assert from_flags(Overrides(upstream=UPSTREAM, workers=2)).workers == 2
