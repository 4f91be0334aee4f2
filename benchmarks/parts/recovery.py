"""P9: a replica is killed under load, and another follows its jobs; and how soon a gateway listens."""

from __future__ import annotations

from pathlib import Path

from benchmarks.native import WrongAnswersError
from benchmarks.parts.common import Part, Size, alone
from benchmarks.recovery import measure
from benchmarks.rounds import Spread
from benchmarks.targets import LISTENING, RECOVERY_LOST, RECOVERY_TIME, Finding

JOBS = {Size.FULL: 10_000, Size.QUICK: 1_000, Size.SMOKE: 50}
LEASE_S = {Size.FULL: 10, Size.QUICK: 10, Size.SMOKE: 6}
STARTS = {Size.FULL: 7, Size.QUICK: 3, Size.SMOKE: 1}


def run(size: Size, directory: Path) -> Part:
    """Kill a replica under load."""
    told = measure(JOBS[size], directory, lease=LEASE_S[size], starts=STARTS[size])
    wrong = told["lost"] + told["started_twice"]
    if wrong:
        raise WrongAnswersError(f"{told['lost']} jobs were lost, {told['started_twice']} were started twice")
    listening = told.pop("listening_ms")
    recovered = ("jobs", "accepted_under_the_kill", "followed_again_s", "leases")
    subjects = {
        "after kill -9": {name: told[name] for name in recovered},
        "start": {f"{name}_listens_ms": took for name, took in listening.items()},
    }
    findings = [
        Finding(target, Spread(value, value, value))
        for target, value in (
            (RECOVERY_LOST, wrong),
            (RECOVERY_TIME, told["leases"]),
            (LISTENING, told["listening_ratio"]),
        )
    ]
    return Part("recovery", told | {"subjects": subjects}, findings)


if __name__ == "__main__":
    alone(run)
