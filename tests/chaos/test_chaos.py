"""Chaos for a minute; and proof that the checker sees what happens where a protection is switched off.

`scripts/chaos --seed N` repeats a run of the seed N for longer.
"""

from __future__ import annotations

import pytest

from tests.chaos.checker import check
from tests.chaos.history import Upstream
from tests.chaos.report import summary, told
from tests.chaos.run import run
from tests.chaos.schedule import Kind, Step
from tests.chaos.settings import Settings

SEEDS = (17,)

# In the middle of what the jobs below take, so that each replica has some in hand.
KILL_BOTH = (Step(1.5, 0, Kind.KILL, 0.1), Step(3.5, 1, Kind.KILL, 0.1))
STOP_ONE = (Step(2.0, 0, Kind.STOP, 3.0),)


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_job_is_lost_doubled_or_told_two_ways(seed, tmp_path):
    """Whatever is done to replicas, store, and the network between them."""
    settings = Settings(seed=seed, seconds=40.0, directory=tmp_path, unknown_ttl=4.0, settle=30.0)
    lines = await run(settings)
    violations = check(lines)
    report = summary(settings, lines, violations)
    assert not violations, f"{report}\n{told(lines, violations)}\nlogs and history: {tmp_path}"
    assert sum(isinstance(line, Upstream) and line.jobs == 1 for line in lines) > 40


async def crippled(tmp_path, patch: str, steps: tuple[Step, ...], **settings) -> set[str]:
    """Run two gateways without a protection for a few seconds; return which invariants were violated."""
    lines = await run(
        Settings(
            seed=1, seconds=4.0, rate=12.0, directory=tmp_path, replicas=2, patches=(patch,), steps=steps, faults=False,
            lease=1.0, unknown_ttl=1.0, patience=4.0, settle=3.0, **settings,
        )
    )  # fmt: skip
    return {violation.invariant for violation in check(lines)}


async def test_without_fencing_the_checker_sees_two_followers_of_one_job(tmp_path):
    """A replica that was paused goes on with jobs that another has ended, and writes over what that one has written."""
    violated = await crippled(tmp_path, "no-fence", STOP_ONE, modes=("callback",), routes=("async",))
    assert "I7 fence" in violated


async def test_without_the_intent_the_checker_sees_second_starts(tmp_path):
    """Whoever takes a job over that was being started starts it again."""
    violated = await crippled(tmp_path, "no-intent", KILL_BOTH, modes=("sync",), routes=("long-poll",))
    assert "I2 started twice" in violated


async def test_without_take_over_the_checker_sees_jobs_without_an_end(tmp_path):
    """What a killed replica followed is followed by nobody."""
    violated = await crippled(tmp_path, "no-take-over", KILL_BOTH, modes=("async",), routes=("async",))
    assert "I1 no end" in violated
