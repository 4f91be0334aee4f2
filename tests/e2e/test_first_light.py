"""The whole gateway in this process, over a real store: the main job."""

from __future__ import annotations

import json

from tests.support.rig import rig, with_store


async def test_a_sync_caller_gets_the_outcome_of_a_polled_job(redis_url):
    """One blocking POST, one exact answer, one start upstream."""
    async with rig(shared=with_store(redis_url)) as running:
        status, headers, body = await running.call(data=json.dumps({"id": "a", "n": 1, "duration": 0.2}))
        assert status == 200
        assert json.loads(body) == {"id": "a", "n": 1}
        assert headers["Job-Status"] == "succeeded"
        assert running.simulator.counters.starts == 1
