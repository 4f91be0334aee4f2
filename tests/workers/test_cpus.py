"""What `workers: auto` stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.app.workers.cpus import usable_cpus

MANY = 64


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with many CPUs, all of them this process's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)), raising=False)


@pytest.mark.parametrize(
    ("said", "cpus"),
    [("max 100000", MANY), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("9900000 100000", MANY)],
)
def test_a_quota(tmp_path: Path, said: str, cpus: int):
    """It counts where it is less than the machine has, and a part of a CPU as one."""
    (tmp_path / "cpu.max").write_text(f"{said}\n")
    assert usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", MANY), ("300000", 3)])
def test_a_quota_of_an_older_kernel(tmp_path: Path, quota: str, cpus: int):
    """Cgroup v1 says it in two files."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(tmp_path) == cpus


def test_no_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Then the affinity counts, which `taskset` and container runtimes set."""
    assert usable_cpus(tmp_path) == MANY
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cpus(tmp_path) == 1
