"""Hosts whose clocks are an hour wrong: time is the store's, so leases, due times and links hold."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.replicas import LEASE, outcome_of, replicas

FAKETIME = next(
    itertools.chain(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/usr/lib").glob("faketime/*.so.1")),
    None,
)
"""Debian's `faketime`, where it is installed: the host's clocks as every library of the process sees them."""


def host(offset: str, *, monotonic: bool) -> dict[str, str]:
    """Return the environment of a host whose clock is wrong; with `monotonic`, that of its intervals is too."""
    still = "0" if monotonic else "1"
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": still,
        "DONT_FAKE_MONOTONIC": still,
    }


async def hold_together(it) -> None:
    """See that replicas go on as if their hosts' clocks agreed, also when the first one dies."""
    answers = [
        await it[n].caller(json={"id": f"{n}", "duration": 4.0}, headers={"Call-Mode": "async"}) for n in range(3)
    ]
    for n in range(3):
        await it[n].running()
    seconds, _ = await it.store.time()
    for answer in answers:
        created = datetime.fromisoformat(answer.json["created"])
        assert abs((created - datetime.fromtimestamp(seconds, UTC)).total_seconds()) < 10
        assert int(answer.headers["Retry-After"]) <= 5
    former = await it.follower(answers[0].headers["Job-Id"])
    await it[0].kill()
    died = asyncio.get_running_loop().time()
    assert await it.taken_over(former) - died < 1.5 * LEASE
    for n, answer in enumerate(answers):
        for replica in it.each[1:]:
            outcome = await replica.caller("GET", replica.here(answer.json["links"]["wait"]))
            assert (outcome.status, outcome.body) == (200, outcome_of(f"{n}"))
        assert asyncio.get_running_loop().time() - it.simulator.ended_at[f"{n}"] < 3 * LEASE
    assert len(await it.living()) == 2
    assert it.simulator.starts_by_argument == {"0": 1, "1": 1, "2": 1}


async def test_wrong_wall_clocks_change_nothing(tmp_path, redis_url):
    """One is an hour late, one an hour early."""
    patches = {0: ["wall-clock:+3600"], 1: ["wall-clock:-3600"]}
    async with replicas(redis_url, tmp_path, patches=patches) as it:
        await hold_together(it)


@pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed")
@pytest.mark.parametrize("monotonic", [False, True], ids=["wall clock", "both clocks"])
async def test_wrong_clocks_of_hosts_change_nothing(monotonic, tmp_path, redis_url):
    """As every library of the process sees them."""
    env = {0: host("+1h", monotonic=monotonic), 1: host("-1h", monotonic=monotonic)}
    async with replicas(redis_url, tmp_path, env=env) as it:
        await hold_together(it)
