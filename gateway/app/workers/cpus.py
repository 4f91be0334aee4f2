"""How many CPUs this process may use: what `workers: auto` stands for."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")
"""Inside a container, its own limit (cgroup v2: `QUOTA PERIOD` in µs, or `max PERIOD`)."""

_CGROUP_V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


def usable_cpus(root: Path = _CGROUP.parent) -> int:
    """Return the CPUs of this process's affinity, or fewer if a cgroup below `root` grants it less time.

    A quota of one and a half CPUs keeps two workers busy at three quarters, one at a whole: it counts as two.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # no affinity on macOS
        cpus = os.cpu_count() or 1
    quota = _quota(root)
    return cpus if quota is None else max(1, min(cpus, quota))


def _quota(root: Path) -> int | None:
    """Return the whole CPUs that a quota comes to, rounded up; None where there is none."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((root / name).read_text().strip() for name in _CGROUP_V1)
        except OSError:
            return None
    return -(-int(quota) // int(period)) if quota.isdigit() else None
